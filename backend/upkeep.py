"""What `understudy status` says of background work: what keeps failing, and how reconciling goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
        yield f"reconciled with Label Studio: {_describe(last, now)}"
    if why := entry.get("dirty"):
        yield f"to be reconciled, since {why}"


def _describe(last: Mapping[str, Any], now: float) -> str:
    if "ok_at" not in last:
        return f"never; {last.get('error', '')}"
    minutes = max(0.0, now - float(last["ok_at"])) / 60
    drift = int(last.get("drift", 0))
    mended = f"{drift} annotations were mended" if drift else "nothing was missing"
    failed = f"; failed since: {last['error']}" if last.get("error") else ""
    return f"{minutes:.0f} minutes ago, {mended}{failed}"
