"""The text in what an object tag shows: strings, dialogues, conversations, lists and tables, as they lie in a task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from backend.labelstudio.text.html_text import html_to_text
from model.spec import Input, Json

_LETTERS = "A-Za-z0-9+/_-"

_URI = rf"data:[^\s,\"'()<>]{{0,200}};base64,[%{_LETTERS}]*={{0,2}}"
_FOUND = re.compile(
    rf"!\[[^\]\n]{{0,200}}\]\(\s{{0,9}}{_URI}[^)\n]{{0,200}}\)"  # a picture in Markdown
    rf"|{_URI}"
    rf"|(?<![{_LETTERS}])(?:[{_LETTERS}]{{512,}}|(?:[{_LETTERS}]{{60,}}\s{{1,3}}){{7,}}[{_LETTERS}]*)={{0,2}}",
    re.IGNORECASE,
)

_MIXED = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))
"""What is in all base64, and not in a genome, a ruled line or one long word."""


def drop_binary(text: str) -> str:
    """`text` without base64: addresses that hold their data, and what stands as 512 characters and more, in one piece
    or, as in mails, in lines."""
    return _FOUND.sub(_without, text) if len(text) >= 512 or ";base64," in text else text


def _without(found: re.Match[str]) -> str:
    run = found[0]
    named = ";base64," in run[:512].lower()
    return " " if named or all(kind.search(run, 0, 512) for kind in _MIXED) else run


READABLE = {
    "text": "Text",
    "hypertext": "HyperText",
    "paragraphs": "Paragraphs",
    "dialog": "Dialog",
    "chat": "Chat",
    "list": "List",
    "table": "Table",
    "markdown": "Markdown",
}
"""Tags whose text is read, by their names in small letters."""

INSTEAD = {
    "image": "with its caption or OCR text",
    "audio": "with its transcript",
    "audioplus": "with its transcript",
    "video": "with its transcript",
    "timeseries": "that says it in words",
    "pdf": "with the text of the PDF",
}
"""What a Text tag can show in place of what is no text."""

Scalar = str | int | float

UNDEFINED = "$undefined$"
"""Label Studio's field name for texts that were imported before the project had a label config."""


class NoText(Exception):
    """This value holds nothing that can be read; the message says what it is instead, and the remedy."""


def text_of(item: Input, value: Json, max_chars: int) -> str:
    """`value` as one text, by the input's tag. Raises NoText."""
    if item.tag in ("Chat", "List", "Table"):
        value = _loaded(value)
        if item.tag == "Chat":
            return _chat(value)
        return _list(value, max_chars) if item.tag == "List" else _table(value)
    if item.tag in ("Paragraphs", "Dialog") and isinstance(value, list | Mapping):
        return _dialogue(item, value if isinstance(value, list) else [value])
    return shown(item, plain(value), max_chars)


def shown(item: Input, text: str, max_chars: int) -> str:
    """A string as the page shows it."""
    return html_to_text(drop_binary(text), max_chars) if item.tag == "HyperText" else text


def plain(value: Json) -> str:
    """A string, number or list of these as text; Label Studio's import accepts no others. Raises NoText."""
    if isinstance(value, Scalar):
        return str(value)
    if isinstance(value, list):
        found = [str(part) for part in value if isinstance(part, Scalar)]
        if value and not found:
            raise NoText("is a list without any text: Paragraphs, Chat, List and Table show lists of objects")
        return "\n".join(found)
    raise NoText(f"is {'null' if value is None else 'an object'}, not a text")


