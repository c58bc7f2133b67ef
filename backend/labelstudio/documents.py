"""Reads the data of a task into the plain texts that a model sees. Nothing is fetched: text is what the task holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from backend.errors import Undecidable
from backend.labelstudio.label_config.labels import CHOICE_VARIABLE, VARIABLE
from backend.labelstudio.spans.page import read_page
from backend.labelstudio.task_spec import object_of
from backend.labelstudio.text.object_text import UNDEFINED, NoText, clean, drop_binary, plain, shown, text_of
from model.labels import key_of
from model.spec import Control, Input, Json, JsonObject, Kind, TaskSpec

Options = dict[str, list[str]]
"""Control name -> keys of the labels that a task offers (choices in the task data)."""


def read_document(spec: TaskSpec, data: Json, max_chars: int = 100_000) -> tuple[dict[str, str], Options]:
    """(input name -> text of at most `max_chars`, control name -> choices listed in the task data).

    An empty text is a text. Inputs that cannot be read are missing; raises Undecidable when no control is left whose
    inputs are all there (and, with choices in the task data, whose choices are)."""
    document, reasons = read_texts(spec, data, max_chars)
    options: Options = {}
    answerable = False
    for control in spec.questions:
        try:
            if control.options_field is not None and control.kind is not Kind.SPANS:
                options[control.name] = read_options(control, data)
            answerable = answerable or all(name in document for name in control.inputs)
        except Undecidable as error:
            reasons.append(error.reason)
    if not answerable:
        raise Undecidable(reasons[0] if reasons else "the task has no text", field="data")
    return document, options


def read_texts(spec: TaskSpec, data: Json, max_chars: int = 100_000) -> tuple[dict[str, str], list[str]]:
    """(input name -> text, for those inputs that the task holds; why the others cannot be read)."""
    document: dict[str, str] = {}
    reasons: list[str] = []
    for item in spec.inputs:
        try:
            document[item.name] = read_text(item, data, max_chars)
        except Undecidable as error:
            reasons.append(error.reason)
    return document, reasons


def read_text(item: Input, data: Json, max_chars: int = 100_000) -> str:
    """The text of one input. Raises Undecidable when the task does not hold it."""
    if not isinstance(data, Mapping):
        raise Undecidable("the task has no data", field="data")
    if item.page is not None:
        return read_page(object_of(item), data).text[:max_chars]
    variable = VARIABLE.fullmatch(item.value.strip())
    if variable:
        field = variable.group(1)
        try:
            text = text_of(item, _lookup(data, field), max_chars)
        except NoText as error:
            raise Undecidable(f"field {field!r} {error}", field=field) from error
    else:
        text = shown(item, VARIABLE.sub(lambda match: _plain(data, match.group(1)), item.value), max_chars)
    return clean(drop_binary(text)[:max_chars])


def is_shown_as_read(item: Input, data: Json) -> bool:
    """Whether the page shows exactly the characters that `read_text` gives, so that offsets mean the same in both."""
    variable = VARIABLE.fullmatch(item.value.strip())
    if item.tag != "Text" or not isinstance(data, Mapping):
        return False
    try:
        value = "" if variable is None else _lookup(data, variable.group(1))
        return isinstance(value, str) and drop_binary(value) == value
    except Undecidable:
        return False


def read_options(control: Control, data: Json) -> list[str]:
    """Keys of the labels this task offers: those of the config, then those of the task. Raises Undecidable."""
    field, shown = control.options_field or "", data if isinstance(data, Mapping) else {}
    try:
        value = _lookup(shown, field, undefined=False) if field else []
    except Undecidable:
        if not control.labels:
            raise
        value = []
    written = map(key_of, _written(control.templates, shown))
    templates = set(control.templates)
    fixed = [label.key for label in control.labels if label.path not in templates]
    found = dict.fromkeys([*fixed, *map(key_of, _option_paths(value, (), control)), *written])
    if not found:
        where = f"field {field!r} offers" if field else "its fields offer"
        raise Undecidable(f"{where} no choices", field="data")
    return list(found)


def _written(templates: Sequence[tuple[str, ...]], data: JsonObject) -> list[tuple[str, ...]]:
    """The paths of `<Choice value="$field"/>` with this task's data, without those that the task leaves empty.

    Where it has none of the fields, they stay as they are written, `$AAPL` say: the page shows nothing there."""
    paths = [(template, _with_data(template, data)) for template in templates]
    some = any(path is not None for _, path in paths)
    return [template if path is None else path for template, path in paths if (path and all(path)) or not some]


def _with_data(template: tuple[str, ...], data: JsonObject) -> tuple[str, ...] | None:
    """One path; None where the task lacks a field."""

    def value_of(match: re.Match[str]) -> str:
        value = _lookup(data, match.group(1), undefined=False)
        return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""

    try:
        return tuple(CHOICE_VARIABLE.sub(value_of, part) for part in template)
    except Undecidable:
        return None


def _option_paths(value: Json, above: tuple[str, ...], control: Control) -> list[tuple[str, ...]]:
    """Paths in `[{"value": "A", "alias": "a", "children": [...]}, "B", ...]`; what has no value is passed over."""
    paths: list[tuple[str, ...]] = []
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) and len(above) < 32 else ()
    for item in listed:
        alias, shown = (item.get("alias"), item.get("value")) if isinstance(item, Mapping) else (None, item)
        shown = shown if alias is None else alias
        if not isinstance(shown, str | int | float) or isinstance(shown, bool) or (shown == "" and alias is None):
            continue
        path = (*above, str(shown))
        paths.append(path)
        if isinstance(item, Mapping) and (control.nested or control.tag == "Taxonomy"):
            paths.extend(_option_paths(item.get("children"), path, control))
    return paths


def _lookup(data: JsonObject, field: str, *, undefined: bool = True) -> Json:
    """The value of `field`: a key of `data`, or a path like `message.body` or `turns[0].text`. Raises Undecidable."""
    if field in data:
        return data[field]
    value: Json = data
    for part in re.findall(r"[^.\[\]{}]+", field):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part[:9]) < len(value):
            value = value[int(part[:9])]
        elif undefined and UNDEFINED in data:
            return data[UNDEFINED]
        else:
            raise Undecidable(f"field {field!r} is missing", field=field, missing=True)
    return value


def _plain(data: JsonObject, field: str) -> str:
    """What a template shows of `field`. Raises Undecidable."""
    try:
        return plain(_lookup(data, field))
    except NoText as error:
        raise Undecidable(f"field {field!r} {error}", field=field) from error
