"""How each class fares: precision and recall of labels, levels of a tree, stars by their distance. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from model.evidence.report.cells import Form
from model.evidence.row import EvidenceRow
from model.labels import path_of
from model.spec import NONE

LEAST_LABELS = 0.5
"""Rows count that a version with at least this share of the present labels answered, as everywhere here."""


@dataclass(frozen=True)
class ClassCounts:
    """How often a label was `given`, was `said`, and both of the same task or span."""

    given: int
    said: int
    right: int

    @property
    def precision(self) -> float | None:
        """None where it was never said."""
        return self.right / self.said if self.said else None

    @property
    def recall(self) -> float | None:
        """None where it was never given."""
        return self.right / self.given if self.given else None

    @property
    def f1(self) -> float | None:
        """None where it was neither given nor said."""
        return 2 * self.right / (self.given + self.said) if self.given + self.said else None


@dataclass(frozen=True)
class LevelCounts:
    """Of a tree: of `given` paths that reach this level, `answered` ones were answered down to it, `right` rightly."""

    level: int
    given: int
    answered: int
    right: int


def present_rows(rows: Iterable[EvidenceRow], control: str, labels: int) -> list[EvidenceRow]:
    """The rows of `control` by versions that knew half of its `labels` or more: what the first ones confused says
    little of today's."""
    return [row for row in rows if row.control == control and row.labels >= LEAST_LABELS * labels]


def count_classes(rows: Iterable[EvidenceRow], form: Form) -> dict[str, ClassCounts]:
    """Label -> its counts, of the rows that tell. NONE is a class but of sets and spans, which may be empty."""
    given, said, right = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        if row.marked is not None:
            given.update(row.marked.drawn)
            said.update(label for label, *_ in row.marked.shown)
            right.update(label for label, _, hit in row.marked.shown if hit)
        elif row.task:
            blank = () if form is Form.SET else (NONE,)
            own, other = row.given or blank, row.said or blank
            given.update(own)
            said.update(other)
            right.update(set(own) & set(other))
    return {key: ClassCounts(given[key], said[key], right[key]) for key in sorted({*given, *said})}


def macro_f1(counts: Mapping[str, ClassCounts]) -> float | None:
    """Mean F1 over the classes that were given or said; None for none."""
    found = [f1 for own in counts.values() if (f1 := own.f1) is not None]
    return sum(found) / len(found) if found else None


def micro_f1(counts: Mapping[str, ClassCounts]) -> float | None:
    """F1 over all of them together."""
    own = counts.values()
    return ClassCounts(sum(c.given for c in own), sum(c.said for c in own), sum(c.right for c in own)).f1


def count_levels(rows: Sequence[EvidenceRow]) -> list[LevelCounts]:
    """Of a tree, from its root down."""
    paths = [(path_of(row.given[0]), path_of(row.said[0]) if row.said else ()) for row in rows if row.given]
    found = []
    for level in range(1, max((len(given) for given, _ in paths), default=0) + 1):
        deep = [(given, said) for given, said in paths if len(given) >= level]
        answered = [(given, said) for given, said in deep if len(said) >= level]
        right = sum(given[:level] == said[:level] for given, said in answered)
        found.append(LevelCounts(level, len(deep), len(answered), right))
    return found


def mean_star_error(rows: Iterable[EvidenceRow]) -> float | None:
    """Mean distance in stars of the answers from what was given; None where none tells."""
    pairs = [(row.given, row.said) for row in rows if row.given and row.said]
    return sum(abs(int(given[0]) - int(said[0])) for given, said in pairs) / len(pairs) if pairs else None
