"""Why a task or a label comes to nothing, in words for people: looked at afterwards, so that reading is as it was."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backend.errors import Undecidable
from backend.labelstudio.documents import read_options, read_text
from backend.labelstudio.records import ExampleRecord, Targets
from backend.labelstudio.results import read_targets
from backend.labelstudio.span_answers import count_ignored
from model.labels import key_of, shown_labels
from model.spec import Control, Json, JsonObject, TaskSpec

FIELDS, NAME, LABELS = 5, 30, 5
"""Fields and labels that are named, and characters of each."""

URL = re.compile(r"\s*(?:https?|s3|gs|azure-blob|ftp|file)://\S+\s*|/data/\S+", re.IGNORECASE)

LONGEST_WORDS = 300


@dataclass(frozen=True)
class Reject:
    """`words` go after a number of tasks: "have no field `text`". `code` is stable, for metrics."""

    code: str
    words: str


REJECT_CODES = (
    *("field_missing", "not_a_text", "no_options", "empty_text", "too_long", "unread", "url"),
    *("label_unknown", "region_not_learned", "control_not_learned", "malformed", "no_config", "no_payload", "request"),
)


def rejects_of_task(spec: TaskSpec, data: Json, max_chars: int) -> Iterator[Reject]:
    """Of a task that cannot be answered."""
    if not isinstance(data, Mapping):
        yield Reject("not_a_text", "have no data")
        return
    yield from _of_inputs(spec, {item.name for item in spec.inputs}, data, max_chars)
    for control in spec.controls:
        if control.options_field is not None:
            try:
                read_options(control, data)
            except Undecidable as error:
                yield Reject("no_options", _cut(f"offer no choices for {quoted(control.name)}: {_said(error)}"))


def count_rejects(spec: TaskSpec, tasks: Sequence[Json], items: Sequence[object], max_chars: int) -> dict[str, int]:
    """Words -> how many of the tasks without an item (`[]`) they are true of."""
    counts: Counter[str] = Counter()
    for task, item in zip(tasks, items, strict=True):
        if not item:
            data = task.get("data") if isinstance(task, Mapping) else None
            counts.update(reject.words for reject in rejects_of_task(spec, data, max_chars))
    return dict(counts.most_common(20))


def rejects_of_text(name: str, text: str, max_chars: int) -> Iterator[Reject]:
    """Of a text that can be read, and says nothing, or not all."""
    if not text.strip():
        yield Reject("empty_text", f"have an empty text in {quoted(name)}")
    elif len(text) >= max_chars:
        yield Reject("too_long", f"are longer than MAX_TEXT_CHARS={max_chars} in {quoted(name)}: the rest is not read")
    elif len(text) < 2000 and URL.fullmatch(text):
        yield Reject("url", f"hold a URL in {quoted(name)} in place of a text: it is not fetched")


def rejects_of_annotation(
    spec: TaskSpec, annotation: JsonObject, task: JsonObject | None, record: ExampleRecord, max_chars: int
) -> Iterator[Reject]:
    """Of an annotation of which something is not learned. `record`: what is."""
    result = annotation.get("result")
    if annotation.get("was_cancelled") or result == []:
        return
    if not isinstance(result, list):
        yield Reject("malformed", "have a result that is no list")
        return
    data = (task or {}).get("data")
    lost = _answered(spec, result) - set(record.targets)
    yield from _of_regions(spec, annotation, data, record, max_chars)
    if lost:
        needed = {item for name in lost for item in spec.control(name).inputs}
        unread = list(_of_inputs(spec, needed, data, max_chars))
        yield from unread
        if not unread and (odd := lost - set(read_targets(spec, result))):  # the others are hidden on the page
            yield _of_answers(odd)
    yield from _unknown_labels(spec, record.targets, data)
    if strangers := spec.strangers(_names(result)):
        listed = ", ".join(quoted(name) for name in strangers[:FIELDS])
        yield Reject("control_not_learned", _cut(f"answer questions that the config does not have: {listed}"))
    elif not record.teaches and not lost and not spec.spans:
        yield from _of_no_control(spec, result)


REGION_WORDS = {
    "no_labels": "have regions without a label",
    "unknown_label": "have regions with labels that the config does not have",
    "no_place": "have regions that are nowhere in the text",
    "outside": "have regions outside of the text",
    "blank": "have regions of nothing but blanks",
    "text_elsewhere": "have regions whose text is not in the task: it was changed since",
}
"""Why a region of an annotation teaches nothing, where that is not the page's business alone."""


