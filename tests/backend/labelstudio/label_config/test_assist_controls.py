"""The two opt-in controls: when they are there, what is written into them, and that nothing is learned from them."""

from __future__ import annotations

import pytest

from backend.errors import BadRequest
from backend.labelstudio.annotations import to_record
from backend.labelstudio.label_config.assist_controls import (
    NO_HELPERS,
    Helper,
    evidence_results,
    explained_answer,
    read_helpers,
    summarise,
    summary_results,
)
from backend.labelstudio.results import read_targets, to_prediction
from backend.labelstudio.task_spec import parse_label_config, skipped_controls
from model.explain.occlusion import Word
from model.spec import Kind, Prediction, TaskSpec
from tests.support.label_configs import control

EVIDENCE = '<Labels name="evidence" toName="text"><Label value="decided"/></Labels>'
SUMMARY = '<TextArea name="understudy" toName="text"/>'
CHOICES = '<Choices name="topic" toName="text"><Choice value="refund"/><Choice value="delivery"/></Choices>'


def config(*controls: str) -> str:
    return f'<View><Text name="text" value="$text"/>{"".join(controls)}</View>'


def test_the_controls_are_found_and_learning_does_not_see_them() -> None:
    both = config(CHOICES, EVIDENCE, SUMMARY)
    assert read_helpers(both).evidence == Helper("evidence", "text", "decided")
    assert read_helpers(both).summary == Helper("understudy", "text")
    assert parse_label_config(both) == parse_label_config(config(CHOICES)), "adding them changes nothing learned"
    assert skipped_controls(both) == (), "they are not listed as unsupported"


@pytest.mark.parametrize(
    "other",
    [
        "",
        '<Labels name="evidence" toName="text"/>',
        '<Labels name="evidence" toName="gone"><Label value="x"/></Labels>',
        '<Labels name="entities" toName="text"><Label value="x"/></Labels>',
        '<Labels name="evidence" toName="text"><Label value="x"/></Labels>',
        '<Labels name="evidence" toName="text"><Label value="PER"/><Label value="ORG"/></Labels>',
        '<Labels name="evidence" toName="text"><Label value="decided"/><Label value="undecided"/></Labels>',
        '<Labels name="Evidence" toName="text"><Label value="decided"/></Labels>',
        '<Choices name="evidence" toName="text"><Choice value="decided"/></Choices>',
        '<Choices name="understudy" toName="text"><Choice value="x"/></Choices>',
        '<TextArea name="evidence" toName="text"/>',
        '<TextArea name="understudy" toName="text,text"/>',
        '<TextArea name="understudy"/>',
    ],
)
def test_tag_name_and_input_must_all_fit(other: str) -> None:
    assert read_helpers(config(CHOICES, other)) == NO_HELPERS


def test_an_alias_is_what_label_studio_calls_the_region() -> None:
    aliased = '<Labels name="evidence" toName="text"><View><Label value="Decided" alias="d"/></View></Labels>'
    found = read_helpers(config(CHOICES, aliased)).evidence
    assert found is not None and found.label == "d"


@pytest.mark.parametrize("name", ["evidence", "understudy"])
@pytest.mark.parametrize(
    "question",
    [
        '<Choices name="{}" toName="text"><Choice value="Supports"/><Choice value="Refutes"/></Choices>',
        '<Taxonomy name="{}" toName="text"><Choice value="Supports"/></Taxonomy>',
        '<Rating name="{}" toName="text"/>',
    ],
)
def test_a_question_of_peoples_own_is_learned_whatever_it_is_called(name: str, question: str) -> None:
    own = config(question.format(name), CHOICES)
    assert [control.name for control in parse_label_config(own).controls] == [name, "topic"]
    assert skipped_controls(own) == () and read_helpers(own) == NO_HELPERS


def test_what_is_no_xml_is_refused() -> None:
    with pytest.raises(BadRequest):
        read_helpers("<View>")


def test_offsets_count_code_points_as_the_page_does() -> None:
    # "😀 refund 🇩🇪 now": the page's own code units would be 3 and 15.
    words = [Word(0, 2, 8, "refund", 1.0, 3.0), Word(0, 12, 15, "now", 0.31, 1.0)]
    first, second = evidence_results(Helper("evidence", "text", "decided"), words)
    assert first["value"] == {"start": 2, "end": 8, "text": "refund", "labels": ["decided"]}
    assert (second["value"]["start"], second["value"]["end"], second["score"]) == (12, 15, 0.31)
    assert first["id"] != second["id"]
    assert (first["from_name"], first["to_name"], first["type"]) == ("evidence", "text", "labels")


def spec(*kinds: Kind) -> TaskSpec:
    names = ("topic", "mood", "stars")
    return TaskSpec(
        (), tuple(control(name, "1", "2", "3", kind=kind) for name, kind in zip(names, kinds, strict=False))
    )


RANKING = (("1", 0.83), ("2", 0.11), ("3", 0.06))


@pytest.mark.parametrize(
    ("kind", "chosen", "shown"),
    [
        (Kind.SINGLE, ("1",), "1 0.80, 2 0.11"),
        (Kind.RATING, ("2",), "2 stars 0.80, 1 star 0.83"),
        (Kind.MULTIPLE, ("1",), "1 0.83, 2 0.11"),
        (Kind.MULTIPLE, ("1", "2"), "1 0.83, 2 0.11, 3 0.06"),
        (Kind.MULTIPLE, (), "none, 1 0.83"),
        (Kind.MULTIPLE, ("1", "2", "3"), "1 0.83, 2 0.11, 3 0.06"),
    ],
)
def test_the_line_names_what_was_chosen_and_the_runner_up(kind: Kind, chosen: tuple[str, ...], shown: str) -> None:
    assert summarise(spec(kind), Prediction("topic", chosen, 0.8, RANKING)) == shown


def test_several_controls_get_a_line_each_and_the_first_that_answers_is_explained() -> None:
    two = spec(Kind.MULTIPLE, Kind.SINGLE)
    answers = [Prediction("topic", (), 0.4, RANKING), Prediction("mood", ("1",), 0.8, RANKING)]
    [line] = summary_results(Helper("understudy", "text"), two, answers)
    assert line["value"] == {"text": ["topic: none, 1 0.83", "mood: 1 0.80, 2 0.11"]}
    helper = Helper("evidence", "text", "decided")
    assert explained_answer(helper, two, answers) == answers[1], "an empty set gives no reason"
    assert explained_answer(Helper("evidence", "other", "decided"), two, answers) is None
    assert summary_results(helper, two, []) == []


def filled() -> list[dict[str, object]]:
    """What the backend itself writes into the two controls."""
    answer = Prediction("topic", ("1",), 0.8, RANKING)
    regions = evidence_results(Helper("evidence", "text", "decided"), [Word(0, 0, 4, "late", 1.0, 3.0)])
    return [*regions, *summary_results(Helper("understudy", "text"), spec(Kind.SINGLE), [answer])]


def test_filled_helpers_are_ignored_when_an_annotation_is_read() -> None:
    read = parse_label_config(config(CHOICES, EVIDENCE, SUMMARY))
    chosen = to_prediction(read, [Prediction("topic", ("refund",), 0.8)], "v1")["result"]
    assert read_targets(read, [*filled(), *chosen]) == {"topic": [["refund"]]}
    annotation = {"id": 1, "result": filled(), "updated_at": "2026-01-01T00:00:00Z"}
    assert to_record(read, annotation, {"id": 2, "data": {"text": "late"}}).targets == {"topic": []}
