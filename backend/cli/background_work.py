"""What `understudy status` says of background work: what keeps failing, and how reconciling goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backend.rejects.report import tell_rejects

QUARANTINED = 10
"""Labels that are listed."""

NAMES = {"refit": "learning", "train": "fine-tuning", "sync": "reconciling", "predict": "predicting"}


def tell_upkeep(entry: Mapping[str, Any], now: float) -> Iterator[str]:
    """Lines about a project as the admin API describes it; `now` in epoch seconds."""
    for kind, trouble in (entry.get("trouble") or {}).items():
        times = "once" if trouble["failures"] == 1 else f"{trouble['failures']} times in a row"
        later = f"; again in {trouble['retry_in']} s" if trouble.get("retry_in") else ""
        yield f"{NAMES.get(kind, kind)} failed {times}{later}: {trouble['error']}"
    if timed := entry.get("number_format"):
        yield f"number format, as timed on this machine: {timed}"
    if last := entry.get("last_sync") or {}:
        yield f"reconciled with Label Studio: {_describe(last, now, _are_lost(entry))}"
    if why := entry.get("dirty"):
        yield f"to be reconciled, since {why}"
    yield from tell_rejects(entry.get("rejects") or (), now)
    yield from tell_rejects(entry.get("refused") or (), now)
    for control, counts in (entry.get("quarantined") or {}).items():
        listed = ", ".join(f"{label} {count}" for label, count in list(counts.items())[:QUARANTINED])
        yield f"{control}: kept apart, since the label config does not have them: {listed}"


def _are_lost(entry: Mapping[str, Any]) -> bool:
    """Whether labels come to nothing, so that no line may say that all is well."""
    return any(reject["where"] == "labels" for reject in entry.get("rejects") or ())


def _describe(last: Mapping[str, Any], now: float, lost: bool) -> str:
    if "ok_at" not in last:
        return f"never; {last.get('error', '')}"
    minutes = max(0.0, now - float(last["ok_at"])) / 60
    drift = int(last.get("drift", 0))
    whole = "nothing was missing" if not lost else "nothing was missing of what can be read, see below"
    mended = f"{drift} annotations were mended" if drift else whole
    mended += f", {last['unread']} cannot be read" if last.get("unread") else ""
    failed = f"; failed since: {last['error']}" if last.get("error") else ""
    return f"{minutes:.0f} minutes ago, {mended}{failed}"