def _of_regions(
    spec: TaskSpec, annotation: JsonObject, data: Json, record: ExampleRecord, max_chars: int
) -> Iterator[Reject]:
    """Of marked text."""
    if not spec.spans:
        return
    inputs = {item for control in spec.spans for item in control.inputs if control.name not in record.spans}
    unread = list(_of_inputs(spec, inputs, data, max_chars))
    yield from unread
    for reason in count_ignored(spec, annotation, data) if not unread else ():
        if reason in REGION_WORDS:
            yield Reject("region_not_learned", REGION_WORDS[reason])


def _of_inputs(spec: TaskSpec, names: set[str], data: Json, max_chars: int) -> Iterator[Reject]:
    """Why the texts of these inputs cannot be read."""
    for item in spec.inputs:
        try:
            if item.name in names:
                read_text(item, data, max_chars)
        except Undecidable as error:
            yield _unreadable(error, data if isinstance(data, Mapping) else {})


def _of_answers(odd: set[str]) -> Reject:
    """The texts are there, so that it is the answers to these questions that cannot be read."""
    listed = ", ".join(quoted(name) for name in sorted(odd)[:FIELDS])
    return Reject("malformed", _cut(f"have an answer to {listed} that cannot be read"))


def _answered(spec: TaskSpec, result: list[Json]) -> set[str]:
    """Names of the learned controls that a result answers as a whole."""
    controls = {control.name: control for control in spec.controls}
    return {
        name
        for item in result
        if isinstance(item, Mapping)
        and isinstance(name := item.get("from_name"), str)
        and name in controls
        and isinstance(value := item.get("value"), Mapping)
        and _holds_answer(controls[name], value)
    }


def _holds_answer(control: Control, value: JsonObject) -> bool:
    return "start" not in value and bool(value.get(control.tag.lower()) or value.get("selected"))


def _unknown_labels(spec: TaskSpec, targets: Targets, data: Json) -> Iterator[Reject]:
    for name, target in targets.items():
        control = spec.control(name)
        if isinstance(target, int):
            given, known = [str(target)], set(control.keys())
        else:
            given, known = [key_of(path) for path in target], set(control.keys())
        if control.options_field is not None:
            try:
                known |= set(read_options(control, data))
            except Undecidable:
                continue
        unknown = [key for key in given if key not in known]
        if unknown and known:
            shown = shown_labels((*known, *unknown))
            named = ", ".join(quoted(shown[key]) for key in unknown[:LABELS])
            yield Reject("label_unknown", _cut(f"have labels of {quoted(name)} that the config does not: {named}"))


def _of_no_control(spec: TaskSpec, result: list[Json]) -> Iterator[Reject]:
    """Nothing of the result could be used."""
    learned = {control.name for control in spec.questions}
    others = sorted(_names(result) - learned)
    if others:
        listed = ", ".join(quoted(name) for name in others[:FIELDS])
        yield Reject("control_not_learned", _cut(f"answer only what is not learned or not in the config: {listed}"))
    elif not all(isinstance(item, Mapping) and item.get("type") == "relation" for item in result):
        yield Reject("malformed", "have a result that cannot be read")


def _names(result: list[Json]) -> set[str]:
    """The controls that a result names."""
    named = (item.get("from_name") for item in result if isinstance(item, Mapping))
    return {name for name in named if isinstance(name, str)}


def _unreadable(error: Undecidable, data: JsonObject) -> Reject:
    field = str(error.evidence.get("field", ""))
    if not error.evidence.get("missing"):
        return Reject("not_a_text", _cut(f"have no text: {_said(error)}"))
    names = ", ".join(quoted(str(name)) for name in sorted(map(str, data))[:FIELDS])
    more = ", …" if len(data) > FIELDS else ""
    others = f"; they have {names}{more}" if names else ", nor any other"
    return Reject("field_missing", _cut(f"have no field {quoted(field)}{others}"))


def quoted(name: str) -> str:
    """A name of people's as it stands in a sentence."""
    return f"`{name if len(name) <= NAME else name[: NAME - 1] + '…'}`"


def _said(error: Undecidable) -> str:
    return error.reason.replace("'", "`")


def _cut(words: str) -> str:
    return words if len(words) <= LONGEST_WORDS else words[: LONGEST_WORDS - 1] + "…"
