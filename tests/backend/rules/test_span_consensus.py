"""From several people's spans to what is learned; an oracle with noisy annotators at the end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from backend.labelstudio.records import ExampleRecord, SpanRow
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from backend.rules.span_consensus import majority, reach_span_consensus
from model.span import Span, SpanSample
from model.spec import Control, Input, Kind, Label, TaskSpec

CONTROL = Control("label", Kind.SPANS, ("text.page",), tuple(Label((one,), one) for one in ("PER", "LOC")), "Labels")
TEXT = "Ada met Bob in Rome and Cid in Oslo."
ADA, BOB, ROME, CID, OSLO = (0, 3, "PER"), (8, 11, "PER"), (15, 19, "LOC"), (24, 27, "PER"), (31, 35, "LOC")


def answer(
    number: int, spans: Sequence[SpanRow], person: int | None = 1, task: int = 1, at: int = 0, **more: Any
) -> ExampleRecord:
    """One annotation, stamped `at` seconds."""
    texts = more.pop("texts", {"text.page": TEXT})
    stamp = f"2026-01-01T00:{at // 60:02d}:{at % 60:02d}Z"
    return ExampleRecord(number, task, texts, {}, stamp, person, spans={"label": list(spans)}, **more)


def reach(*records: ExampleRecord, control: Control = CONTROL) -> Any:
    by_task: dict[int, list[ExampleRecord]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    return reach_span_consensus(control, by_task)


def rows_of(sample: SpanSample) -> list[SpanRow]:
    return [(one.start, one.end, one.label) for one in sample.spans]


def test_a_ground_truth_wins_over_any_number_of_others() -> None:
    found = reach(answer(1, [ADA], 1), answer(2, [ADA], 2), answer(3, [ADA], 3), answer(4, [BOB], 4, ground_truth=True))
    (sample,) = found.samples
    assert rows_of(sample) == [BOB] and sample.weight == 1.0 and sample.ground_truth
    assert sample.annotations == (4,)


def test_two_ground_truths_that_differ_share_the_weight() -> None:
    found = reach(answer(1, [ADA], 1, ground_truth=True), answer(2, [], 2, ground_truth=True), answer(3, [BOB], 3))
    assert sorted((rows_of(one), one.weight) for one in found.samples) == [([], 0.5), ([ADA], 0.5)]


def test_of_one_person_the_newest_answer_counts_whatever_came_first() -> None:
    found = reach(answer(1, [ADA], 1, at=9), answer(2, [BOB], 1, at=3))
    assert [rows_of(one) for one in found.samples] == [[ADA]] and found.answers == {1: 1}
    found = reach(answer(1, [ADA], 1, at=9), answer(2, [BOB], 1, at=3, ground_truth=True))
    assert [rows_of(one) for one in found.samples] == [[BOB]], "but their own ground truth goes before"


def test_annotations_of_nobody_are_each_somebodys() -> None:
    found = reach(answer(1, [ADA], None), answer(2, [ADA], None), answer(3, [BOB], None))
    assert sorted(one.weight for one in found.samples) == [pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert found.answers == {}


def test_people_who_agree_are_one_sample_and_those_who_do_not_share_its_weight() -> None:
    found = reach(answer(1, [BOB, ADA], 1), answer(2, [ADA, BOB], 2), answer(3, [ADA], 3))
    by_rows = {tuple(rows_of(one)): one for one in found.samples}
    assert by_rows[ADA, BOB].weight == pytest.approx(2 / 3) and by_rows[ADA, BOB].annotations == (1, 2)
    assert by_rows[ADA,].weight == pytest.approx(1 / 3)
    assert sum(one.weight for one in found.samples) == pytest.approx(1.0)
    assert found.disagreement[1] == pytest.approx(1 - (1 + 2 / 3 + 2 / 3) / 3)
    assert majority(found.samples) == (Span(*ADA), Span(*BOB))


def test_no_entity_is_an_answer_and_agrees_with_itself() -> None:
    found = reach(answer(1, [], 1), answer(2, [], 2))
    (sample,) = found.samples
    assert sample.spans == () and sample.weight == 1.0 and found.disagreement == {1: 0.0}


def test_a_label_that_the_config_has_not_is_quarantined_and_alone_says_nothing() -> None:
    found = reach(answer(1, [(0, 3, "ORG"), BOB], 1), answer(2, [(0, 3, "ORG")], 1, task=2), answer(3, [], 1, task=3))
    assert [(one.task, rows_of(one)) for one in found.samples] == [(1, [BOB]), (3, [])]
    assert found.quarantined == {"ORG": 2}
    found = reach(answer(1, [(0, 3, "ORG")], 1), control=replace(CONTROL, options_field="labels"))
    assert [rows_of(one) for one in found.samples] == [[(0, 3, "ORG")]], "there the tasks say which labels there are"


def test_spans_beyond_the_text_and_answers_without_one_are_passed_over() -> None:
    found = reach(answer(1, [ADA, (30, 99, "PER")], 1), answer(2, [ADA], 1, task=2, texts={}))
    assert [(one.task, rows_of(one)) for one in found.samples] == [(1, [ADA])]


def test_a_removal_that_somebody_drew_all_the_same_is_none() -> None:
    removed = {"label": [ADA, ROME]}
    (sample,) = reach(answer(1, [ADA], 1, removed=removed), answer(2, [ADA], 2, removed=removed)).samples
    assert sample.removed == (Span(*ROME),)


def tasks_of_three(count: int, third: Sequence[SpanRow]) -> list[ExampleRecord]:
    """Tasks that two people answer alike, and a third one in this way."""
    found = []
    for task in range(count):
        for person, spans in enumerate(([ADA, BOB], [ADA, BOB], third), 1):
            found.append(answer(3 * task + person, spans, person, task + 1))
    return found


def test_nothing_is_said_of_people_before_three_shared_tasks() -> None:
    assert reach(*tasks_of_three(2, [ROME])).reliability == {}
    found = reach(*tasks_of_three(3, [ROME]))
    assert found.reliability[1] == found.reliability[2] > found.reliability[3]
    assert max(one.weight for one in found.samples) > 2 / 3, "the odd one out counts for less than a third"


def test_of_two_people_nobody_can_tell_who_is_wrong() -> None:
    records = [
        answer(2 * task + person, [ADA] if person == 1 else [BOB], person, task)
        for task in range(1, 9)
        for person in (1, 2)
    ]
    found = reach(*records)
    assert found.reliability == {} and {one.weight for one in found.samples} == {0.5}


def test_a_ground_truth_tells_it_of_two_as_well() -> None:
    records = []
    for task in range(1, 5):
        records += [answer(10 * task, [ADA], 9, task, ground_truth=True), answer(10 * task + 1, [ADA], 1, task)]
        records += [answer(10 * task + 2, [BOB], 2, task)]
    records += [answer(100, [CID], 1, 50), answer(101, [OSLO], 2, 50)]
    found = reach(*records)
    assert found.reliability[1] > 0.7 > 0.3 > found.reliability[2] and 9 not in found.reliability
    by_rows = {tuple(rows_of(one)): one.weight for one in found.samples if one.task == 50}
    assert by_rows[CID,] > 0.8 > 0.2 > by_rows[OSLO,]


def test_agreement_is_told_by_label() -> None:
    found = reach(answer(1, [ADA, ROME], 1), answer(2, [ADA, OSLO], 2))
    assert found.agreement == {"LOC": 0.0, "PER": 1.0}
    assert found.disagreement == {1: pytest.approx(0.5)}


def test_the_consensus_of_a_project_has_choices_and_spans_side_by_side() -> None:
    topic = Control("topic", Kind.SINGLE, ("text",), (Label(("a",), "a"), Label(("b",), "b")))
    spec = TaskSpec((Input("text", "Text", "$text"), Input("text.page", "Text", "$text")), (topic,), spans=(CONTROL,))
    texts = {"text": TEXT, "text.page": TEXT}
    found = reach_consensus(
        spec,
        [
            replace(answer(1, [ADA], 1, texts=texts), targets={"topic": [["a"]]}),
            answer(2, [BOB], 2),
            replace(answer(3, [], 1, task=2, texts=texts), spans={}, targets={"topic": [["b"]]}),
        ],
    )
    assert found.sizes() == {"topic": 2, "label": 1} and found.counts()["label"] == {"PER": 2}
    assert found.describe_annotators()["disagreements"]["label"] == [{"task": 1, "score": 1.0}]


# The oracle: what is right is known, people err as they do.
PEOPLE = {1: 0.03, 2: 0.05, 3: 0.55, 4: 0.6, 5: 0.6}
"""Person -> how often a span comes out wrong."""


def noisy(truth: Sequence[SpanRow], wrong: float, chance: random.Random) -> list[SpanRow]:
    """Left out, cut short, or of the other label."""
    found = []
    for start, end, label in truth:
        if chance.random() >= wrong:
            found.append((start, end, label))
        elif (blow := chance.choice(["gone", "label", "label", "short"])) == "label":
            found.append((start, end, "LOC" if label == "PER" else "PER"))
        elif blow == "short":
            found.append((start, end - 1, label))
    return found


def f1(found: Sequence[set[Span]], truth: Sequence[set[Span]]) -> float:
    hits = sum(len(one & other) for one, other in zip(found, truth, strict=True))
    return 2 * hits / sum(len(one) + len(other) for one, other in zip(found, truth, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_weighting_by_reliability_beats_equal_votes(seed: int) -> None:
    chance, records, truths = random.Random(seed), [], []
    for task in range(60):
        truth = [row for row in (ADA, BOB, ROME, CID, OSLO) if chance.random() < 0.7]
        truths.append({Span(*row) for row in truth})
        records += [answer(10 * task + p, noisy(truth, wrong, chance), p, task) for p, wrong in PEOPLE.items()]
    found = reach(*records)
    order = sorted(PEOPLE, key=lambda person: -found.reliability[person])
    assert set(order[:2]) == {1, 2}, "who is reliable is found out without any truth"
    by_task = [[one for one in found.samples if one.task == task] for task in range(60)]
    equal = [[replace(one, weight=float(len(one.annotations))) for one in mine] for mine in by_task]
    weighted = f1([set(majority(mine)) for mine in by_task], truths)
    voted = f1([set(majority(mine)) for mine in equal], truths)
    assert weighted > voted + 0.02 and weighted > 0.9, (weighted, voted)


def test_names_of_labels_are_no_paths() -> None:
    xml = r"""<View><Labels name="label" toName="text"><Label value="Person/Group"/><Label value="N\A"/></Labels>
        <Text name="text" value="$text"/></View>"""
    (control,) = parse_label_config(xml).spans
    assert control.keys() == ("Person/Group", "N\\A") and set(control.words) == set(control.keys())
    found = reach(answer(1, [(0, 3, "Person/Group"), (8, 11, "N\\A")]), control=control)
    assert found.quarantined == {}
    assert rows_of(found.samples[0]) == [(0, 3, "Person/Group"), (8, 11, "N\\A")]
