"""Answers to questions about marked regions, and relations: how each fared, from rows of evidence. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from model.evidence.row import EvidenceRow

GIVEN, MISSED, SUPERFLUOUS = "given", "missed", "superfluous"
WAYS = (GIVEN, MISSED, SUPERFLUOUS)
"""What a text may hold of an answer: it was given; it was not said as often as it was given; it was said where it was
not given."""


@dataclass(frozen=True)
class RegionAnswer:
    """One answer: how often it was `given`, how often not said then, and how often said where it was not given."""

    label: str
    given: int
    missed: int
    superfluous: int


def count_answers(rows: Sequence[EvidenceRow]) -> dict[str, list[RegionAnswer]]:
    """Question -> its answers, those with most mistakes first."""
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for row in rows:
        for name, own in row.marked.about.items() if row.marked else ():
            mine = counts.setdefault(name, Counter())
            for label in own.labels:
                mine.update({(label, what): count for what, count in _counts_of(row, name, label).items()})
    return {name: _ranked(mine) for name, mine in sorted(counts.items())}


def rows_with(rows: Sequence[EvidenceRow], about: str, label: str, what: str) -> list[EvidenceRow]:
    """Those whose text holds that (`what`: of WAYS) of an answer to the question `about` regions, the newest first."""
    return [row for row in reversed(rows) if _counts_of(row, about, label).get(what)]


def _counts_of(row: EvidenceRow, about: str, label: str) -> dict[str, int]:
    own = row.marked.about.get(about) if row.marked else None
    given, said, both = own.labels.get(label, (0, 0, 0)) if own else (0, 0, 0)
    return {GIVEN: given, MISSED: given - both, SUPERFLUOUS: said - both}


def _ranked(counts: Counter[tuple[str, str]]) -> list[RegionAnswer]:
    labels = {label for label, _ in counts}
    found = [RegionAnswer(label, *(counts[label, what] for what in WAYS)) for label in labels]
    return sorted(found, key=lambda one: (-(one.missed + one.superfluous), -one.given, one.label))
