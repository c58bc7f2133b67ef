"""Any text and any spans: config, result, annotation, record, store, target and result again, not a character moved."""

from __future__ import annotations

import html as html_module
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.labelstudio.annotations import to_record
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.span_answers import with_spans
from backend.labelstudio.spans.page import read_pages
from backend.labelstudio.task_spec import parse_label_config, span_config_of
from backend.redis_access.keys import project_key
from backend.rules.consensus import reach_consensus
from backend.store.stores import Stores
from model.span import ScoredSpan, Span
from model.spec import Prediction
from tests.backend.labelstudio.spans.test_html_nodes import MARKUP, oracle
from tests.backend.labelstudio.spans.test_round_trip import SPANS, WORDS, spans_in
from tests.support.spans import HTML_CONFIG, INLINE_CONFIG, TEXT_CONFIG, TURNS_CONFIG

pytestmark = pytest.mark.redis

STAMP = "2026-11-28T19:54:47.992582Z"
THOROUGH = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def travel(stores: Stores, xml: str, data: dict[str, Any], drawn: list[tuple[int, int, str]]) -> tuple[str, list[Any]]:
    """(the text that was learned, the values of the regions) after all ways were gone."""
    spec = parse_label_config(xml)
    (control,) = spec.spans
    config = span_config_of(spec)
    page = next(iter(read_pages(config, data)[0].values()))
    spans = spans_in(page, drawn)
    found = tuple(ScoredSpan(one.start, one.end, one.label, 0.5) for one in spans)
    result, sent, dropped = with_spans(spec, data, [Prediction(control.name, (), 0.5, spans=found)], "v1", [])
    assert dropped == {} and sorted(one.span for one in sent) == spans
    annotation = {"id": 1, "task": 2, "result": json.loads(json.dumps(result)), "updated_at": STAMP, "lead_time": 1.0}
    suggested = {"v1": sent}
    record = to_record(spec, {**annotation, "parent_prediction": 1}, {"id": 2, "data": data}, suggested=suggested)
    assert record.removed == {}, "all was kept"
    stores._redis.flushall()
    stores.examples.upsert_many(7, [record])
    (kept,) = stores.examples.snapshot(7).records
    assert kept == record
    (sample,) = reach_consensus(spec, [kept]).spans[control.name]
    assert list(sample.spans) == spans and sample.text == page.text
    again = tuple(ScoredSpan(one.start, one.end, one.label, 0.5) for one in sample.spans)
    assert with_spans(spec, data, [Prediction(control.name, (), 0.5, spans=again)], "v1", [])[0] == result
    _remove_all(stores, spec, annotation, data, suggested, spans)
    return sample.text, [item["value"] for item in result]


def _remove_all(stores: Stores, spec: Any, annotation: Any, data: Any, suggested: Any, spans: list[Span]) -> None:
    """The annotator takes all suggestions away."""
    gone = {**annotation, "result": [], "parent_prediction": 1, "updated_at": "2026-11-28T19:54:48Z"}
    record = to_record(spec, gone, {"id": 2, "data": data}, suggested=suggested)
    stores.examples.upsert_many(7, [record])
    (sample,) = reach_consensus(spec, stores.examples.snapshot(7).records).spans[spec.spans[0].name]
    assert sample.spans == () and list(sample.removed) == spans


@THOROUGH
@given(WORDS, SPANS)
def test_in_a_text(stores: Stores, text: str, drawn: list[tuple[int, int, str]]) -> None:
    learned, values = travel(stores, TEXT_CONFIG, {"text": text}, drawn)
    assert learned == text and all(text[one["start"] : one["end"]] == one["text"] for one in values)


@THOROUGH
@given(WORDS.map(html_module.escape) | MARKUP, SPANS, st.booleans())
def test_in_html(stores: Stores, html: str, drawn: list[tuple[int, int, str]], inline: bool) -> None:
    learned, _ = travel(stores, INLINE_CONFIG if inline else HTML_CONFIG, {"html": html}, drawn)
    assert learned == oracle(html, inline)


