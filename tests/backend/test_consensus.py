"""One target per task, whoever labelled it."""

from __future__ import annotations

from typing import Any

import pytest

from backend.consensus import reach_consensus
from backend.labelstudio.config import parse_label_config
from backend.labelstudio.records import ExampleRecord
from bench.rig import choices_config


def record(annotation: int, target: Any, task: int = 1, **fields: Any) -> ExampleRecord:
    stamp = f"2026-01-01T00:00:{annotation:02d}Z"
    return ExampleRecord(annotation, task, {"text": f"text {annotation}"}, {"label": target}, stamp, **fields)


SINGLE = parse_label_config(choices_config(["A", "B"]))
SETS = parse_label_config(choices_config(["A", "B", "C"], multiple=True))


def test_disagreement_becomes_a_soft_target() -> None:
    [sample] = reach_consensus(SINGLE, [record(1, [["A"]]), record(2, [["A"]]), record(3, [["B"]])]).samples["label"]
    assert sample.target == pytest.approx({"A": 2 / 3, "B": 1 / 3})
    assert (sample.top, sample.text, sample.annotations) == ("A", ("text 3",), (1, 2, 3))


def test_a_ground_truth_outweighs_everybody() -> None:
    records = [record(1, [["A"]]), record(2, [["A"]]), record(3, [["B"]], ground_truth=True)]
    [sample] = reach_consensus(SINGLE, records).samples["label"]
    assert sample.target == {"B": 1.0} and sample.ground_truth


def test_sets_keep_the_share_of_each_label() -> None:
    found = reach_consensus(SETS, [record(1, [["A"], ["B"]]), record(2, [["A"]])])
    assert found.samples["label"][0].target == {"A": 1.0, "B": 0.5}
    assert found.counts() == {"label": {"A": 1, "B": 1}}


def test_labels_outside_the_config_are_quarantined() -> None:
    found = reach_consensus(SINGLE, [record(1, [["Z"]], task=1), record(2, [["A"]], task=2)])
    assert [sample.task for sample in found.samples["label"]] == [2]
    assert found.quarantined == {"label": {"Z": 1}}


def test_a_rating_is_its_stars() -> None:
    spec = parse_label_config('<View><Text name="text" value="$t"/><Rating name="label" toName="text"/></View>')
    [sample] = reach_consensus(spec, [record(1, 4), record(2, 5)]).samples["label"]
    assert sample.target == {"4": 0.5, "5": 0.5}
