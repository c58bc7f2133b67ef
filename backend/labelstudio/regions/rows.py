"""What annotations say about marked regions, as it is stored."""

from __future__ import annotations

from collections.abc import Sequence

from model.region import Region
from model.span import Span

Answered = list[list[str]] | int
"""Paths of the chosen labels, or stars; an empty list says that the question was left blank."""

AnswerRow = tuple[str, int, int, str, Answered]
"""A region (the control that marks it, start, end, label) and an answer about it."""

RegionRow = tuple[str, int, int, str]
"""The control that marks a region, start, end, label."""

RelationRow = tuple[RegionRow, RegionRow, bool, list[str]]
"""Source, target, whether it holds both ways, and its labels."""

RegionTargets = dict[str, list[AnswerRow]]
"""Question -> its answers, one for each region that it was asked of."""


def answer_rows(data: RegionTargets) -> RegionTargets:
    """The rows that JSON gave back. Raises TypeError or ValueError on foreign data."""
    return {
        name: [
            (*_region((control, start, end, label)), _answered(answer)) for control, start, end, label, answer in rows
        ]
        for name, rows in data.items()
    }


def region_of(row: AnswerRow) -> Region:
    """What a row is about."""
    return Region(*row[:4])


def relation_rows(data: Sequence[RelationRow]) -> list[RelationRow]:
    """As above."""
    return [
        (_region(source), _region(target), bool(both), [str(label) for label in labels])
        for source, target, both, labels in data
    ]


def _region(row: RegionRow) -> RegionRow:
    control, start, end, label = row
    span = Span(int(start), int(end), str(label))
    return str(control), span.start, span.end, span.label


def _answered(answer: Answered) -> Answered:
    if isinstance(answer, int):
        return int(answer)
    if not all(isinstance(path, list) for path in answer):
        raise TypeError("an answer is stars, or paths of labels")
    return [[str(part) for part in path] for path in answer]
