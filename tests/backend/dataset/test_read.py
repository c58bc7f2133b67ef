"""A project's labels as rows: what is agreed on, who said what, what was answered before."""

from __future__ import annotations

from typing import Any

import pytest

from backend.dataset import read
from backend.dataset.pseudonyms import People, name_people
from backend.dataset.read import read_dataset
from backend.errors import NotFound
from backend.labelstudio.records import ExampleRecord
from backend.redis_access.keys import project_key
from backend.rules.consensus import reach_consensus
from model.evidence.row import EvidenceRow, Judgement
from tests.support.marking import MIXED, Marks, sentences

PROJECT = 7
SINGLE = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text">'
    '<Choice value="A"/><Choice value="B"/><Choice value="&lt;C&gt;"/></Choices></View>'
)
TREE = (
    '<View><Text name="text" value="$text"/><Taxonomy name="topic" toName="text"><Choice value="A">'
    '<Choice value="A1"/></Choice><Choice value="B"/></Taxonomy><Rating name="stars" toName="text"/></View>'
)


def record(number: int, task: int, label: str, person: int | None = 1, **more: Any) -> ExampleRecord:
    stamp = f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z"
    return ExampleRecord(number, task, {"text": f"text {task}"}, {"label": [[label]]}, stamp, person, **more)


def lines(stores: Any, people: People = People.IDS) -> list[Any]:
    return list(read_dataset(stores, PROJECT, 0.2, name_people(people, "secret", PROJECT)))


@pytest.fixture
def single(context: Any) -> Any:
    context.stores.projects.save_config(PROJECT, SINGLE)
    return context.stores


def test_a_row_has_the_answer_and_everybodys_own(single: Any) -> None:
    single.examples.upsert_many(
        PROJECT, [record(1, 5, "A"), record(2, 5, "A", 2), record(3, 5, "B", 3), record(4, 9, "<C>", None)]
    )
    header, first, second, end = lines(single)
    assert header["annotations"] == 4 and header["relations"] is False
    assert header["controls"] == [
        {
            "name": "label",
            "kind": "single",
            "inputs": ["text"],
            "labels": ["A", "B", "<C>"],
            "several": False,
            "of_regions": False,
        }
    ]
    assert (first["task"], first["texts"]) == (5, {"text": "text 5"})
    answer = first["answers"]["label"]
    assert answer["labels"] == ["A"] and answer["ground_truth"] is False
    assert answer["soft"]["A"] > answer["soft"]["B"] > 0
    assert [(one["annotator"], one["answers"]) for one in first["annotations"]] == [
        ("1", {"label": ["A"]}),
        ("2", {"label": ["A"]}),
        ("3", {"label": ["B"]}),
    ]
    assert second["answers"]["label"]["labels"] == ["<C>"] and second["annotations"][0]["annotator"] == ""
    assert end == {"end": 2, "damaged": 0}


def test_a_ground_truth_wins_and_is_told(single: Any) -> None:
    single.examples.upsert_many(PROJECT, [record(1, 5, "A"), record(2, 5, "B", 2, ground_truth=True)])
    row = lines(single)[1]
    assert row["answers"]["label"]["labels"] == ["B"] and row["answers"]["label"]["ground_truth"]
    assert [one["ground_truth"] for one in row["annotations"]] == [False, True]


def test_what_was_answered_before_and_what_is_doubted_stands_beside(single: Any) -> None:
    single.examples.upsert_many(PROJECT, [record(1, 5, "A")])
    judged = Judgement(0.83, False, 1.8)
    row = EvidenceRow("label", judged, version="v0.4", task=5, given=("A",), said=("B",))
    single.evidence.append(PROJECT, [row])
    version = record(1, 5, "A").version
    doubted: Any = {"task": 5, "annotations": {"1": version}, "text": "text 5", "given": "A", "suggested": "B"}
    doubted |= {"p_given": 0.1, "p_suggested": 0.9, "flag": "likely wrong"}
    single.label_errors.replace(PROJECT, {"label": {"searched": 1, "at": 0.0, "rows": [doubted]}}, {"label"}, 1)
    answer = lines(single)[1]["answers"]["label"]
    assert answer["predicted"] == {"labels": ["B"], "score": 0.83, "correct": False, "version": "v0.4"}
    assert answer["suspect"] == "B"


