"""The numbers of a run: kills by kind, events, answers, and how long it took to come back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.chaos.check.history import Entry, of_kind
from bench.chaos.check.serving_checks import Starts, web_away

Row = dict[str, Any]


def count_events(history: Sequence[Entry]) -> Row:
    """What became of the changes: each counts once, by its best delivery."""
    changes = list(of_kind(history, "change"))
    best: dict[int, int] = {}
    for event in of_kind(history, "event"):
        good = 200 <= event["status"] < 300
        best[event["n"]] = 2 if good else max(best.get(event["n"], 0), 1 if event["status"] == 0 else 0)
    counted = Counter(best.get(change["n"], -1) for change in changes)
    refused = sum(event["status"] == 503 for event in of_kind(history, "event"))
    ends = list(of_kind(history, "end"))
    return {
        "changes": len(changes),
        "acknowledged": counted[2],
        "refused or unanswered, so left to a reconciliation": counted[0] + counted[1],
        "never sent, so left to a reconciliation": counted[-1],
        "replies 503": refused,
        "annotations that the store lacked or had too many, before the last resync": sum(e["drift"] for e in ends),
        "the same after it": sum(len(set(e["truth"].items() ^ e["store"].items())) for e in map(_hashable, ends)),
        "reconciliations seen": sum(len(times) for times in _syncs(history, failed=False).values()),
        "failed reconciliations seen": sum(len(times) for times in _syncs(history, failed=True).values()),
    }


def count_answers(history: Sequence[Entry]) -> Row:
    """Replies of /predict, failures by class, versions named and published."""
    replies = list(of_kind(history, "predict"))
    failed = Counter(
        f"{r['said'][:40]}" if not r["status"] else str(r["status"]) for r in replies if r["status"] != 200
    )
    named = {(reply["project"], name) for reply in replies if reply["status"] == 200 for name in reply["versions"]}
    return {
        "replies": sum(reply["status"] == 200 for reply in replies),
        "failed while the web process was away": sum(failed.values()),
        **{f"of these {name}": count for name, count in failed.most_common()},
        "versions published": sum(1 for _ in of_kind(history, "moved")),
        "of these fine-tunes": sum(entry["by"] == "trainer" for entry in of_kind(history, "moved")),
        "versions named in replies": len(named),
        "looks at the live version": sum(1 for _ in of_kind(history, "version")),
        "readings of the store": sum(1 for _ in of_kind(history, "read")),
    }


def count_kills(history: Sequence[Entry]) -> list[Row]:
    """By role: kills, and seconds until a new process was seen and until it did its work; the latter only of kills
    after which neither this role nor the supervisor was killed again before that: the others tell of the schedule."""
    starts, rows = Starts(history), []
    kills = list(of_kind(history, "kill"))
    works = _work_times(history)
    for role, count in Counter(kill["role"] for kill in kills).most_common():
        own = [kill for kill in kills if kill["role"] == role]
        backs = [back - kill["t"] for kill in own if (back := starts.after(kill)) is not None]
        row: Row = {"kill -9": role, "times": count, **_spread("a new process after", backs)}
        if role in works:
            name, times = works[role]
            again = sorted(kill["t"] for kill in kills if kill["role"] in (role, "supervisor"))
            after = [back - kill["t"] for kill in own if (back := _undisturbed(kill["t"], times, again)) is not None]
            row |= {"at work again": name, "undisturbed": len(after), **_spread("after", after)}
        rows.append(row)
    return rows


def count_faults(history: Sequence[Entry]) -> list[Row]:
    """Everything else that went wrong: how often, and for how many seconds in all."""
    counted: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for fault in of_kind(history, "fault"):
        name = f"{fault['what']}: {fault['target']}"
        counted[name] += 1
        seconds[name] += fault["seconds"]
    return [{"fault": name, "times": counted[name], "seconds": round(seconds[name])} for name in sorted(counted)]


def _undisturbed(since: float, works: Sequence[float], kills: Sequence[float]) -> float | None:
    """The first of `works` after `since`, None when one of `kills` lies between."""
    at, next_kill = bisect_left(works, since), bisect_right(kills, since)
    if at == len(works) or (next_kill < len(kills) and kills[next_kill] < works[at]):
        return None
    return works[at]


def _work_times(history: Sequence[Entry]) -> dict[str, tuple[str, list[float]]]:
    """role -> (what shows that it works, when that was seen to have begun and succeeded)."""
    away = [end for _, end in web_away(history)]
    stored = sorted(e["t0"] for e in of_kind(history, "event") if 200 <= e["status"] < 300)
    moved = sorted(e["at"] for e in of_kind(history, "moved") if e["by"] == "learner")
    synced = sorted({at for times in _syncs(history, failed=False).values() for at in times})
    return {
        "web": ("/ready says yes", sorted(away)),
        "supervisor": ("/ready says yes", sorted(away)),
        "redis": ("a webhook is acknowledged", stored),
        "learner": ("a version is published", moved),
        "sync": ("a reconciliation has succeeded", synced),
    }


def _syncs(history: Sequence[Entry], failed: bool) -> dict[int, set[float]]:
    found: dict[int, set[float]] = {}
    for read in of_kind(history, "read"):
        if read["sync"] and bool(read["sync"].get("error")) == failed:
            found.setdefault(read["project"], set()).add(read["sync"]["at"])
    return found


def _spread(name: str, seconds: Sequence[float]) -> Row:
    finite = [value for value in seconds if np.isfinite(value)]
    if not finite:
        return {f"{name}, p50 s": "-", f"{name}, max s": "-"}
    return {f"{name}, p50 s": round(float(np.median(finite)), 1), f"{name}, max s": round(max(finite), 1)}


def _hashable(end: Entry) -> dict[str, dict[str, tuple[Any, ...]]]:
    return {name: {key: tuple(facts[:2]) for key, facts in end[name].items()} for name in ("truth", "store")}