def _loaded(value: Json) -> Json:
    """What comes from a CSV file is JSON in a string, as the page knows for tables."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    import orjson

    try:
        return orjson.loads(value)
    except ValueError:
        return value


def _dialogue(item: Input, turns: list[Json]) -> str:
    """`author: text` lines; turns without a text are passed over. Raises NoText when no turn has any."""
    lines = []
    for turn in turns:
        if isinstance(turn, str):
            lines.append(turn)
        elif isinstance(turn, Mapping) and isinstance(text := turn.get(item.text_key), Scalar):
            author = turn.get(item.name_key)
            lines.append(f"{author}: {text}" if author not in (None, "") else str(text))
    if turns and not lines:
        raise NoText(f"has no {item.text_key!r} in any paragraph")
    return "\n".join(lines)


def _chat(value: Json) -> str:
    """`role: content` lines, tools called with their arguments. Raises NoText when there is no message at all."""
    if isinstance(value, Mapping):
        value = value["messages"] if isinstance(value.get("messages"), list) else [value]
    if not isinstance(value, list):
        return plain(value)
    lines, messages = [], 0
    for message in value:
        if isinstance(message, Mapping) and message.keys() & {"content", "tool_calls", "text"}:
            messages += 1
            said = _content(message.get("content", message.get("text"))) + _calls(message.get("tool_calls"))
            role = message.get("role")
            if said:
                lines.append(f"{role}: " * isinstance(role, str) + "\n".join(said))
        elif isinstance(message, Scalar):
            messages += 1
            lines.append(str(message))
    if value and not messages:
        raise NoText('has no message: a Chat shows a list of {"role": ..., "content": ...}')
    return "\n".join(lines)


def _content(content: Json) -> list[str]:
    """The texts of a message: one, or parts among pictures and files; what a tool found has parts again."""
    texts, open_parts = [], [content]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, Mapping):
            open_parts += [part[key] for key in ("value", "content", "text") if key in part]
        elif isinstance(part, list):
            open_parts += reversed(part)
        elif isinstance(part, Scalar) and str(part):
            texts.append(str(part))
    return texts


def _calls(calls: Json) -> list[str]:
    found = []
    for call in calls if isinstance(calls, list) else ():
        tool = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(tool, Mapping):
            found.append(f"{tool.get('name', '')}({', '.join(_leaves(tool.get('arguments')))})")
    return found


def _list(value: Json, max_chars: int) -> str:
    """Title, body and HTML of each item. Raises NoText when no item has any."""
    if not isinstance(value, list):
        return plain(value)
    lines = []
    for item in value:
        if isinstance(item, Scalar):
            lines.append(str(item))
        elif isinstance(item, Mapping):
            texts = [str(item[key]) for key in ("title", "body") if isinstance(item.get(key), Scalar)]
            if isinstance(html := item.get("html"), str):
                texts.append(html_to_text(drop_binary(html), max_chars))
            if texts:
                lines.append("\n".join(texts))
    if value and not lines:
        raise NoText('has no item with a text: a List shows a list of {"title": ..., "body": ..., "html": ...}')
    return "\n".join(lines)


def _table(value: Json) -> str:
    """A line for each cell of one object, sorted as the page sorts them, and for each row of a list of objects."""
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: (str(name).lower(), str(name)))
        return "\n".join(f"{name}: {', '.join(_leaves(value[name]))}" for name in names)
    if not isinstance(value, list):
        return plain(value)
    return "\n".join(_row(row) for row in value)


def _row(row: Json) -> str:
    if not isinstance(row, Mapping):
        return ", ".join(_leaves(row))
    return "; ".join(f"{name}: {', '.join(_leaves(cell))}" for name, cell in row.items())


def _leaves(value: Json) -> Iterator[str]:
    """The strings and numbers in a value, however deep, in order."""
    open_values = [value]
    while open_values:
        value = open_values.pop()
        if isinstance(value, Scalar):
            yield str(value)
        elif isinstance(value, Mapping):
            open_values += reversed(list(value.values()))
        elif isinstance(value, list):
            open_values += reversed(value)


def clean(text: str) -> str:
    """`text` without NUL and lone surrogates, which tokenizers, UTF-8 and the store refuse."""
    text = text.replace("\0", " ")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Through UTF-16, which keeps a pair that arrived as two escapes; "replace" alone would lose it.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
