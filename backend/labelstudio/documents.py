"""Task data to plain text, input by input."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

from backend.errors import BackendError
from model.spec import Control, Input, TaskSpec

Options = dict[str, list[str]]

_FIELD = re.compile(r"\$(\w+(?:\.\w+)*)")
_SILENT = ("script", "style", "head", "template")
_BREAKING = ("p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article", "td", "th")


class Undecidable(BackendError):
    """A task lacks what its controls read; it is declined, the others of its batch are not."""

    code = "undecidable_task"
    status = 400


def read_document(spec: TaskSpec, data: Mapping[str, Any], max_chars: int = 100_000) -> tuple[dict[str, str], Options]:
    """(input name -> text, control -> choices listed in the task data).

    An empty text is a text. Raises Undecidable when no control's inputs are all there.
    """
    if not isinstance(data, Mapping):
        raise Undecidable("task data is not an object", field="data")
    document = {}
    for item in spec.inputs:
        text = read_text(item, data)
        if text is not None:
            document[item.name] = clean(text)[:max_chars]
    if not any(all(name in document for name in control.inputs) for control in spec.controls):
        fields = sorted({name for item in spec.inputs for name in _FIELD.findall(item.value)})
        raise Undecidable(f"task data has no usable {' or '.join(fields) or 'text'}", field="data")
    return document, _options(spec.controls, data)


def read_text(item: Input, data: Mapping[str, Any]) -> str | None:
    """The text of one input, None when the task does not hold it."""
    whole = _FIELD.fullmatch(item.value.strip())
    if whole:
        value = _lookup(data, whole.group(1))
        return None if value is None else _as_text(item, value)
    missing = False

    def fill(match: re.Match[str]) -> str:
        nonlocal missing
        value = _lookup(data, match.group(1))
        text = None if value is None else _as_text(item, value)
        missing = missing or text is None
        return text or ""

    filled = _FIELD.sub(fill, item.value)
    return None if missing else filled


def _lookup(data: Mapping[str, Any], path: str) -> Any:
    value: Any = data
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _as_text(item: Input, value: Any) -> str | None:
    if item.tag == "Paragraphs":
        return _dialogue(item, value)
    if isinstance(value, str):
        return html_text(value) if item.tag == "HyperText" else value
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, Sequence):
        return "\n".join(str(part) for part in value if isinstance(part, str | int | float))
    return None


def _dialogue(item: Input, value: Any) -> str | None:
    """`author: text` lines; a plain string is taken as it is."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence):
        return None
    lines = []
    for turn in value:
        if isinstance(turn, Mapping):
            author, text = turn.get(item.name_key), turn.get(item.text_key)
            lines.append(f"{author}: {text or ''}" if author else str(text or ""))
        elif isinstance(turn, str):
            lines.append(turn)
    return "\n".join(lines)


def _options(controls: Sequence[Control], data: Mapping[str, Any]) -> Options:
    options = {}
    for control in controls:
        if control.options_field is not None:
            listed = data.get(control.options_field)
            items = listed if isinstance(listed, Sequence) and not isinstance(listed, str) else []
            options[control.name] = [name for name in map(_option_name, items) if name]
    return options


def _option_name(item: Any) -> str:
    if isinstance(item, Mapping):
        item = item.get("alias") or item.get("value")
    return item if isinstance(item, str) else ""


def clean(text: str) -> str:
    """Without lone surrogates and NUL, which no tokenizer and no store accepts."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


class _TextOnly(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._silent += tag in _SILENT
        if tag in _BREAKING:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in _SILENT))
        if tag in _BREAKING:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def html_text(html: str) -> str:
    """What a reader sees of a piece of HTML, one line a block."""
    parser = _TextOnly()
    parser.feed(html)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).splitlines())
    return "\n".join(line for line in lines if line)