@pytest.mark.parametrize("portion", [1, 3, 250])
def test_portions_change_nothing(single: Any, monkeypatch: pytest.MonkeyPatch, portion: int) -> None:
    people = [
        record(10 * task + who, task, "AB"[(task % 5 == 0) ^ (who == 3 and task % 2)], who)
        for task in range(1, 32)
        for who in (1, 2, 3)
    ]
    alone = [record(1000 + task, task, "A", 1 + task % 3) for task in range(40, 50)]
    single.examples.upsert_many(PROJECT, [*people, *alone])
    monkeypatch.setattr(read, "PORTION_TASKS", portion)
    rows = {line["task"]: line for line in lines(single)[1:-1]}
    spec = read.spec_of(SINGLE)
    assert spec is not None
    whole = reach_consensus(spec, single.examples.snapshot(PROJECT).records).samples["label"]
    assert {sample.task: dict(sample.target) for sample in whole} == {
        task: pytest.approx(row["answers"]["label"]["soft"], abs=1e-5) for task, row in rows.items()
    }
    weights = [round(one.weight, 6) for one in whole]
    assert [row["answers"]["label"]["weight"] for row in rows.values()] == weights and min(weights) < 1 == max(weights)


def test_skipped_and_damaged_annotations_give_no_row_and_damage_is_told(single: Any) -> None:
    empty = ExampleRecord(2, 6, {"text": "t"}, {}, "2026-01-01T00:00:00Z", 1)
    single.examples.upsert_many(PROJECT, [record(1, 5, "A"), empty, record(3, 7, "B")])
    key = project_key(PROJECT, "ex")
    single.client.hset(key, "3", "x" * 40)
    *_, end = found = lines(single)
    assert [line["task"] for line in found[1:-1]] == [5]
    assert end == {"end": 1, "damaged": 1}


def test_sets_of_paths_and_stars(context: Any) -> None:
    context.stores.projects.save_config(PROJECT, TREE)
    records = [
        ExampleRecord(n, n, {"text": f"text {n}"}, {"topic": paths, "stars": n}, f"2026-01-01T00:00:0{n}Z", 1)
        for n, paths in ((1, [["A", "A1"], ["B"]]), (2, [["B"]]), (3, []))
    ]
    context.stores.examples.upsert_many(PROJECT, records)
    header, *rows, _ = lines(context.stores)
    assert [control["several"] for control in header["controls"]] == [True, False]
    assert [row["answers"]["topic"]["labels"] for row in rows] == [["A/A1", "B"], ["B"], []]
    assert [row["answers"]["stars"]["labels"] for row in rows] == [["1"], ["2"], ["3"]]


def test_marked_text_beside_a_question(context: Any) -> None:
    marks = Marks(context, MIXED)
    records = marks.add(sentences(4))
    header, *rows, _ = lines(context.stores)
    assert [control["inputs"] for control in header["controls"]] == [["text"], ["text_marked"]]
    for row, own in zip(rows, records, strict=True):
        text = own.texts["text.page"]
        assert row["texts"] == {"text": text, "text_marked": text}
        marked = row["spans"]["label"]
        assert marked["input"] == "text_marked"
        assert [(one["start"], one["end"], one["label"]) for one in marked["spans"]] == own.spans["label"]
        assert all(text[one["start"] : one["end"]] == one["text"] for one in marked["spans"])
        assert row["answers"]["topic"]["labels"] == own.targets["topic"][0]  # type: ignore[index]


def test_spans_that_most_annotators_have(context: Any) -> None:
    marks = Marks(context)
    base = marks.record(sentences(1)[0], 0)
    spans = [(0, 3, "PER")], [(0, 3, "PER"), (4, 6, "LOC")], [(0, 3, "PER")]
    for person, own in enumerate(spans, 1):
        one = ExampleRecord(
            person, 1, base.texts, {}, f"2026-01-01T00:00:0{person}Z", person, spans={"label": list(own)}
        )
        marks.put([one])
    row = lines(context.stores)[1]
    assert [(one["start"], one["end"], one["label"]) for one in row["spans"]["label"]["spans"]] == [(0, 3, "PER")]
    assert len(row["annotations"][1]["spans"]["label"]) == 2


def test_a_project_without_a_config_is_told(context: Any) -> None:
    with pytest.raises(NotFound, match="label config"):
        lines(context.stores)
