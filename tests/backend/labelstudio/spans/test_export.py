"""Label Studio's JSON export as labelled texts."""

from __future__ import annotations

from typing import Any

import pytest

from backend.labelstudio.spans.config import read_span_config
from backend.labelstudio.spans.export import infer_config, one_each, read_export
from model.span import Span, SpanDocument
from tests.support.spans import HTML_CONFIG, TEXT_CONFIG, TURNS_CONFIG, recorded

TEXTS = recorded("text_offsets")


def text_tasks() -> list[dict[str, Any]]:
    return [
        {
            "id": at,
            "data": {"title": "x" * 99, "text": case["text"]},
            "annotations": [{"result": case["webhook_result"], "was_cancelled": False, "completed_by": 1}],
            "predictions": [{"result": case["prediction"]}],
        }
        for at, case in enumerate(TEXTS.values(), 1)
    ]


def test_every_recorded_text_is_a_document() -> None:
    export = read_export(text_tasks(), read_span_config(TEXT_CONFIG))
    assert export.ignored == {}
    assert len(export.documents) == len(TEXTS)
    for one, case in zip(export.documents, TEXTS.values(), strict=True):
        assert one.document.text == case["text"] and one.annotator == 1
        marked = {one.document.text[span.start : span.end] for span in one.document.spans}
        assert marked == {item["value"]["text"].strip() for item in case["webhook_result"]}


@pytest.mark.parametrize("kind", ["text", "html", "turns"])
def test_without_a_config_the_same_is_read(kind: str) -> None:
    if kind == "text":
        tasks, xml = text_tasks(), TEXT_CONFIG
    elif kind == "html":
        cases = {name: case for name, case in recorded("hypertext").items() if not name.endswith("_div")}
        tasks = [made({"note": "n", "html": case["html"]}, "ner", "text", case["marks"]) for case in cases.values()]
        xml = HTML_CONFIG
    else:
        case = recorded("paragraphs")["keys"]
        tasks = [made({"dialogue": case["data"]}, "pl", "dlg", case["marks"])]
        xml = TURNS_CONFIG.replace("<Paragraphs", '<Paragraphs nameKey="speaker" textKey="utt"')
    assert read_export(tasks).documents == read_export(tasks, read_span_config(xml)).documents
    assert any(one.document.spans for one in read_export(tasks).documents)


def made(data: dict[str, Any], name: str, to_name: str, marks: list[dict[str, Any]]) -> dict[str, Any]:
    kind = "hypertextlabels" if "hypertextlabels" in marks[0] else "paragraphlabels"
    result = [
        {"from_name": name, "to_name": to_name, "type": kind, "origin": "manual", "value": value} for value in marks
    ]
    return {"data": data, "annotations": [{"result": result}]}


def test_skips_are_counted_and_empty_answers_are_documents() -> None:
    item = {
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": 0, "end": 3, "labels": ["PER"]},
    }
    tasks = [
        {"id": 1, "data": {"text": "Ada met"}, "annotations": [{"result": [item], "was_cancelled": True}]},
        {"id": 2, "data": {"text": "Nobody"}, "annotations": [{"result": []}]},
        {"id": 3, "data": {}, "annotations": [{"result": [item]}]},
        {"id": 4, "data": {"text": "Bob met"}, "annotations": []},
    ]
    export = read_export(tasks, read_span_config(TEXT_CONFIG))
    assert [(one.task, one.document) for one in export.documents] == [(2, SpanDocument("Nobody"))]
    assert export.ignored == {"skipped": 1, "no_text": 1, "no_page": 1}


def test_of_several_answers_the_ground_truth_counts_else_the_last() -> None:
    def answer(end: int, **more: Any) -> dict[str, Any]:
        value = {"start": 0, "end": end, "labels": ["PER"]}
        return {"result": [{"from_name": "label", "to_name": "text", "type": "labels", "value": value}], **more}

    tasks = [
        {"id": 1, "data": {"text": "Ada met"}, "annotations": [answer(1), answer(3, ground_truth=True), answer(7)]},
        {"id": 2, "data": {"text": "Ada met"}, "annotations": [answer(1), answer(3)]},
    ]
    documents = one_each(read_export(tasks, read_span_config(TEXT_CONFIG)).documents)
    assert [one.document.spans for one in documents] == [(Span(0, 3, "PER"),)] * 2


@pytest.mark.parametrize("tasks", [None, {}, [], [None], [{}], [{"annotations": [{"result": [{"value": {}}]}]}]])
def test_what_is_no_export_has_no_documents(tasks: Any) -> None:
    assert read_export(tasks).documents == ()
    assert infer_config(tasks if isinstance(tasks, list) and tasks != [None] else []).controls == ()
