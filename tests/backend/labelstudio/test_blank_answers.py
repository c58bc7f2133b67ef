"""From annotation to record, to target, to answer, and back: also where nothing is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.labelstudio.annotations import to_record
from backend.labelstudio.label_config.assist_controls import BLIND_LINE
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.results import read_targets, to_results
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from model.spec import NONE, Control, Input, Kind, Prediction, TaskSpec
from tests.support.label_configs import control

KEYS = ("A", "A/A1", "A/A2", "B")
CONTROLS = {
    "c": control("c", "A", "B"),
    "o": control("o", "A"),
    "n": control("n", *KEYS, nested=True, kind=Kind.MULTIPLE),
    "m": control("m", "A", "B", "C", kind=Kind.MULTIPLE),
    "t": control("t", *KEYS, kind=Kind.TAXONOMY, tag="Taxonomy"),
    "u": control("u", *KEYS, kind=Kind.TAXONOMY, tag="Taxonomy", most=1),
    "r": control("r", "1", "2", "3", kind=Kind.RATING, tag="Rating"),
}
SPEC = TaskSpec((Input("text", "Text", "$text"),), tuple(CONTROLS.values()))


def answers_of(one: Control) -> st.SearchStrategy[tuple[str, ...]]:
    several = one.kind is Kind.MULTIPLE or (one.kind is Kind.TAXONOMY and one.most is None)
    most = len(one.labels) if several else 1
    return st.lists(st.sampled_from(one.keys()), max_size=most, unique=True).map(tuple)


ANSWERS = st.fixed_dictionaries({name: answers_of(one) for name, one in CONTROLS.items()})


def annotate(answers: dict[str, tuple[str, ...]], number: int = 1, **more: Any) -> ExampleRecord:
    result = to_results(SPEC, [Prediction(name, chosen, 0.5) for name, chosen in answers.items()])
    annotation = {"id": number, "task": number, "result": result, "updated_at": "2026-01-01T00:00:00Z", **more}
    return to_record(SPEC, annotation, {"id": number, "data": {"text": "hello"}})


@given(ANSWERS)
@settings(deadline=None)
def test_every_answer_comes_back_from_what_was_stored_of_it(answers: dict[str, tuple[str, ...]]) -> None:
    stored = ExampleRecord.from_json(json.loads(json.dumps(annotate(answers).to_json())))
    assert set(stored.targets) == set(CONTROLS), "what is left blank is an answer"
    consensus = reach_consensus(SPEC, [stored])
    said = []
    for one in consensus.spec.controls:
        [sample] = consensus.samples[one.name]
        held = {key for key, share in sample.target.items() if share > 0}
        assert held == (set(answers[one.name]) or (set() if one.multilabel else {NONE}))
        said.append(Prediction(one.name, tuple(key for key in answers[one.name]), 0.5))
        counted = consensus.counts()[one.name]
        assert counted == dict.fromkeys(sorted(answers[one.name] or (NONE,)), 1)
    assert read_targets(SPEC, to_results(SPEC, said)) == {name: t for name, t in stored.targets.items() if t != []}


@given(ANSWERS)
@settings(deadline=None)
def test_what_was_skipped_teaches_nothing(answers: dict[str, tuple[str, ...]]) -> None:
    assert annotate(answers, was_cancelled=True).targets == {}


@given(st.lists(ANSWERS, min_size=1, max_size=6))
@settings(deadline=None)
def test_a_taxonomy_is_answered_with_sets_once_people_do(several: list[dict[str, tuple[str, ...]]]) -> None:
    records = [annotate(answers, number) for number, answers in enumerate(several, 1)]
    spec = reach_consensus(SPEC, records).spec
    assert spec.control("t").several == any(len(answers["t"]) > 1 for answers in several)
    assert not spec.control("u").several and not spec.control("m").several
    assert spec.digest == SPEC.digest and TaskSpec.from_json(spec.to_json()) == spec


@given(st.lists(st.sampled_from([(), ("A",)]), min_size=2, max_size=5))
def test_nothing_against_something_is_a_disagreement(said: list[tuple[str, ...]]) -> None:
    blank = dict.fromkeys(CONTROLS, ())
    records = [annotate({**blank, "c": one, "m": one}, n, task=1, completed_by=n) for n, one in enumerate(said, 1)]
    found = reach_consensus(SPEC, records)
    share = said.count(()) / len(said)
    single, many = found.samples["c"][0].target, found.samples["m"][0].target
    assert abs(single.get(NONE, 0) - share) < 1e-9 and abs(many.get("A", 0) - (1 - share)) < 1e-9
    assert (found.disagreement["c"][1] > 0) == (found.disagreement["m"][1] > 0) == (0 < share < 1)


def test_unknown_labels_are_not_nothing() -> None:
    result = [{"from_name": "c", "to_name": "text", "type": "choices", "value": {"choices": ["gone"]}}]
    annotation = {"id": 1, "task": 1, "result": result, "updated_at": "2026-01-01T00:00:00Z"}
    found = reach_consensus(SPEC, [to_record(SPEC, annotation, {"id": 1, "data": {"text": "hello"}})])
    assert found.samples["c"] == [] and found.quarantined["c"] == {"gone": 1}


BLIND = [{"from_name": "understudy", "to_name": "text", "type": "textarea", "value": {"text": [BLIND_LINE]}}]


@pytest.mark.parametrize("result", [[], BLIND])
def test_a_blind_prediction_made_an_annotation_in_bulk_leaves_nothing_blank(result: list[Any]) -> None:
    copied = {"id": 1, "task": 1, "result": result, "parent_prediction": 7, "lead_time": None}
    task = {"id": 1, "data": {"text": "hello"}}
    assert to_record(SPEC, copied, task).targets == {}
    chosen = to_results(SPEC, [Prediction("c", ("A",), 0.5)])
    assert to_record(SPEC, {**copied, "result": chosen}, task).targets == {"c": [["A"]]}


@pytest.mark.parametrize("change", [{"lead_time": 2.5}, {"ground_truth": True}, {"parent_prediction": None}])
def test_a_person_who_submits_a_blind_task_as_it_stands_leaves_all_blank(change: dict[str, Any]) -> None:
    seen = {"id": 1, "task": 1, "result": BLIND, "parent_prediction": 7, "lead_time": None, **change}
    assert to_record(SPEC, seen, {"id": 1, "data": {"text": "hello"}}).targets == {name: [] for name in CONTROLS}


def test_an_annotation_of_another_page_leaves_nothing_blank() -> None:
    """What it does not mention is not known to have been asked; a control that is there and not learned is no sign."""
    spec = parse_label_config(
        '<View><Text name="text" value="$text"/><TextArea name="note" toName="text"/>'
        '<Choices name="c" toName="text"><Choice value="A"/><Choice value="B"/></Choices></View>'
    )
    note = {"from_name": "note", "to_name": "text", "type": "textarea", "value": {"text": ["hm"]}}

    def targets(*result: dict[str, Any]) -> Any:
        annotation = {"id": 1, "task": 1, "result": list(result), "updated_at": "2026-01-01T00:00:00Z"}
        return to_record(spec, annotation, {"id": 1, "data": {"text": "hello"}}).targets

    assert targets(note) == targets() == {"c": []}
    assert targets(note, {**note, "from_name": "earlier"}) == {}
