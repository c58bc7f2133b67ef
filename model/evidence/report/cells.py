"""Mistakes by their kind: which label was given, and which was answered in its place. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from model.evidence.row import EvidenceRow
from model.labels import key_of, path_of
from model.spec import NONE, Control, Kind

ANSWERED, OTHERWISE = "answer", "other answer"
"""Labels of the cells of a question to a text: it was answered, and otherwise than people did."""


class Form(str, Enum):
    """How answers are compared."""

    SINGLE = "single"
    SET = "set"
    TREE = "tree"
    STARS = "stars"
    SPANS = "spans"
    QUESTION = "question"


@dataclass(frozen=True, order=True)
class Cell:
    """The label that was given, by its key, and the one that was answered; NONE for none. Both the same: right; of a
    marked span the right label, at another place."""

    given: str
    said: str
    same_place: bool = True


def form_of(control: Control, rows: Iterable[EvidenceRow]) -> Form:
    """Of the answers of `control`, whose rows show whether people give a taxonomy several paths."""
    if control.kind is Kind.SPANS:
        return Form.QUESTION if control.question else Form.SPANS
    if control.multilabel or any(len(row.given) > 1 or len(row.said) > 1 for row in rows):
        return Form.SET
    return {Kind.TAXONOMY: Form.TREE, Kind.RATING: Form.STARS}.get(control.kind, Form.SINGLE)


def cells_of(row: EvidenceRow, form: Form, level: int = 0) -> list[Cell]:
    """The cells that a row adds one to; of a tree those of its first `level` levels (0: of whole paths). None for a row
    that does not tell."""
    if not row.task:
        return []
    if form is Form.SPANS:
        return [Cell(*slip) for slip in (row.marked.slips or () if row.marked else ())]
    if form is Form.QUESTION:
        return [_question_cell(row)] if row.marked else []
    if form is Form.SET:
        given, said = set(row.given), set(row.said)
        return [Cell(key if key in given else NONE, key if key in said else NONE) for key in sorted(given | said)]
    return [Cell(_only(row.given, level), _only(row.said, level))]


def count_cells(rows: Iterable[EvidenceRow], form: Form, level: int = 0) -> Counter[Cell]:
    """Cell -> how often it occurs."""
    return Counter(cell for row in rows for cell in cells_of(row, form, level))


def mistakes_of(rows: Iterable[EvidenceRow], form: Form) -> list[tuple[Cell, int]]:
    """The mistakes, the most frequent first. A node of a tree above the one that was given is none."""
    wrong = [row for row in rows if form is not Form.TREE or not row.correct]
    counted = count_cells(wrong, form)
    found = [(cell, count) for cell, count in counted.items() if form is Form.SPANS or cell.given != cell.said]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def kind_of_mistake(cell: Cell, form: Form) -> str:
    """What is wrong, where the two labels do not say it."""
    if form is Form.SET:
        return "missed" if cell.said == NONE else "superfluous"
    if form is not Form.SPANS:
        return ""
    if cell.said == NONE:
        return "missed"
    if cell.given == NONE:
        return "superfluous"
    if cell.same_place:
        return "other label"
    return "other boundary" if cell.given == cell.said else "other label and boundary"


def most_confused(counted: Counter[Cell], limit: int) -> tuple[list[str], int]:
    """The labels that take part in most mistakes, at most so many, and how many do in all."""
    often: Counter[str] = Counter()
    for cell, count in counted.items():
        if cell.given != cell.said:
            often.update({cell.given: count, cell.said: count})
    ranked = sorted(often, key=lambda key: (-often[key], key))
    return ranked[:limit], len(ranked)


def rows_of_cell(rows: Sequence[EvidenceRow], form: Form, cell: Cell, level: int = 0) -> list[EvidenceRow]:
    """Those that are in a cell, the newest first."""
    return [row for row in reversed(rows) if cell in cells_of(row, form, level)]


def _only(keys: Sequence[str], level: int) -> str:
    if not keys:
        return NONE
    return key_of(path_of(keys[0])[:level]) if level else keys[0]


def _question_cell(row: EvidenceRow) -> Cell:
    """Of several places that were marked each one is a right answer."""
    marked = row.marked
    assert marked is not None
    given = ANSWERED if marked.drawn else NONE
    if not marked.shown:
        return Cell(given, NONE)
    right = any(hit for *_, hit in marked.shown)
    return Cell(given, ANSWERED if right or not given else OTHERWISE)
