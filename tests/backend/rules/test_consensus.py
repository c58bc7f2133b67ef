"""One target per task, whoever labelled it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from tests.support.rig import choices_config


def record(annotation: int, target: Any, task: int = 1, **fields: Any) -> ExampleRecord:
    stamp = f"2026-01-01T00:00:{annotation:02d}Z"
    return ExampleRecord(annotation, task, {"text": f"text {annotation}"}, {"label": target}, stamp, **fields)


SINGLE = parse_label_config(choices_config(["A", "B"]))
SETS = parse_label_config(choices_config(["A", "B", "C"], multiple=True))
STARS = parse_label_config('<View><Text name="text" value="$t"/><Rating name="label" toName="text"/></View>')


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
    [sample] = reach_consensus(STARS, [record(1, 4), record(2, 5)]).samples["label"]
    assert sample.target == {"4": 0.5, "5": 0.5}


def test_the_newest_answer_of_a_person_counts_and_a_ground_truth_before_it() -> None:
    records = [record(1, [["A"]], annotator=5), record(2, [["B"]], annotator=5), record(3, [["B"]], annotator=6)]
    found = reach_consensus(SINGLE, records)
    [sample] = found.samples["label"]
    assert (sample.target, sample.annotations) == ({"B": 1.0}, (2, 3))
    assert found.answers == {"label": {5: 1, 6: 1}}
    sure = [record(1, [["A"]], annotator=5, ground_truth=True), record(2, [["B"]], annotator=5)]
    assert reach_consensus(SINGLE, sure).samples["label"][0].target == {"A": 1.0}


def test_one_answer_a_task_leaves_nothing_to_disagree_about() -> None:
    found = reach_consensus(SINGLE, [record(n, [["A"]], task=n, annotator=1) for n in range(1, 9)])
    assert found.disagreement == {"label": {}} and found.reliability == {}
    assert found.describe_annotators() == {"annotators": {}, "disagreements": {}}


@pytest.mark.parametrize(
    ("spec", "targets", "expected"),
    [
        (SINGLE, [[["A"]], [["A"]]], 0.0),
        (SINGLE, [[["A"]], [["B"]]], 1.0),
        (SINGLE, [[["A"]], [["A"]], [["B"]]], 2 / 3),
        (SETS, [[["A"], ["B"]], [["A"]]], 0.5),
        (STARS, [4, 5], 0.25),
        (STARS, [1, 5], 1.0),
    ],
)
def test_disagreement_is_the_distance_between_pairs(spec: Any, targets: list[Any], expected: float) -> None:
    found = reach_consensus(spec, [record(n, target, annotator=n) for n, target in enumerate(targets, 1)])
    assert found.disagreement["label"][1] == pytest.approx(expected, abs=1e-4)


PEOPLE = {11: 0.95, 12: 0.7, 13: 0.25, 14: 0.75}
"""Somebody who guesses cannot help to tell two others apart, so it takes three who do not."""


def crowd(seed: int, tasks: int, *, alone: int = 0) -> tuple[dict[int, str], list[ExampleRecord]]:
    """Truth, and the answers of PEOPLE to the same tasks; then `alone` tasks that 11, 12 and 13 have to themselves."""
    random = np.random.default_rng(seed)
    letters, truth, records = "ABCD", {}, []
    for task in range(1, tasks + alone + 1):
        truth[task] = letters[random.integers(4)]
        for person in PEOPLE if task <= tasks else [11 + task % 3]:
            wrong = [letter for letter in letters if letter != truth[task]]
            said = truth[task] if random.random() < PEOPLE[person] else wrong[random.integers(3)]
            fields = {"text": f"text {task}"}
            records.append(ExampleRecord(len(records) + 1, task, fields, {"label": [[said]]}, "", annotator=person))
    return truth, records


FOUR = parse_label_config(choices_config(list("ABCD")))


@pytest.mark.parametrize("seed", range(5))
def test_reliable_people_count_more_than_a_spammer(seed: int) -> None:
    truth, records = crowd(seed, 200)
    found = reach_consensus(FOUR, records)
    alike = reach_consensus(FOUR, [replace(item, annotator=None) for item in records])
    right = [sum(s.top == truth[s.task] for s in each.samples["label"]) / 200 for each in (found, alike)]
    assert right[0] > right[1] + 0.02
    assert all(sum(sample.target.values()) == pytest.approx(1) for sample in found.samples["label"])
    reliability = found.reliability["label"]
    assert reliability == pytest.approx(PEOPLE, abs=0.12)
    shown = found.describe_annotators()
    assert shown["annotators"]["label"]["11"] == {"reliability": reliability[11], "labels": 200}
    scores = [entry["score"] for entry in shown["disagreements"]["label"]]
    assert len(scores) == 20 and scores == sorted(scores, reverse=True)


def test_a_task_that_only_a_spammer_answered_counts_little() -> None:
    _, records = crowd(0, 200, alone=30)
    weights: dict[int, set[float]] = {}
    for sample in reach_consensus(FOUR, records).samples["label"][200:]:
        weights.setdefault(11 + sample.task % 3, set()).add(sample.weight)
        assert set(sample.target.values()) == {1.0}, "one answer stays what it is"
    assert weights[11] == {1.0}
    [mediocre], [spammer] = weights[12], weights[13]
    assert 0.4 < mediocre < 0.95 and 0.1 <= spammer < 0.25


def test_with_little_overlap_or_two_people_everybody_counts_alike() -> None:
    _, few = crowd(0, 15)
    _, many = crowd(0, 100)
    for records in (few, [item for item in many if item.annotator in (11, 12)]):
        found = reach_consensus(FOUR, records)
        alike = reach_consensus(FOUR, [replace(item, annotator=None) for item in records])
        assert found.samples == alike.samples and found.reliability == {}


def test_ground_truths_tell_two_people_apart() -> None:
    truth, records = crowd(1, 100)
    two = [item for item in records if item.annotator in (11, 12)]
    sure = [
        ExampleRecord(1000 + task, task, {"text": ""}, {"label": [[truth[task]]]}, "", annotator=1, ground_truth=True)
        for task in range(1, 31)
    ]
    found = reach_consensus(FOUR, two + sure)
    assert found.reliability["label"] == pytest.approx({11: 0.95, 12: 0.7}, abs=0.1)
    assert all(s.ground_truth and s.target == {truth[s.task]: 1.0} for s in found.samples["label"][:30])


def test_sets_are_weighed_label_by_label() -> None:
    random = np.random.default_rng(0)
    records, truth = [], {}
    for task in range(1, 121):
        truth[task] = {letter for letter in "ABC" if random.random() < 0.4} or {"A"}
        for person, rate in {1: 0.97, 2: 0.8, 3: 0.8, 4: 0.5}.items():
            said = {letter for letter in "ABC" if (letter in truth[task]) == (random.random() < rate)} or {"A"}
            target = {"label": [[letter] for letter in sorted(said)]}
            records.append(ExampleRecord(len(records) + 1, task, {"text": "t"}, target, "", annotator=person))
    found = reach_consensus(SETS, records)
    alike = reach_consensus(SETS, [replace(item, annotator=None) for item in records])

    def right(samples: Any) -> int:
        return sum({key for key, share in s.target.items() if share >= 0.5} == truth[s.task] for s in samples)

    assert right(found.samples["label"]) > right(alike.samples["label"]) + 5
    assert list(found.reliability["label"]) == [1, 2, 3, 4]
    assert found.reliability["label"][1] > found.reliability["label"][2] > found.reliability["label"][4]
    assert all(0 < share <= 1 for sample in found.samples["label"] for share in sample.target.values())


def test_an_unnamed_answer_beside_named_ones_is_heard() -> None:
    _, records = crowd(2, 60)
    for spec in (FOUR, parse_label_config(choices_config(list("ABCD"), multiple=True))):
        unnamed = [replace(records[0], annotation=900 + n, targets={"label": [["A"], ["B"]]}) for n in range(2)]
        extra = [replace(item, annotator=None) for item in unnamed]
        found = reach_consensus(spec, records + extra)
        assert found.samples["label"][0].annotations[-2:] == (900, 901)
        assert set(found.reliability["label"]) == set(PEOPLE)


def test_unnamed_people_are_each_one_voice() -> None:
    [sample] = reach_consensus(SINGLE, [record(n, [["A" if n < 3 else "B"]]) for n in range(1, 5)]).samples["label"]
    assert sample.target == {"A": 0.5, "B": 0.5}
