"""Figures of suggested spans, by hand."""

from __future__ import annotations

import json

import pytest

from model.evidence.learning_curve import learning_curve, tally
from model.evidence.marked_text import summarise_marks
from model.evidence.row import EvidenceRow, Judgement, Marked


def row(shown: list[tuple[str, float, bool]], drawn: list[str], edits: int, labels: int = 10) -> EvidenceRow:
    right = all(ok for *_, ok in shown) and len(shown) == len(drawn)
    judged = Judgement(0.8, right, 0.2 if right else 1.6)
    return EvidenceRow("label", judged, "v0.1", labels=labels, marked=Marked(tuple(shown), tuple(drawn), edits))


ROWS = [
    row([("PER", 0.9, True), ("LOC", 0.6, False)], ["PER", "PER"], 2),
    row([("PER", 0.8, True)], ["PER"], 0),
    row([], [], 0),
]


def test_figures_are_those_of_all_spans_together_and_of_each_label() -> None:
    found = summarise_marks(ROWS)
    assert found is not None
    assert (found["precision"], found["recall"], found["f1"]) == (0.6667, 0.6667, 0.6667)
    assert found["saved"] == pytest.approx(1 - 2 / 3, abs=1e-4)
    assert found["labels"]["PER"] == {"f1": 0.8, "precision": 1.0, "recall": 0.6667, "n": 3}
    assert found["labels"]["LOC"] == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "n": 0}
    # Three spans, each in a bin of its own: |.9 - 1|, |.6 - 0| and |.8 - 1|.
    assert found["ece"] == pytest.approx(0.3, abs=1e-3)


def test_suggestions_that_cost_clicks_save_less_than_nothing() -> None:
    found = summarise_marks([row([("PER", 0.9, False), ("PER", 0.9, False)], ["LOC"], 3)])
    assert found is not None and found["saved"] == -2.0 and found["f1"] == 0.0
    found = summarise_marks([row([("PER", 0.9, False)], [], 1)])
    assert found is not None and found["saved"] == 0.0 and found["labels"]["PER"]["n"] == 0


def test_nothing_shown_and_nothing_drawn_has_no_figures() -> None:
    assert summarise_marks([]) is None and summarise_marks([row([], [], 0)]) is None
    choices = EvidenceRow("topic", Judgement(0.8, True, 0.2))
    assert summarise_marks([choices]) is None


def test_rows_survive_as_json_and_those_of_choices_are_what_they_were() -> None:
    for one in ROWS:
        assert EvidenceRow.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert "marked" not in EvidenceRow("topic", Judgement(0.8, True, 0.2)).to_json()


def test_the_curve_adds_up_what_rows_say_whatever_way_they_come() -> None:
    whole = learning_curve(tally(ROWS * 6))["label"]
    (point,) = whole
    assert point["n"] == 18 and point["f1"] == 0.6667 and point["saved"] == pytest.approx(1 - 2 / 3, abs=1e-4)
    sums = dict[str, float]()
    for one in ROWS * 6:
        for key, value in tally([one]).items():
            sums[key] = sums.get(key, 0.0) + value
    assert learning_curve(sums)["label"] == whole


def test_the_curve_of_choices_has_no_figures_of_spans() -> None:
    (point,) = learning_curve(tally([EvidenceRow("topic", Judgement(0.8, True, 0.2), labels=8)] * 12))["topic"]
    assert "f1" not in point and "saved" not in point


def test_a_stage_in_which_nothing_was_drawn_has_no_share_of_clicks() -> None:
    (point,) = learning_curve(tally([row([("PER", 0.9, False)], [], 1)] * 12))["label"]
    assert point["f1"] == 0.0 and "saved" not in point
    (point,) = learning_curve(tally([row([], [], 0)] * 12))["label"]
    assert "f1" not in point and point["accuracy"] == 1.0
