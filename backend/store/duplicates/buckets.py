"""Keys of labelled texts and what was answered to each, in buckets by their first bits, as text: so a label costs two
buckets, and whoever keeps a table reads what has changed alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backend.redis_access.connection import UNREADABLE

BUCKET_BITS = 10

Keys = tuple[str, ...]
Answers = tuple[tuple[Keys, float], ...]


class TextAnswer(NamedTuple):
    """Of one control, by its place in the facts. `against`: tasks whose own people answered otherwise; `task`: one
    whose people gave the first answer, which tables do not keep (0)."""

    control: int
    answers: Answers
    against: tuple[int, ...] = ()
    task: int = 0


Entry = tuple[TextAnswer, ...]
"""What is kept under one key."""


def bucket_of(key: int) -> int:
    return key >> (64 - BUCKET_BITS)


def write_bucket(entries: Mapping[int, Entry]) -> str:
    """By key, so that the same entries give the same text."""
    rows = {
        f"{key:016x}": [[own.control, own.answers, own.against, own.task] for own in entries[key]]
        for key in sorted(entries)
    }
    return json.dumps(rows, separators=(",", ":"))


def read_bucket(text: str, known: dict[str, Entry] | None = None, *, tasks: bool = False) -> dict[int, Entry]:
    """Inverse of `write_bucket`; empty for what cannot be read. `known`: what was read before, to be added to: few
    answers are given to many texts. Without `tasks` those that are named are left out, so that such texts are alike."""
    before = known if known is not None else {}
    try:
        found: dict[int, Entry] = {}
        for name, whole in json.loads(text or "{}").items():
            rows = whole if tasks else [own[:3] for own in whole]
            entry = before.get(said := str(rows))
            if entry is None:
                entry = before[said] = tuple(_answer(*own) for own in rows)
            found[int(name, 16)] = entry
        return found
    except UNREADABLE:
        return {}


def _answer(
    control: int, answers: Sequence[tuple[Sequence[str], float]], against: Sequence[int], task: int = 0
) -> TextAnswer:
    pairs = tuple((tuple(str(key) for key in keys), float(share)) for keys, share in answers)
    return TextAnswer(int(control), pairs, tuple(int(one) for one in against), int(task))
