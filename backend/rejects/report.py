"""Rejects in words, for status, doctor, the log and the summary of `understudy predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.labelstudio.reject_limits import TASKS_REMEMBERED
from backend.record_json import RejectEntry

SHOWN_KINDS = 10


def describe_rejects(entries: Sequence[RejectEntry], now: float) -> Iterator[str]:
    """A line each, as the store gives them; `now` in epoch seconds."""
    for entry in entries[:SHOWN_KINDS]:
        count = int(entry["tasks"] or entry["times"])
        more = TASKS_REMEMBERED <= count < int(entry["times"])  # no more of them are remembered
        told = describe_reject(str(entry["where"]), str(entry["words"]), count, more)
        yield f"{told} (last {describe_age(now - float(entry['last']))})"
    if len(entries) > SHOWN_KINDS:
        yield f"and {len(entries) - SHOWN_KINDS} more of the kind"


def describe_reject(where: str, words: str, count: int, more: bool = False) -> str:
    """ "12 tasks have no field `text`; they have `body`, `title`"."""
    if where == "requests":
        return f"{words}, {count} {'time' if count == 1 else 'times'}"
    number = f"{count} or more" if more else str(count)
    if count == 1:
        for many, one in (("have ", "has "), ("are ", "is "), ("hold ", "holds "), ("offer ", "offers ")):
            words = one + words.removeprefix(many) if words.startswith(many) else words
        words = words.replace("; they have ", "; it has ")
    kind = "labelled " if where == "labels" else ""
    return f"{number} {kind}{'task' if count == 1 else 'tasks'} {words}"


def describe_age(seconds: float) -> str:
    """How long ago."""
    if seconds < 90:
        return "just now"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes ago"
    return f"{seconds / 3600:.0f} hours ago" if seconds < 172_800 else f"{seconds / 86_400:.0f} days ago"
