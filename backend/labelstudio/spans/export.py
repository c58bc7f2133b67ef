"""Label Studio's JSON export as labelled texts: what `simulate` learns from and compares with.

An export carries no label config. Without one the controls are inferred from the results: their type says which tags,
and the field of the data in which the marked texts stand at their offsets is the one that was shown.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backend.errors import Undecidable
from backend.labelstudio.spans.annotations import counted, read_spans
from backend.labelstudio.spans.config import with_all_task_labels
from backend.labelstudio.spans.control import (
    HYPERTEXT,
    PARAGRAPHS,
    TEXT,
    Foreign,
    SpanConfig,
    SpanControl,
    SpanLabel,
    SpanObject,
)
from backend.labelstudio.spans.page import NoPlace, Page, read_page, read_pages
from model.span import SpanDocument

_TAGS = {"labels": "Labels", "hypertextlabels": "HyperTextLabels", "paragraphlabels": "ParagraphLabels"}

PROBED = 200
"""Regions by which the field of a text is found."""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One object of one task, as one annotation has it."""

    task: object
    control: str
    document: SpanDocument
    annotator: object = None
    ground_truth: bool = False
    data: Foreign = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """The task's."""


@dataclass(frozen=True, slots=True)
class Export:
    """What an export says, and how many regions, skips and texts were passed over for which reason."""

    documents: tuple[LabelledText, ...]
    ignored: Mapping[str, int]


def read_export(tasks: object, config: SpanConfig | None = None) -> Export:
    """Every answer in a list of tasks with their annotations; skips and drafts are none."""
    rows = [task for task in tasks if isinstance(task, Mapping)] if isinstance(tasks, list) else []
    config = infer_config(rows) if config is None else config
    ignored: Counter[str] = Counter()
    found: list[LabelledText] = []
    for task in rows:
        known = with_all_task_labels(config, task.get("data"))
        pages, unread = read_pages(known, task.get("data"))
        ignored["no_text"] += len(unread)
        for annotation in _annotations(task):
            answer = read_spans(known, pages, annotation)
            ignored.update(answer.ignored)
            ignored["skipped"] += bool(annotation.get("was_cancelled"))
            for name, spans in answer.spans.items():
                text = pages[known.by_name[name].object.name].text
                annotator = annotation.get("completed_by")
                truth = bool(annotation.get("ground_truth"))
                data = task["data"]  # it has a page
                found.append(LabelledText(task.get("id"), name, SpanDocument(text, spans), annotator, truth, data))
    return Export(tuple(found), counted(ignored))


def one_each(documents: Sequence[LabelledText]) -> tuple[LabelledText, ...]:
    """One answer for each task and control: the ground truth where there is one, else the last."""
    best: dict[tuple[object, str], LabelledText] = {}
    for at, one in enumerate(documents):
        key = (str(one.task) if one.task is not None else f"row {at}", one.control)
        if key not in best or one.ground_truth or not best[key].ground_truth:
            best[key] = one
    return tuple(best.values())


def infer_config(tasks: Sequence[Foreign]) -> SpanConfig:
    """The span controls that the annotations of these tasks were made with, as far as they show."""
    regions: dict[tuple[str, str, str], list[tuple[Foreign, Foreign]]] = {}
    labels: dict[str, dict[str, None]] = {}
    for task, item in _span_results(tasks):
        key = (item["from_name"], item["to_name"], item["type"])
        regions.setdefault(key, []).append((task, item["value"]))
        given = item["value"].get(item["type"])
        named = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
        labels.setdefault(item["from_name"], {}).update(dict.fromkeys(named))
    objects: dict[str, SpanObject] = {}
    controls: dict[str, SpanControl] = {}
    for (name, to_name, kind), found in regions.items():
        shown = objects.get(to_name) or _object(to_name, found[:PROBED])
        if shown is not None and labels[name]:
            objects[to_name] = shown
            each = tuple(SpanLabel(one, one) for one in labels[name])
            controls.setdefault(name, SpanControl(name, shown, _TAGS[kind], each, multiple=True))
    return SpanConfig(tuple(controls.values()))


def _annotations(task: Foreign) -> Iterator[Foreign]:
    given = task.get("annotations")
    if not isinstance(given, list):
        given = task.get("completions")  # of before Label Studio 1.0
    for annotation in given if isinstance(given, list) else ():
        if isinstance(annotation, Mapping):
            yield annotation


def _span_results(tasks: Sequence[Foreign]) -> Iterator[tuple[Foreign, Foreign]]:
    for task in tasks:
        for annotation in _annotations(task):
            result = annotation.get("result")
            for item in result if isinstance(result, list) else ():
                if isinstance(item, Mapping) and isinstance(item.get("value"), Mapping):
                    names = [item.get(key) for key in ("from_name", "to_name", "type")]
                    if all(isinstance(one, str) for one in names) and names[2] in _TAGS:
                        yield task, item


def _object(name: str, found: Sequence[tuple[Foreign, Foreign]]) -> SpanObject | None:
    """The object whose text holds the marked texts at their places; None where no field does."""
    counts: Counter[SpanObject] = Counter()
    for task, value in found:
        data = task.get("data")
        for field, content in data.items() if isinstance(data, Mapping) else ():
            for item in _candidates(name, str(field), content, value):
                counts[item] += _fits(item, data, value)
    best = counts.most_common(1)
    return best[0][0] if best and best[0][1] else None


def _candidates(name: str, field: str, content: object, value: Foreign) -> Iterator[SpanObject]:
    """What may show this field, by the form of a region's place."""
    if isinstance(content, list):
        keys = {
            key: None
            for turn in content
            if isinstance(turn, Mapping)
            for key, text in turn.items()
            if isinstance(text, str)
        }
        yield from (SpanObject(name, PARAGRAPHS, f"${field}", text_key=str(key)) for key in keys)
    elif isinstance(content, str):
        yield SpanObject(name, HYPERTEXT if "startOffset" in value else TEXT, f"${field}")


def _fits(item: SpanObject, data: object, value: Foreign) -> int:
    """How well the place of a region goes with its text: 2 where they agree, 1 where there is just such a place."""
    try:
        page = read_page(item, data)
        start, end = page.offsets_of(value)
    except (Undecidable, NoPlace):
        return 0
    text = value.get("text")
    agree = isinstance(text, str) and _letters(page, start, end) == "".join(text.replace("\\n", "").split())
    return 2 if agree else 1


def _letters(page: Page, start: int, end: int) -> str:
    return "".join(page.text[start:end].split())
