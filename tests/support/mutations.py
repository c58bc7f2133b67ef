"""JSON and bytes that are not as they should be: what fuzzing puts in the place of what was recorded."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30), 1.5, 1e308),
    *("", " ", "0", "7", "7.1", "-1", "1e9", "٣", "../../etc/passwd", "7;x", "null", "\0", "\ud800", "\udfff\ud800"),
    *("a" * 5000, "😀" * 50, "\u202e\r\n\t", "<script>alert(1)</script>", "{{7*7}}", "%s%n", "$text", "$undefined$"),
    *("2026-01-01T00:00:00Z", "2026-13-41T99:99:99Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59"),
    *([], {}, [[]], [None], [{}], {"a": {}}, {"id": None}, {"id": []}, {"": ""}, [1, "a", None, {}], [[[[[[]]]]]]),
    *(
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "<View/>",
        "<View",
        '<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>',
    ),
)
"""What takes the place of a value."""

NAMES = (
    "id",
    "project",
    "task",
    "tasks",
    "data",
    "result",
    "value",
    "choices",
    "type",
    "label_config",
    "",
    "\ud800",
    "__proto__",
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside `value`."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        holder = stack.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        found.extend((holder, key) for key in keys)
        stack.extend(holder[key] for key in keys if isinstance(holder[key], dict | list))
    return found


def change(chance: random.Random, body: Any, others: Sequence[Any]) -> Any:
    """A copy of `body` in which one to four things are not as they were."""
    body = copy.deepcopy(body)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        inside = places(body) if isinstance(body, dict | list) else []
        if not inside:
            return chance.choice(VALUES)
        holder, key = chance.choice(inside)
        chance.choice(CHANGES)(chance, holder, key, others)
    return body


def _replace(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    holder[key] = copy.deepcopy(chance.choice(VALUES))


def _remove(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    del holder[key]


def _rename(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    if isinstance(holder, dict):
        holder[chance.choice(NAMES)] = holder.pop(key)


def _repeat(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    holder[key] = [copy.deepcopy(holder[key]) for _ in range(chance.choice((0, 1, 2, 20)))]


def _wrap(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    for _ in range(chance.choice((1, 2, 40, 70))):
        holder[key] = chance.choice(([holder[key]], {"a": holder[key]}))


def _graft(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    there = places(chance.choice(others))
    if there:
        other, place = chance.choice(there)
        holder[key] = copy.deepcopy(other[place])


def _retype(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    holder[key] = chance.choice((str, repr, bool, lambda value: [value], lambda value: {"id": value}))(holder[key])


CHANGES: tuple[Callable[[random.Random, Any, Any, Sequence[Any]], None], ...] = (
    *(_replace, _replace, _replace, _remove, _remove, _rename, _repeat, _wrap, _graft, _graft, _retype),
)


def damage(chance: random.Random, data: bytes) -> bytes:
    """Bytes that are hardly JSON any more."""
    for _ in range(chance.choice((1, 1, 3, 9))):
        at = chance.randrange(len(data) + 1)
        cut = chance.randrange(1, 20)
        piece = chance.choice(
            (b"", b"\0", b"\xff", b"{", b"]", b"NaN", b"1e999", b'"\\ud800"', b"\\", b"9" * 50, b"," * 3)
        )
        data = data[:at] + piece + data[at + chance.choice((0, 0, cut)) :]
    return data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data


def encode(body: Any) -> bytes:
    """JSON as Python writes it: lone surrogates escaped, huge integers and all."""
    return json.dumps(body).encode()
