"""Span traffic recorded from the real Label Studio, and the configs that it belongs to."""

from __future__ import annotations

import json
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
