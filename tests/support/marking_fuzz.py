"""What fuzzing marked text starts from: recorded pages as requests, broken label configs, and harm in replies."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

from backend.errors import BackendError
from backend.labelstudio.spans.config import with_all_task_labels
from backend.labelstudio.spans.page import read_pages
from backend.labelstudio.spans.validator import check_result
from backend.labelstudio.task_spec import parse_label_config, span_config_of
from tests.support.spans import recorded, recorded_pages


def span_rows() -> list[dict[str, Any]]:
    """Requests about marked text: each page is set up, predicted, marked and annotated, in a project of its own."""
    pages = [page for name in SPAN_FILES for page in recorded_pages(name)]
    marked = recorded("edit_and_interactive")["interactive"]
    pages.append(("interactive", marked["label_config"], marked["task"]["data"], marked["context"]["result"]))
    return [row for number, (_, *page) in enumerate(pages, 1) for row in _rows_of(number, *page)]


SPAN_FILES = ("text_offsets", "odd_regions", "hypertext", "paragraphs", "relations_perregion", "config_variants")


def _rows_of(project: int, config: str, data: Any, result: Any) -> Iterator[dict[str, Any]]:
    """The page's tasks keep their ids, so that an annotation finds what was suggested for it."""
    asked = {"tasks": [{"id": 5, "data": data}], "project": f"{project}.1", "label_config": config}
    annotation = {"id": 5, "task": 5, "result": result, "updated_at": "2026-01-01T00:00:00Z", "lead_time": 2.0}
    begun = {**annotation, "parent_prediction": 1, "updated_at": "2026-01-01T00:00:01Z"}
    yield {"path": "/setup", "body": {"project": f"{project}.1", "schema": config}}
    yield {"path": "/predict", "body": {**asked, "params": {"context": None}}}
    yield {"path": "/predict", "body": {**asked, "params": {"context": {"result": result}}}}
    for one in (annotation, begun, begun):
        event = {"action": "ANNOTATION_UPDATED", "project": {"id": project, "label_config": config}}
        yield {"path": "/webhook", "body": {**event, "annotation": one, "task": {"id": 5, "data": data}}}


def break_config(chance: random.Random, config: str) -> str:
    """A label config of which a tag or an attribute is gone, doubled, or stands elsewhere."""
    parts = re.findall(r'[\w:]+="[^"]*"|</?\w+|/?>|[^<>]', config)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, other = chance.randrange(len(parts)), chance.choice(parts)
        parts[at] = chance.choice(("", parts[at] * 2, other, f"{parts[at]} {other}", parts[at].swapcase()))
    return "".join(part if part[:1] in "<>/" else f" {part}" for part in parts)


def harmful(body: bytes, reply: str) -> list[str]:
    """Why regions in the reply to the body of a /predict would harm the page."""
    try:
        asked, results = json.loads(body), json.loads(reply)["results"]
        spec = parse_label_config(asked["label_config"])
        marking = span_config_of(spec)
    except (BackendError, ValueError, KeyError, TypeError):
        return []  # no reply with answers, or to a config that is known from before
    found: list[str] = []
    for task, item in zip(asked["tasks"], results, strict=True):
        data = task.get("data") if isinstance(task, dict) else None
        if item and spec.spans:
            config = with_all_task_labels(marking, data)
            found += check_result(config, read_pages(config, data)[0], item["result"]).dropped
    return found
