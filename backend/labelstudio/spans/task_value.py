"""What the page makes of a task's data: variables of a config's `value`, and JavaScript's `String(...)` of them.

Offsets count in this text, so that it has to be the page's to the character: `["Ada", "Bob"]` is `Ada,Bob`, `true` is
not `True`, and a field that a template names and the task lacks is the word `undefined`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from backend.errors import Undecidable
from backend.labelstudio.text.object_text import UNDEFINED, clean

VARIABLE = re.compile(r"\$[\w\[\].{}]+", re.ASCII)
"""A reference to task data as the page's editor reads it, a full stop after it included."""

_STEP = re.compile(r"[^.\[\]]+")
_NOTHING = object()

MAX_DEPTH = 32
"""Deepest list that is joined."""


def shown_value(value: str, data: object) -> object:
    """What an object with this `value` in the config shows of a task: text, or any JSON where `value` is one variable.

    Raises Undecidable when the task lacks it."""
    if not isinstance(data, Mapping):
        raise Undecidable("the task has no data", field="data")
    match = VARIABLE.fullmatch(value)
    if match is None:
        return VARIABLE.sub(lambda found: _in_template(data, found[0][1:]), value)
    found = look_up(data, match[0][1:])
    if found is None:
        raise Undecidable(f"field {match[0][1:]!r} is missing", field=match[0][1:], missing=True)
    return found


def look_up(data: Mapping[str, object], path: str) -> object:
    """The value at `path`, which is a key of `data` or one like `doc.body.text`, `docs[1].text`; None when missing."""
    found = _look_up(data, path)
    return None if found is _NOTHING else found


def javascript_string(value: object, depth: int = 0) -> str:
    """`String(value)`. Raises Undecidable for objects, in which there is no text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list) and depth < MAX_DEPTH:
        return ",".join("" if one is None else javascript_string(one, depth + 1) for one in value)
    raise Undecidable(f"the task holds {'null' if value is None else 'an object'}, not a text", field="data")


def decoded(text: str, encoding: str) -> str:
    """What the page shows of a text in `encoding`. Raises Undecidable for what cannot be decoded."""
    if encoding == "none":
        return clean(text)
    try:
        # `atob` passes over white space, and wants no padding.
        bare = re.sub(r"[\t\n\f\r ]", "", text).rstrip("=")
        raw = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        # `atob` gives a character for each byte; only base64unicode reads UTF-8.
        return clean(raw.decode("latin-1" if encoding == "base64" else "utf-8"))
    except (binascii.Error, ValueError) as error:
        raise Undecidable(f"the text is not {encoding}", field="data") from error


def _look_up(data: Mapping[str, object], path: str) -> object:
    if path in data:
        return data[path]
    value: object = data
    for part in _STEP.findall(path) if path.strip(".[]") and not path.endswith(".") else [""]:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part[:9]) < len(value):
            value = value[int(part[:9])]
        else:
            return data.get(UNDEFINED, _NOTHING)
    return value


def _in_template(data: Mapping[str, object], path: str) -> str:
    found = _look_up(data, path)
    if found is _NOTHING:
        return "undefined"
    return "null" if found is None else javascript_string(found)


def _number(value: int | float) -> str:
    """As JavaScript writes numbers, all of which are doubles there."""
    try:
        number = float(value)
    except OverflowError:
        number = float("inf") if value > 0 else float("-inf")
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    mantissa, _, power = f"{abs(number)!r}".partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + ("" if part == "0" else part)).lstrip("0")
    point = len(whole) + int(power or 0) if whole != "0" else int(power or 0) - (len(part) - len(part.lstrip("0")))
    digits = digits.rstrip("0")
    return "-" * (number < 0) + _with_point(digits, point)


def _with_point(digits: str, point: int) -> str:
    """`digits` with the decimal point after `point` of them, or as a power of ten where JavaScript writes one."""
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return (f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits) + power
