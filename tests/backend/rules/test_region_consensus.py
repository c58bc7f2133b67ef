"""From several people's answers about regions to what is learned."""

from __future__ import annotations

from typing import Any

from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.regions.rows import AnswerRow
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import reach_consensus
from backend.rules.region_consensus import reach_region_consensus
from model.labels import key_of
from model.region import Region, RegionScope
from model.spec import NONE, Control, Kind, Label
from tests.support.region_texts import CONFIG, notes, record_of

TEXT = "Ada met Bob in Rome."
ADA, BOB = ("label", 0, 3, "PER"), ("label", 8, 11, "PER")
LABELS = tuple(Label((one,), one) for one in ("a", "b"))
SINGLE = Control("q", Kind.SINGLE, ("text.page",), LABELS, scope=RegionScope(("label",)))
SETS = Control("q", Kind.MULTIPLE, ("text.page",), LABELS, scope=RegionScope(("label",)))
TREE = Control("q", Kind.TAXONOMY, ("text.page",), LABELS, "Taxonomy", scope=RegionScope(("label",)))
FREE = Control("q", Kind.SINGLE, ("text.page",), (), "TextArea", scope=RegionScope(("label",)))


def said(number: int, *rows: AnswerRow, person: int = 1, task: int = 1, text: str = TEXT, **more: Any) -> ExampleRecord:
    stamp = f"2026-01-01T00:00:{number:02d}Z"
    spans = {"label": [row[1:4] for row in rows]}
    return ExampleRecord(
        number, task, {"text.page": text}, {}, stamp, person, spans=spans, answers={"q": [*rows]}, **more
    )


def reach(*records: ExampleRecord, control: Control = SINGLE) -> Any:
    by_task: dict[int, list[ExampleRecord]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    return reach_region_consensus(control, by_task)


def test_people_who_disagree_share_a_region_and_one_that_few_marked_weighs_less() -> None:
    found = reach(said(1, (*ADA, [["a"]]), (*BOB, [["a"]])), said(2, (*ADA, [["b"]]), person=2))
    assert [(one.region, dict(one.target), one.weight) for one in found.samples] == [
        (Region(*ADA), {"a": 0.5, "b": 0.5}, 1.0),
        (Region(*BOB), {"a": 1.0}, 0.5),
    ]


def test_a_ground_truth_wins_and_of_one_person_the_newest_counts() -> None:
    found = reach(said(1, (*ADA, [["a"]]), ground_truth=True), said(2, (*ADA, [["b"]]), person=2))
    assert [dict(one.target) for one in found.samples] == [{"a": 1.0}]
    found = reach(said(2, (*ADA, [["b"]])), said(1, (*ADA, [["a"]])))
    assert [dict(one.target) for one in found.samples] == [{"b": 1.0}]


def test_blank_is_an_answer_and_labels_that_are_gone_are_none() -> None:
    found = reach(said(1, (*ADA, []), (*BOB, [["gone"]])))
    assert [(one.region, dict(one.target)) for one in found.samples] == [(Region(*ADA), {NONE: 1.0})]
    assert found.quarantined == {"gone": 1}
    sets = reach(said(1, (*ADA, []), (*BOB, [["a"], ["b"]])), control=SETS)
    assert [dict(one.target) for one in sets.samples] == [{}, {"a": 1.0, "b": 1.0}]
    free = reach(said(1, (*ADA, [["any", "thing"]])), control=FREE)
    assert [dict(one.target) for one in free.samples] == [{key_of(["any", "thing"]): 1.0}]


def test_a_taxonomy_is_a_set_once_people_give_several_paths() -> None:
    assert not reach(said(1, (*ADA, [["a"]])), control=TREE).several
    assert reach(said(1, (*ADA, [["a"], ["b"]])), control=TREE).several


def test_another_state_of_the_text_is_left_out() -> None:
    found = reach(said(1, (*ADA, [["a"]]), person=2, text="Old text."), said(2, (*ADA, [["b"]])))
    assert [dict(one.target) for one in found.samples] == [{"b": 1.0}]


def test_the_whole_config_is_counted_by_question() -> None:
    records = [record_of(one, turn + 1) for turn, one in enumerate(notes(8))]
    consensus = reach_consensus(parse_label_config(CONFIG), records)
    counts = consensus.counts()
    assert sum(counts["state"].values()) == sum(counts["code"].values()) == 8
    assert sum(counts["kind"].values()) == 8 and set(counts["kind"]) <= {"hospital/large", "hospital/small", "town"}
    assert consensus.sizes()["state"] == 8
    assert all(sample.region.label == "FINDING" for sample in consensus.regions["state"])
