"""Ids as Label Studio writes them; whatever else stands there is refused."""

from __future__ import annotations

import re
from typing import TypeGuard

from backend.errors import BadRequest
from model.spec import Json

LARGEST_ID = 2**63 - 1
"""Ids are 64-bit integers in Label Studio's database."""

_PROJECT = re.compile(r"([0-9]{1,18})(\.[0-9]{1,20})?")
_DIGITS = re.compile(r"[0-9]{1,18}")


def read_project_id(value: Json) -> int:
    """The project id in `7`, `"7"` or Label Studio's `"7.1795455205"` (id.created_at). Raises BadRequest."""
    if _is_id(value):
        return value
    if isinstance(value, str) and (match := _PROJECT.fullmatch(value)) and int(match.group(1)) > 0:
        return int(match.group(1))
    raise bad_field("project", "a project id such as 7 or '7.1795455205' is needed")


def read_id(value: Json, name: str) -> int:
    """A positive 64-bit id, also as digits in a string. Raises BadRequest naming the field."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if _is_id(value):
        return value
    raise bad_field(name, "is missing" if value is None else "a positive integer is needed")


def bad_field(name: str, what: str) -> BadRequest:
    """The error that names the field."""
    return BadRequest(f"{name}: {what}", field=name)


def _is_id(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_ID