@THOROUGH
@given(st.lists(WORDS, min_size=1, max_size=5), SPANS)
def test_in_paragraphs(stores: Stores, turns: list[str], drawn: list[tuple[int, int, str]]) -> None:
    data = {"dialogue": [{"author": "A", "text": text} for text in turns]}
    learned, values = travel(stores, TURNS_CONFIG, data, drawn)
    assert learned == "\n".join(turns)
    for one in values:
        for turn, inside in ((one["start"], one["startOffset"]), (one["end"], one["endOffset"])):
            turns[int(turn)].encode("utf-16-le")[: 2 * inside].decode("utf-16-le")  # raises inside of a character


def test_spans_and_removals_survive_byte_by_byte(stores: Stores) -> None:
    text = "Ada 👩‍👩‍👧 א\u2028ב \r\nBob\0"
    record = ExampleRecord(
        1,
        2,
        {"text.page": text},
        {},
        STAMP,
        4,
        False,
        {"label": [(0, 3, "PER"), (17, 20, "P\u00e9r😀")]},
        {"label": [(4, 9, "X")]},
    )
    stores.examples.upsert_many(7, [record])
    assert stores.examples.snapshot(7).records == (record,)
    assert stores.examples.of_task(7, 2) == (record,)
    before = stores._redis.hget(project_key(7, "ex"), "1")
    stores.examples.upsert_many(7, [ExampleRecord.from_json(json.loads(json.dumps(record.to_json())))])
    assert stores._redis.hget(project_key(7, "ex"), "1") == before


def test_a_record_without_spans_keeps_the_bytes_of_earlier_releases(stores: Stores) -> None:
    record = ExampleRecord(1, 2, {"text": "é"}, {"label": [["A"]]}, STAMP, 4, True)
    stores.examples.upsert_many(7, [record])
    stored = stores._redis.hget(project_key(7, "ex"), "1")
    assert '"spans"' not in stored and '"removed"' not in stored
    assert json.loads(stored[stored.index("{") :]) == {
        "annotation": 1,
        "task": 2,
        "texts": {"text": "é"},
        "targets": {"label": [["A"]]},
        "updated_at": STAMP,
        "annotator": 4,
        "ground_truth": True,
    }


def test_no_entity_is_an_example_and_a_skip_empties_it(stores: Stores) -> None:
    nothing = ExampleRecord(1, 2, {"text.page": "x"}, {}, STAMP, 4, spans={"label": []})
    assert stores.examples.upsert_many(7, [nothing]) == ["stored"] and stores.examples.count(7) == 1
    skipped = ExampleRecord(1, 2, {}, {}, "2026-11-28T19:59:00Z", 4)
    assert stores.examples.upsert_many(7, [skipped]) == ["cleared"] and stores.examples.count(7) == 0


def test_a_listing_takes_no_removal_back(stores: Stores) -> None:
    """It knows what was taken away only as long as nothing else was suggested since."""
    marked = ExampleRecord(
        1,
        2,
        {"text": "Ada and Bob"},
        updated_at=STAMP,
        spans={"label": [(0, 3, "PER")]},
        removed={"label": [(8, 11, "PER")]},
    )
    stores.examples.upsert_many(7, [marked])
    listed = replace(marked, removed={})
    outcomes = stores.examples.reconcile(7, [listed], stores.examples.seq(7), stores.examples.clock(7))
    assert outcomes == {"duplicate": 1} and stores.examples.snapshot(7).records == (marked,)
    later = replace(listed, updated_at="2026-11-28T19:55:47.992582Z")
    for project, change in ((8, later), (9, replace(listed, spans={"label": []}))):
        assert stores.examples.upsert_many(project, [marked]) == ["stored"]
        outcomes = stores.examples.reconcile(
            project, [change], stores.examples.seq(project), stores.examples.clock(project)
        )
        assert outcomes == {"stored": 1} and stores.examples.snapshot(project).records == (change,), (
            "it says other things"
        )
