"""Mistakes by their kind, and classes by how they fare, of every form of answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evidence.report.cells import (
    ANSWERED,
    OTHERWISE,
    Cell,
    Form,
    cells_of,
    count_cells,
    form_of,
    mistakes_of,
    most_confused,
    rows_of_cell,
)
from model.evidence.report.classes import (
    ClassCounts,
    LevelCounts,
    count_classes,
    count_levels,
    macro_f1,
    mean_star_error,
    micro_f1,
    present_rows,
)
from model.evidence.row import EvidenceRow, Judgement, Marked
from model.spec import Control, Kind, Label


def row(given: str, said: str, task: int = 1, labels: int = 100) -> EvidenceRow:
    """Of labels apart by blanks."""
    own, other = tuple(given.split()), tuple(said.split())
    return EvidenceRow("label", Judgement(0.9, own == other, 0.1), labels=labels, task=task, given=own, said=other)


def marked(shown: str, drawn: str, slips: list[tuple[str, str, bool]], right: str = "") -> EvidenceRow:
    spans = tuple((label, 0.9, label in right.split()) for label in shown.split())
    own = Marked(spans, tuple(drawn.split()), 1, slips=tuple(slips))
    return EvidenceRow("label", Judgement(0.9, False, 0.1), task=1, marked=own)


def control(kind: Kind, several: bool = False, inputs: tuple[str, ...] = ("text",)) -> Control:
    return Control("label", kind, inputs, (Label(("A",), "a"),), several=several)


@pytest.mark.parametrize(
    ("asked", "rows", "form"),
    [
        (control(Kind.SINGLE), [], Form.SINGLE),
        (control(Kind.MULTIPLE), [], Form.SET),
        (control(Kind.TAXONOMY), [row("A", "B")], Form.TREE),
        (control(Kind.TAXONOMY), [row("A B", "B")], Form.SET),
        (control(Kind.RATING), [], Form.STARS),
        (control(Kind.SPANS), [], Form.SPANS),
        (control(Kind.SPANS, inputs=("passage", "question")), [], Form.QUESTION),
    ],
)
def test_answers_are_compared_in_the_form_they_have(asked: Control, rows: list[EvidenceRow], form: Form) -> None:
    assert form_of(asked, rows) is form


def test_one_answer_is_one_cell_and_none_of_these_a_class() -> None:
    rows = [row("A", "A"), row("A", "B"), row("", "B"), row("A", "B"), row("A", "B", task=0)]
    assert count_cells(rows, Form.SINGLE) == {Cell("A", "A"): 1, Cell("A", "B"): 2, Cell("", "B"): 1}
    assert mistakes_of(rows, Form.SINGLE) == [(Cell("A", "B"), 2), (Cell("", "B"), 1)]
    counts = count_classes(rows, Form.SINGLE)
    assert counts == {"": ClassCounts(1, 0, 0), "A": ClassCounts(3, 1, 1), "B": ClassCounts(0, 3, 0)}
    assert counts["A"].precision == 1 and counts["A"].recall == pytest.approx(1 / 3) and counts["A"].f1 == 0.5
    assert counts[""].precision is None and counts["B"].recall is None
    assert macro_f1(counts) == pytest.approx(0.5 / 3) and macro_f1({}) is None


def test_a_set_misses_labels_and_has_some_too_many() -> None:
    rows = [row("A B", "B C"), row("", "C"), row("", "")]
    assert cells_of(rows[0], Form.SET) == [Cell("A", ""), Cell("B", "B"), Cell("", "C")]
    assert mistakes_of(rows, Form.SET) == [(Cell("", "C"), 2), (Cell("A", ""), 1)]
    counts = count_classes(rows, Form.SET)
    assert set(counts) == {"A", "B", "C"} and counts["C"] == ClassCounts(0, 2, 0)
    assert micro_f1(counts) == pytest.approx(2 * 1 / (2 + 3))


def test_a_tree_is_compared_level_by_level_and_a_node_above_is_no_mistake() -> None:
    rows = [row("A/A1", "A/A1"), row("A/A1", "A"), row("A/A1", "B/B1"), row("B", "A/A2"), row("A/A1", "")]
    above = EvidenceRow("label", Judgement(0.9, True, 0.1), task=2, given=("A/A1",), said=("A",))
    assert count_levels(rows) == [LevelCounts(1, 5, 4, 2), LevelCounts(2, 4, 2, 1)]
    assert count_cells(rows, Form.TREE, 1)[Cell("A", "A")] == 2
    assert [cell for cell, _ in mistakes_of([above, rows[2]], Form.TREE)] == [Cell("A/A1", "B/B1")]
    assert count_levels([]) == []


def test_stars_are_off_by_their_distance() -> None:
    assert mean_star_error([row("5", "4"), row("1", "4"), row("3", "3"), row("", "2")]) == pytest.approx(4 / 3)
    assert mean_star_error([row("", "")]) is None


def test_spans_tell_boundary_from_label() -> None:
    slips = [("PER", "ORG", True), ("LOC", "LOC", False), ("PER", "", False), ("", "ORG", False)]
    rows = [marked("ORG LOC ORG PER", "PER LOC PER PER", slips, "PER")]
    assert [cell for cell, _ in mistakes_of(rows, Form.SPANS)] == sorted(Cell(*slip) for slip in slips)
    assert count_classes(rows, Form.SPANS)["PER"] == ClassCounts(3, 1, 1)
    old = EvidenceRow("label", Judgement(0.9, False, 0.1), marked=Marked((("PER", 0.5, True),), ("PER",), 0))
    assert cells_of(old, Form.SPANS) == [] and count_classes([old], Form.SPANS) == {"PER": ClassCounts(1, 1, 1)}


@pytest.mark.parametrize(
    ("shown", "drawn", "right", "cell"),
    [
        ("A", "A A", "A", Cell(ANSWERED, ANSWERED)),
        ("A", "A", "", Cell(ANSWERED, OTHERWISE)),
        ("", "A", "", Cell(ANSWERED, "")),
        ("A", "", "", Cell("", ANSWERED)),
        ("", "", "", Cell("", "")),
    ],
)
def test_a_question_is_answered_or_cannot_be(shown: str, drawn: str, right: str, cell: Cell) -> None:
    assert cells_of(marked(shown, drawn, [], right), Form.QUESTION) == [cell]


def test_versions_that_knew_less_than_half_of_the_labels_tell_nothing() -> None:
    rows = [row("A", "A", labels=count) for count in (0, 49, 50, 100)]
    assert present_rows(rows, "label", 100) == rows[2:] and present_rows(rows, "other", 100) == []


@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from("ABCD")), max_size=40))
def test_every_mistake_is_in_the_list_of_its_cell(pairs: list[tuple[str, str]]) -> None:
    rows = [row(own, other, task) for task, (own, other) in enumerate(pairs, 1)]
    counted = count_cells(rows, Form.SINGLE)
    assert sum(counted.values()) == len(rows)
    for cell, count in counted.items():
        found = rows_of_cell(rows, Form.SINGLE, cell)
        assert len(found) == count and [one.task for one in found] == sorted((one.task for one in found), reverse=True)
    labels, confused = most_confused(counted, 2)
    assert len(labels) == min(2, confused)
    assert confused == len({label for own, other in pairs if own != other for label in (own, other)})
