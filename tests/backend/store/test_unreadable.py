"""Stored records that are cut off, of another type or of another release: left out with a word, and stop nobody."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.spans.interactive import Memory, Suggestion
from backend.labelstudio.spans.regions import SentSpan
from backend.redis_access.keys import project_key
from backend.store.evidence import Survey
from backend.store.stores import Stores
from model.evidence.row import EvidenceRow, Judgement, Marked
from model.span import Span
from model.spans.patterns.lexicon import build_lexicon
from model.spans.patterns.pattern import Pattern
from tests.support.region_texts import note, record_of

pytestmark = pytest.mark.redis

PROJECT = 7
ANYTHING = ("", "{", "null", "7", '"x"', "[]", "{}", "[[]]", '{"a": 1}', "[null]", "\0", "NaN", "[" * 100_000)
"""In the place of any record."""


def raw(stores: Stores) -> Any:
    return stores._redis


def with_digest(data: Any) -> str:
    """A stored example that nothing has damaged."""
    text = data if isinstance(data, str) else json.dumps(data)
    return hashlib.sha256(text.encode()).hexdigest()[:16] + text


def changed(**fields: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda data: {**data, **fields}


EXAMPLES: list[Callable[[dict[str, Any]], Any]] = [
    *(changed(annotation=one) for one in ("7", None, [7])),
    *(changed(task=one) for one in ("7", None, {})),
    *(changed(texts=one) for one in (None, [], "x", {"text.page": None}, {"text.page": ["a"]})),
    *(changed(targets=one) for one in (None, "x", {"a": "b"}, {"a": ["b"]}, {"a": [[7]]}, {"a": None})),
    *(changed(updated_at=one) for one in (None, 7, [])),
    *(changed(annotator=one) for one in ("Ann", [])),
    *(changed(spans=one) for one in ("x", {"label": None}, {"label": [[0, 3]]}, {"label": [[3, 0, "PERSON"]]})),
    *(changed(spans={"label": [[place, 3, "PERSON"]]}) for place in (-1, "a", None, 1e400)),
    *(changed(removed=one) for one in ("x", {"label": [7]}, {"label": [[5, 5, "PERSON"]]})),
    *(changed(answers=one) for one in ("x", {"state": [7]}, {"state": [["label", 3, 0, "FINDING", [["present"]]]]})),
    *(changed(answers={"state": [["label", 0, 3, "FINDING", answer]]}) for answer in (None, "a", 1.5, [7])),
    *(changed(relations=one) for one in ("x", [7], [[["label", 0, 3, "A"], ["label", 9, 4, "B"], False, []]])),
    changed(of_a_later_release=True),
    lambda data: {name: value for name, value in data.items() if name != "annotation"},
    *(lambda data, one=one: one for one in ANYTHING),
]


@pytest.mark.parametrize("change", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_that_cannot_be_read_is_damaged_and_the_others_are_read(
    stores: Stores, change: Callable[[Any], Any]
) -> None:
    """Damaged ones are fetched again from Label Studio."""
    good, bad = record_of(note(1), 1), record_of(note(2), 2)
    stores.examples.upsert_many(PROJECT, [good, bad])
    raw(stores).hset(project_key(PROJECT, "ex"), "2", with_digest(change(bad.to_json())))
    found = stores.examples.snapshot(PROJECT)
    assert (found.records, found.damaged) == ((good,), (2,))
    assert stores.projects.dirty(PROJECT) == "stored annotations are damaged"
    assert stores.examples.of_task(PROJECT, 2) == () and stores.examples.newest(PROJECT, 9) == [good]


def test_an_example_with_bytes_that_are_no_text_is_damaged(stores: Stores) -> None:
    """A flipped bit makes them: the append-only file loads without an error."""
    good, bad = record_of(note(1), 1), record_of(note(2), 2)
    stores.examples.upsert_many(PROJECT, [good, bad])
    key = project_key(PROJECT, "ex")
    stored = str(raw(stores).hget(key, "2")).encode()
    raw(stores).hset(key, "2", stored[:40] + b"\xc3\xff" + stored[42:])
    found = stores.examples.snapshot(PROJECT)
    assert (found.records, found.damaged) == ((good,), (2,))


def test_what_cannot_be_sent_is_refused_as_ever(stores: Stores) -> None:
    with pytest.raises(UnicodeEncodeError):
        raw(stores).set("a", "\ud800")


MARKED = Marked((("PER", 0.8, True),), ("PER",), 1, expected=1.0)
ROW = EvidenceRow("label", Judgement(0.8, True, 0.2), version="v0.1", annotation=1, at=9.0, marked=MARKED)
ROWS: list[Callable[[dict[str, Any]], Any]] = [
    *(changed(confidence=one) for one in (None, "x", 1.5, -0.1, float("nan"), {})),
    *(changed(log_loss=one) for one in (None, float("inf"), [])),
    *(changed(labels=one) for one in ("x", -1, 10**30, [])),
    *(changed(annotation=one) for one in ("x", None, {})),
    *(changed(at=one) for one in ("x", {}, float("nan"))),
    *(changed(served=one) for one in ("x", {"logs": [0.1], "targets": [], "rest": 0}, {"logs": "x"})),
    *(changed(alone=one) for one in ("x", {"confidence": 0.5})),
    *(
        changed(marked=one)
        for one in ("x", [], {"shown": 7}, {"shown": [["PER", 2, True]], "drawn": [], "edits": 0})[:1]
    ),
    *(changed(marked={**MARKED.to_json(), "shown": one}) for one in (7, [["PER"]], [["PER", 2.0, True]])),
    *(changed(marked={**MARKED.to_json(), "edits": one}) for one in ("x", -1, None)),
    *(changed(marked={**MARKED.to_json(), "about": one}) for one in ("x", {"state": []}, {"state": {"counts": [1]}})),
    lambda data: {name: value for name, value in data.items() if name != "control"},
    *(lambda data, one=one: one for one in ANYTHING),
]


@pytest.mark.parametrize("change", ROWS, ids=range(len(ROWS)))
def test_a_row_of_evidence_that_cannot_be_read_is_left_out(
    stores: Stores, change: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    stores.evidence.append(PROJECT, [ROW])
    spoilt = change(ROW.to_json())
    raw(stores).rpush(project_key(PROJECT, "evidence"), spoilt if isinstance(spoilt, str) else json.dumps(spoilt))
    stores.evidence.append(PROJECT, [ROW])
    with caplog.at_level(logging.WARNING):
        assert stores.evidence.rows(PROJECT) == [ROW, ROW]
    assert "1 stored rows of evidence of project 7 cannot be read and are left out" in caplog.text


@pytest.mark.parametrize("text", ANYTHING[1:])
def test_a_survey_and_the_last_test_that_cannot_be_read_were_never_made(stores: Stores, text: str) -> None:
    survey: Survey = {"version": "v1", "tuned": None, "labels": 3, "controls": {"label": {"n": 2, "mean": 0.5}}}
    stores.evidence.save_survey(PROJECT, survey)
    assert stores.evidence.survey(PROJECT) == survey
    raw(stores).set(project_key(PROJECT, "survey"), text)
    raw(stores).rpush(project_key(PROJECT, "surveys"), text)
    raw(stores).set(project_key(PROJECT, "tested"), text)
    assert stores.evidence.survey(PROJECT) == {}
    assert stores.evidence.surveys(PROJECT) == [{"labels": 3, "controls": {"label": {"n": 2, "mean": 0.5}}}]
    assert stores.evidence.tested(PROJECT, "v1") == 0


@pytest.mark.parametrize("text", ANYTHING)
def test_wrong_labels_that_cannot_be_read_were_never_found(stores: Stores, text: str) -> None:
    entry: Any = {"searched": 3, "at": 1.0, "rows": []}
    stores.label_errors.replace(PROJECT, {"label": entry, "other": entry}, ["label", "other"], 5)
    raw(stores).hset(project_key(PROJECT, "suspects"), "label", text)
    assert stores.label_errors.read(PROJECT) == {"other": {**entry, "seq": 5}}


@pytest.mark.parametrize("row", [None, {}, {"task": 1}, {"task": 1, "annotations": ["1"]}])
def test_a_wrong_label_without_its_parts_takes_its_control_s_list_along(stores: Stores, row: Any) -> None:
    """A later search makes it anew."""
    raw(stores).hset(project_key(PROJECT, "suspects"), "label", json.dumps({"searched": 3, "at": 1.0, "rows": [row]}))
    assert stores.label_errors.read(PROJECT) == {}


@pytest.mark.parametrize("text", ANYTHING)
def test_patterns_that_cannot_be_read_wait_for_the_next_refit_and_stop_nothing(stores: Stores, text: str) -> None:
    lexicon = build_lexicon([Pattern("PER", "Ann", False, False)])
    stores.patterns.save(PROJECT, "label", lexicon)
    stores.patterns.save(PROJECT, "other", lexicon)
    raw(stores).hset(project_key(PROJECT, "patterns:about"), "label", text)
    assert stores.patterns.digests(PROJECT) == {"other": lexicon.digest}
    stores.patterns.note_fitted(PROJECT, stores.patterns.digests(PROJECT))
    assert not stores.patterns.is_pending(PROJECT)
    raw(stores).hset(project_key(PROJECT, "meta"), "patterns_fitted", text or "7")
    assert stores.patterns.is_pending(PROJECT)


MEMORY = Memory((Suggestion("a", "m", "label", 0, 3, "PER"),), frozenset({("label", Span(4, 6, "PER"))}), 5.0)
SENT = SentSpan("a", "label", 0, 3, "PER", 0.5)


@pytest.mark.parametrize("text", ANYTHING)
def test_a_memory_of_marks_that_cannot_be_read_is_none(stores: Stores, text: str) -> None:
    stores.suggestions.keep_memory(PROJECT, 3, MEMORY)
    assert stores.suggestions.memory(PROJECT, 3) == MEMORY
    raw(stores).set(project_key(PROJECT, "marks:3"), text)
    assert stores.suggestions.memory(PROJECT, 3) == Memory()


@pytest.mark.parametrize("removed", [[["label", "a", 3, "PER"]], [["label", 5, 3, "PER"]], [[7]], 7])
def test_removals_that_are_none_are_no_memory(stores: Stores, removed: Any) -> None:
    raw(stores).set(project_key(PROJECT, "marks:3"), json.dumps({**MEMORY.to_json(), "removed": removed}))
    assert stores.suggestions.memory(PROJECT, 3) == Memory()


@pytest.mark.parametrize(
    "row", [[], ["a", "label", 3, 0, "PER", 0.5], ["a", None, 0, 3, "PER", 0.5], ["a", "label", "x", 3, "PER", 0.5], 7]
)
def test_suggestions_that_cannot_be_read_are_not_known(stores: Stores, row: Any) -> None:
    stores.suggestions.keep(PROJECT, "v1", {3: [SENT]})
    assert stores.suggestions.of_tasks(PROJECT, [3]) == {3: {"v1": [SENT]}}
    raw(stores).hset(project_key(PROJECT, "suggested"), "3", f"v1\t{json.dumps([row])}")
    assert stores.suggestions.of_tasks(PROJECT, [3]) == {}


def test_a_record_of_any_release_is_read(stores: Stores) -> None:
    """What was written before spans, answers and relations were kept."""
    old = {"annotation": 1, "task": 2, "texts": {"text": "a"}, "targets": {"label": [["A"]], "stars": 3}}
    spans = {"annotation": 2, "task": 3, "texts": {"text.page": "Ann left"}, "spans": {"label": [[0, 3, "PER"]]}}
    for number, data in enumerate((old, spans), 1):
        raw(stores).hset(project_key(PROJECT, "ex"), str(number), with_digest(data))
    first, second = stores.examples.snapshot(PROJECT).records
    assert first == ExampleRecord(1, 2, {"text": "a"}, {"label": [["A"]], "stars": 3})
    assert (second.spans, second.answers, second.relations) == ({"label": [(0, 3, "PER")]}, {}, None)
