"""Span traffic recorded from the real Label Studio, and the configs that it belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.labelstudio.spans.config import read_span_config
from backend.labelstudio.spans.control import SpanConfig
from backend.labelstudio.spans.page import Page, read_pages

FOLDER = Path(__file__).parent / "recorded" / "spans"

TEXT_CONFIG = (
    '<View><Labels name="label" toName="text"><Label value="PER"/><Label value="ORG"/><Label value="LOC"/></Labels>'
    '<Text name="text" value="$text"/></View>'
)
HTML_CONFIG = (
    '<View><HyperTextLabels name="ner" toName="text"><Label value="PER"/><Label value="LOC"/></HyperTextLabels>'
    '<HyperText name="text" value="$html"/></View>'
)
INLINE_CONFIG = HTML_CONFIG.replace('value="$html"', 'value="$html" inline="true"')
TURNS_CONFIG = (
    '<View><ParagraphLabels name="pl" toName="dlg"><Label value="PER"/><Label value="LOC"/></ParagraphLabels>'
    '<Paragraphs name="dlg" value="$dialogue"/></View>'
)
ODD_TEXT = "Ada Lovelace met Charles Babbage in London."


def recorded(name: str) -> dict[str, Any]:
    """One file of recordings: case -> what was sent, and what came back."""
    cases: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return cases


def opened(xml: str, data: Any) -> tuple[SpanConfig, dict[str, Page]]:
    """A config and the texts of a task, all of which can be read."""
    config = read_span_config(xml)
    pages, reasons = read_pages(config, data)
    assert reasons == []
    return config, pages


RecordedPage = tuple[str, str, Any, list[Any]]


def recorded_pages(name: str) -> Iterator[RecordedPage]:
    """(case, config, data, what an annotator sent) of one file of recordings."""
    file = recorded(name)
    for case, row in file.items():
        if not isinstance(row, dict):
            continue
        sent = row.get("webhook_result", [])
        if name == "text_offsets":
            yield case, TEXT_CONFIG, {"text": row["text"]}, sent
        elif name == "odd_regions":
            yield case, TEXT_CONFIG, {"text": ODD_TEXT}, sent
        elif name == "hypertext":
            values = [mark for mark in row["marks"] if isinstance(mark, dict)]
            marks = [_html_region(f"h{at}", mark.get("value", mark)) for at, mark in enumerate(values)]
            yield case, INLINE_CONFIG if case.endswith("_div") else HTML_CONFIG, {"html": row["html"]}, marks
        elif name == "paragraphs":
            own = row.get("config", TURNS_CONFIG), row.get("data", file["dialogue"]["data"])
            data = own[1] if isinstance(own[1], dict) else {"dialogue": own[1]}
            yield case, own[0], data, sent
        elif name == "relations_perregion":
            yield case, file["config"], {"text": file["text"]}, sent
        elif name == "config_variants" and "refused" not in row:
            yield case, row["config"], row["data"], sent


def _html_region(id_: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": id_, "from_name": "ner", "to_name": "text", "type": "hypertextlabels", "value": value}
