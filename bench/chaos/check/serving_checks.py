"""What must hold of answers, versions and processes. Pure: a history in, violations out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from bench.chaos.check.history import Entry, of_kind
from bench.chaos.check.violation import Found, Violation

FIRST = "v0"
BACK_SECONDS = 120.0
"""How long a killed process may be away."""

SLACK = 0.3
"""Seconds between a process's end and the end of its last connection."""


def check_serving(history: Sequence[Entry]) -> Found:
    """Everything but the store."""
    yield from check_replies(history)
    yield from check_failures(history)
    yield from check_versions(history)
    yield from check_processes(history)


def check_replies(history: Sequence[Entry]) -> Found:
    """No reply mixes versions, and each version that it names was live by then; every task is answered."""
    live = {(entry["project"], entry["version"]): entry["at"] for entry in reversed(list(of_kind(history, "moved")))}
    for reply in of_kind(history, "predict"):
        if reply["status"] != 200:
            continue
        project, named = reply["project"], {*reply["versions"], reply["top"]}
        if len(named) > 1:
            yield Violation("mixed versions", f"one reply names {sorted(map(str, named))}", project, reply["t"], reply)
        for version in sorted(map(str, named)):
            since = live.get((project, version))
            if version != FIRST and (since is None or since > reply["t"]):
                yield Violation("unknown version", f"{version} was never live by then", project, reply["t"], reply)
        if reply["answered"] != reply["asked"]:
            what = f"{reply['answered']} of {reply['asked']} tasks answered"
            yield Violation("no answer", what, project, reply["t"], reply)


def check_failures(history: Sequence[Entry]) -> Found:
    """/predict fails only while the web process is away, then with a lost connection or a 503; a webhook is refused
    with a 503 or not at all."""
    away = web_away(history)
    for reply in of_kind(history, "predict"):
        if reply["status"] == 200:
            continue
        excused = any(reply["t0"] <= end + SLACK and reply["t"] >= begin for begin, end in away)
        if not excused or reply["status"] not in (0, 503):
            what = f"/predict: {reply['status']} {reply['said'][:200]}"
            yield Violation("failed predict", what, reply["project"], reply["t"], reply)
    for event in of_kind(history, "event"):
        if not (200 <= event["status"] < 300 or event["status"] in (0, 503)):
            yield Violation("failed webhook", f"{event['status']} {event['said'][:200]}", 0, event["t"], event)


def check_versions(history: Sequence[Entry]) -> Found:
    """The live version is whole whenever somebody looks, and each move starts from the version that was live."""
    for entry in of_kind(history, "version"):
        if entry["problem"]:
            what = f"live version {entry['version']}: {entry['problem']}"
            yield Violation("broken version", what, entry["project"], entry["t"])
    last: dict[int, str] = {}
    for entry in of_kind(history, "moved"):
        project, before = entry["project"], last.get(entry["project"])
        if before is not None and (entry["from"] or FIRST) != before:
            what = f"{entry['version']} replaced {entry['from']}, but {before} was live"
            yield Violation("lost move", what, project, entry["t"], entry)
        last[project] = entry["version"]


def check_processes(history: Sequence[Entry]) -> Found:
    """Everything that was killed comes back; `up` never ends by itself."""
    for entry in of_kind(history, "broken"):
        yield Violation("broken", entry["what"], 0, entry["t"])
    end = history[-1]["t"] if history else 0.0
    starts = Starts(history)
    for kill in of_kind(history, "kill"):
        back = starts.after(kill)
        if kill["role"] != "training" and (end if back is None else back) - kill["t"] > BACK_SECONDS:
            when = "never" if back is None else f"{back - kill['t']:.0f} s later"
            yield Violation("not back", f"{kill['role']} was killed and came back {when}", 0, kill["t"], kill)


class Starts:
    """When processes were seen first."""

    def __init__(self, history: Sequence[Entry]) -> None:
        self._first: dict[str, list[tuple[float, int]]] = {}
        known: set[int] = set()
        for entry in of_kind(history, "seen"):
            for role, pids in entry["roles"].items():
                self._first.setdefault(role, []).extend((entry["t"], pid) for pid in pids if pid not in known)
                known.update(pids)
        self._ups = [entry["t"] for entry in of_kind(history, "up")]

    def after(self, kill: Entry) -> float | None:
        """When a process of the killed one's role was there again that had not been before; None: never."""
        if kill["role"] == "supervisor":
            return next((t for t in self._ups if t > kill["t"]), None)
        first = self._first.get(kill["role"], [])
        later = first[bisect_left(first, (kill["t"], 0)) :]
        return next((t for t, pid in later if pid not in kill["had"]), None)


def web_away(history: Sequence[Entry]) -> list[tuple[float, float]]:
    """From each end of the web process to the first yes of /ready that its successor gave."""
    starts = Starts(history)
    yes = [entry["t0"] for entry in of_kind(history, "ready") if entry["status"] == 200]
    away = []
    for kill in of_kind(history, "kill"):
        if kill["role"] in ("web", "supervisor"):
            back = starts.after(kill)
            since = len(yes) if back is None else bisect_left(yes, back)
            away.append((kill["t"], yes[since] if since < len(yes) else float("inf")))
    return away
