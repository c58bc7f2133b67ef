"""Relations: read as the real page was seen to send them, and written only between regions that are there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.labelstudio.annotations import to_record
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.span_answers import RELATIONS, with_spans
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from model.region import Region, Relation, ScoredRelation
from model.span import ScoredSpan
from model.spec import Prediction, TaskSpec
from tests.backend.labelstudio.regions.test_answers import RECORDED, SPEC, read

M, G, D = ("label", 0, 9, "ORG"), ("label", 25, 35, "PER"), ("label", 39, 52, "DATE")
TEXT = {"text": RECORDED["text"]}


@pytest.mark.parametrize(
    ("case", "rows"),
    [
        ("relation", [(M, G, False, ["founded_by"]), (M, D, True, [])]),
        ("relation_first", [(M, G, False, ["founded_by"]), (M, D, True, [])]),
        ("relation_no_labels_unknown_label", [(M, G, False, []), (D, G, False, [])]),
        ("relation_score", [(M, G, False, ["founded_by"])]),
        ("per_region_full", []),
    ],
)
def test_relations_are_read_as_the_page_sends_them(case: str, rows: list[Any]) -> None:
    assert read(RECORDED[case]["webhook_result"]).relations == rows


def test_one_drawn_by_hand_is_read_and_one_to_nothing_is_not() -> None:
    assert len(read(RECORDED["relation_by_hand"]["webhook_result"]).relations or ()) == 1
    result = RECORDED["relation"]["webhook_result"]
    odd: list[Any] = [
        {"type": "relation", "from_id": "m", "to_id": "nobody"},
        {"type": "relation", "from_id": 5, "to_id": None},
        {"type": "relation", "from_id": "m", "to_id": "m"},
        {"type": "relation", "from_id": "m", "to_id": "g", "direction": "right", "labels": ["founded_by", 7, "alien"]},
    ]
    assert read([*result, *odd]).relations == read(result).relations


def test_without_the_tag_none_are_read_and_none_drawn_before_it_came_says_nothing() -> None:
    start, end = RECORDED["config"].index("<Relations>"), RECORDED["config"].index("</Relations>") + len("</Relations>")
    bare = parse_label_config(RECORDED["config"][:start] + RECORDED["config"][end:])
    assert bare.relations is None and "relations" not in bare.to_json()
    result = RECORDED["relation"]["webhook_result"]
    assert read(result, bare).relations is None
    copied = read(RECORDED["per_region_full"]["webhook_result"], lead_time=None, parent_prediction=9)
    assert copied.relations is None, "nobody left any out"
    again = TaskSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    assert again == SPEC and again.relations == ("founded_by", "date_of") and RELATIONS.startswith("<")


def test_records_with_relations_survive_json() -> None:
    record = read(RECORDED["relation"]["webhook_result"])
    assert ExampleRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_relation_is_believed_as_far_as_those_who_marked_both_ends_drew_it() -> None:
    drawn, bare = RECORDED["relation"]["webhook_result"], RECORDED["per_region_full"]["webhook_result"]
    records = [read(drawn, id=1, completed_by=1), read(bare, id=2, completed_by=2)]
    (sample,) = reach_consensus(SPEC, records).relations
    assert sample.regions == (Region(*M), Region(*G), Region(*D))
    assert sample.relations == {
        Relation(Region(*M), Region(*G), ("founded_by",)): 0.5,
        Relation(Region(*M), Region(*D), (), True): 0.5,
    }


PLACES = [(0, 9, "ORG"), (25, 35, "PER"), (39, 52, "DATE"), (10, 13, "ALIEN"), (30, 999, "PER")]
REGIONS = st.sampled_from([Region("label", *place) for place in PLACES] + [Region("nobody", 0, 9, "ORG")])
TIES = st.builds(
    ScoredRelation,
    st.builds(
        Relation,
        REGIONS,
        REGIONS,
        st.lists(st.sampled_from(["founded_by", "date_of", "alien"])).map(tuple),
        st.booleans(),
    ),
    st.floats(0, 1),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PLACES), unique=True), st.lists(TIES, max_size=6))
def test_no_relation_ever_leaves_without_both_its_regions(spans: list[Any], ties: list[ScoredRelation]) -> None:
    marked = tuple(ScoredSpan(*place, 0.9) for place in spans)
    found, _, _ = with_spans(SPEC, TEXT, [Prediction("label", (), 0.9, spans=marked, relations=tuple(ties))], "v1", [])
    ids = {item["id"] for item in found if item["type"] == "labels"}
    for item in found:
        if item["type"] == "relation":
            assert {item["from_id"], item["to_id"]} <= ids and item["from_id"] != item["to_id"]
            assert set(item.get("labels", ())) <= {"founded_by", "date_of"} and item["direction"] in ("right", "bi")


def test_a_region_that_is_dropped_takes_its_relations_along() -> None:
    xml = RECORDED["config"].replace('<Label value="PER"/>', '<Label value="PER" maxUsages="1"/>')
    spans = (ScoredSpan(0, 9, "ORG", 0.9), ScoredSpan(25, 35, "PER", 0.9), ScoredSpan(10, 13, "PER", 0.5))
    org, good, over = (Region("label", one.start, one.end, one.label) for one in spans)
    ties = tuple(ScoredRelation(Relation(org, end, ("founded_by",)), 0.9) for end in (good, over))
    marked = Prediction("label", (), 0.9, spans=spans, relations=ties)
    found, _, _ = with_spans(parse_label_config(xml), TEXT, [marked], "v1", [])
    assert [item["type"] for item in found] == ["labels", "labels", "relation"]


TWO = """<View><Relations><Relation value="of"/></Relations>
<Labels name="who" toName="text"><Label value="PER"/></Labels>
<Labels name="where" toName="text"><Label value="LOC"/></Labels>
<Labels name="other" toName="note"><Label value="PER"/></Labels>
<Text name="text" value="$text"/><Text name="note" value="$note"/></View>"""
DATA = {"text": "Ada of Upton", "note": "Bo wrote"}
ADA, UPTON, BO = ("who", 0, 3, "PER"), ("where", 7, 12, "LOC"), ("other", 0, 2, "PER")


def drawn(*ties: dict[str, Any]) -> ExampleRecord:
    """An annotation of both texts with these relations."""
    names = {"a": (ADA, "text"), "u": (UPTON, "text"), "b": (BO, "note")}
    marks: list[dict[str, Any]] = [
        {
            "id": id_,
            "from_name": control,
            "to_name": of,
            "type": "labels",
            "value": {"start": start, "end": end, "text": DATA[of][start:end], "labels": [label]},
        }
        for id_, ((control, start, end, label), of) in names.items()
    ]
    annotation = {"id": 1, "task": 1, "updated_at": "2026-01-01T00:00:00Z", "lead_time": 2.0}
    given = {**annotation, "result": [*marks, *({"type": "relation", **tie} for tie in ties)]}
    return to_record(parse_label_config(TWO), given, {"id": 1, "data": DATA})


@pytest.mark.parametrize(
    ("direction", "row"),
    [
        ("right", (ADA, UPTON, False, ["of"])),
        ("left", (UPTON, ADA, False, ["of"])),
        ("bi", (ADA, UPTON, True, ["of"])),
        (None, (ADA, UPTON, False, ["of"])),
        ("sideways", (ADA, UPTON, False, ["of"])),
        (7, (ADA, UPTON, False, ["of"])),
    ],
)
def test_a_direction_between_regions_of_different_controls_is_read(direction: object, row: Any) -> None:
    one = drawn({"from_id": "a", "to_id": "u", "direction": direction, "labels": ["of"]})
    assert one.relations == [row]
    (sample,) = reach_consensus(parse_label_config(TWO), [one]).relations
    source, target, both, labels = row
    assert sample.relations == {Relation(Region(*source), Region(*target), tuple(labels), both): 1.0}


def test_what_is_drawn_twice_or_from_both_ends_is_one_relation() -> None:
    to_left = {"from_id": "u", "to_id": "a", "direction": "left", "labels": ["of"]}
    both = [{"from_id": one, "to_id": other, "direction": "bi"} for one, other in ("au", "ua")]
    one = drawn({"from_id": "a", "to_id": "u", "direction": "right", "labels": ["of", "of"]}, to_left, to_left, *both)
    assert one.relations == [(ADA, UPTON, False, ["of"]), (ADA, UPTON, True, [])]


def test_a_relation_from_one_text_to_another_teaches_nothing_and_costs_nothing_else() -> None:
    one = drawn({"from_id": "a", "to_id": "b"}, {"from_id": "a", "to_id": "a"}, {"from_id": "a", "to_id": "u"})
    samples = reach_consensus(parse_label_config(TWO), [one]).relations
    assert [tie for sample in samples for tie in sample.relations] == [Relation(Region(*ADA), Region(*UPTON))]


def test_labels_that_the_config_dropped_are_no_longer_learned_or_sent() -> None:
    one = drawn({"from_id": "a", "to_id": "u", "labels": ["of"]})
    spec = parse_label_config(TWO.replace('<Relation value="of"/>', '<Relation value="near"/>'))
    (sample,) = reach_consensus(spec, [one]).relations
    assert list(sample.relations) == [Relation(Region(*ADA), Region(*UPTON))]
    tie = ScoredRelation(Relation(Region(*ADA), Region(*UPTON), ("of",)), 0.9)
    who = Prediction("who", (), 0.9, spans=(ScoredSpan(0, 3, "PER", 0.9),), relations=(tie,))
    where = Prediction("where", (), 0.9, spans=(ScoredSpan(7, 12, "LOC", 0.9),))
    found, _, _ = with_spans(spec, DATA, [who, where], "v1", [])
    assert all("of" not in item.get("labels", ()) for item in found if item["type"] == "relation")
    same, _, _ = with_spans(parse_label_config(TWO), DATA, [who, where], "v1", [])
    (sent,) = [item for item in same if item["type"] == "relation"]
    ids = {item["from_name"]: item["id"] for item in same if item["type"] == "labels"}
    assert (sent["from_id"], sent["to_id"], sent["labels"]) == (ids["who"], ids["where"], ["of"])
    alone, _, _ = with_spans(parse_label_config(TWO), DATA, [who], "v1", [])
    assert [item["type"] for item in alone] == ["labels"], "its other end is not there"
