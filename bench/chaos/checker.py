"""The record of a run, and all promises checked on it.

The record: one JSON object a line, written as it happens; read back, and what can be read off it. The checks are pure:
a history in, violations out.

Of the store: nothing acknowledged is lost, nothing deleted comes back, nothing is made up. Every reading of it is
compared with what was acknowledged before that reading began, so a reconciliation that mends a loss later does not hide
it. Of the rest: answers, versions and processes.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class History:
    """Appends entries from any thread. Times are seconds of the wall clock, which the product's own stamps share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w", encoding="utf-8")
        self._guard = threading.Lock()

    def note(self, kind: str, **fields: Any) -> None:
        """One entry; `t` is now unless given."""
        line = json.dumps({"kind": kind, "t": round(time.time(), 4), **fields}, separators=(",", ":"))
        with self._guard:
            if not self._file.closed:
                self._file.write(line + "\n")

    def close(self) -> None:
        """Nothing is noted after this."""
        with self._guard:
            self._file.close()


def read_history(path: Path) -> list[Entry]:
    """All entries, ordered by `t`."""
    with path.open(encoding="utf-8") as file:
        return sorted(map(json.loads, file), key=lambda entry: entry["t"])


def of_kind(history: Iterable[Entry], *kinds: str) -> Iterator[Entry]:
    """The entries of these kinds."""
    return (entry for entry in history if entry["kind"] in kinds)


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


@dataclass(frozen=True)
class Violation:
    """A promise that was broken, which `kind` names, with the entries of the history that show it."""

    kind: str
    what: str
    project: int = 0
    at: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


Found = Iterator[Violation]


def find_violations(history: Sequence[Entry]) -> list[Violation]:
    """Violations by time; the history must be ordered by `t`."""
    return sorted([*check_store(history), *check_serving(history)], key=lambda violation: violation.at)


State = dict[int, list[Any]]


def check_store(history: Sequence[Entry]) -> Found:
    """All projects."""
    changes = {entry["n"]: entry for entry in of_kind(history, "change")}
    acknowledged = [entry for entry in of_kind(history, "event") if 200 <= entry["status"] < 300]
    for project in sorted({entry["project"] for entry in changes.values()}):
        acks = [(entry["t"], changes[entry["n"]]) for entry in acknowledged]
        ledger = _Ledger(project, [ack for ack in acks if ack[1]["project"] == project])
        for entry in of_kind(history, "change", "read"):
            if entry["project"] == project:
                yield from ledger.take(entry)
    yield from check_end(history)


class _Ledger:
    """What one project's store must hold by now, and what it holds."""

    def __init__(self, project: int, acks: list[tuple[float, Entry]]) -> None:
        self.project = project
        self._acks = sorted(acks, key=lambda ack: ack[0])
        self._taken = 0
        self._sent: dict[int, list[list[Any]]] = {}
        self._gone: set[int] = set()
        self._required: dict[int, int] = {}
        self._buried: set[int] = set()
        self._state: State = {}
        self._marks = {"seq": 0, "trained": 0}
        self._told: set[tuple[str, int]] = set()

    def take(self, entry: Entry) -> Found:
        """The next change or reading, in the order of time."""
        if entry["kind"] == "change":
            for name, facts in entry["sets"].items():
                self._sent.setdefault(int(name), []).append(facts[:2])
            self._gone.update(entry["gone"])
            return
        touched = self._acknowledge(entry["t0"])
        self._state.update({int(name): facts for name, facts in entry["sets"].items()})
        for name in entry["gone"]:
            self._state.pop(int(name), None)
        touched |= {int(name) for name in [*entry["sets"], *entry["gone"]]}
        for number in sorted(touched):
            yield from self._check(number, entry)
        yield from self._check_marks(entry)

    def _acknowledge(self, before: float) -> set[int]:
        """Takes in what was acknowledged before that moment; the annotations concerned."""
        touched: set[int] = set()
        while self._taken < len(self._acks) and self._acks[self._taken][0] < before:
            change = self._acks[self._taken][1]
            self._taken += 1
            for name, facts in change["sets"].items():
                self._required[int(name)] = max(facts[0], self._required.get(int(name), 0))
                touched.add(int(name))
            self._buried.update(change["gone"])
            touched.update(change["gone"])
        return touched

    def _check(self, number: int, read: Entry) -> Found:
        stored = self._state.get(number)
        required = self._required.get(number)
        if number in self._buried:
            if stored is not None:
                yield from self._tell("resurrected", number, read, f"its deletion was acknowledged, it holds {stored}")
        elif required is not None and number not in self._gone and (stored is None or stored[0] < required):
            yield from self._tell("lost", number, read, f"{required} was acknowledged, the store has {stored}")
        if stored is not None and stored not in self._sent.get(number, []):
            yield from self._tell("made up", number, read, f"the store holds {stored}, which nobody sent")

    def _check_marks(self, read: Entry) -> Found:
        for name, before in self._marks.items():
            if read[name] < before:
                yield Violation("watermark fell", f"{name} was {before}, is {read[name]}", self.project, read["t"])
            self._marks[name] = read[name]
        for number in read["extra"]:
            yield from self._tell("made up", number, read, "an example without a version")

    def _tell(self, kind: str, number: int, read: Entry, what: str) -> Found:
        """Once for each annotation."""
        if (kind, number) not in self._told:
            self._told.add((kind, number))
            evidence = {"annotation": number, "sent": self._sent.get(number, [])[-5:], "read": [read["t0"], read["t1"]]}
            yield Violation(kind, f"annotation {number}: {what}", self.project, read["t"], evidence)


def fold(history: Sequence[Entry], project: int) -> State:
    """The annotations that the recorded changes lead to."""
    state: State = {}
    for entry in of_kind(history, "change"):
        if entry["project"] == project:
            state.update({int(name): facts[:2] for name, facts in entry["sets"].items()})
            for number in entry["gone"]:
                state.pop(number, None)
    return state


def check_end(history: Sequence[Entry]) -> Found:
    """After healing and one reconciliation: store == fold(history) == Label Studio, and all of it was learned."""
    ends = list(of_kind(history, "end"))
    if not ends:
        yield Violation("no end", "the run broke off before the store was compared with Label Studio")
    for end in ends:
        project, truth, stored = end["project"], _numbered(end["truth"]), _numbered(end["store"])
        if truth != (folded := fold(history, project)):
            wrong = sorted(number for number in {*truth, *folded} if truth.get(number) != folded.get(number))
            yield Violation("bench", f"the record of changes misses {wrong[:5]}", project, end["t"])
        for number in sorted({*truth, *stored}):
            if truth.get(number) != stored.get(number):
                what = f"Label Studio has {truth.get(number)}, the store {stored.get(number)}"
                kind = "not recovered" if number in truth else "not removed"
                yield Violation(kind, f"annotation {number}: {what}", project, end["t"])
        yield from _check_learned(end, truth)
    for pair in of_kind(history, "compared"):
        yield from _check_copy(pair)


def _check_learned(end: Entry, truth: State) -> Found:
    project, at = end["project"], end["t"]
    if not end["pending"] == 0 == end["seq"] - end["fitted"] or end["trained"] < end["seq"]:
        marks = {name: end[name] for name in ("pending", "seq", "fitted", "trained")}
        yield Violation("not learned", f"what was acknowledged is in no snapshot: {marks}", project, at)
    labelled = sum(label != "" for _, label in truth.values())
    if end["labels_seen"] != labelled or end["snapshot_seq"] != end["seq"]:
        seen = {"labels_seen": end["labels_seen"], "snapshot_seq": end["snapshot_seq"]}
        what = f"the live version {end['live']} saw {seen}, there are {labelled} labels at {end['seq']}"
        yield Violation("not learned", what, project, at)


ALIKE = 0.5
"""Least share of unlabelled texts that a project and its copy answer alike, to the last region, answer and relation.
Heads go on from those before and confidences are calibrated on what came earlier, so doubtful spans differ: of real
sentences with 130 labels about a fifth of the texts, of all other kinds none."""


def _check_copy(pair: Entry) -> Found:
    """What was learned under fire is what a project learns that gets the same annotations in one go."""
    project, at, (own, clean) = pair["project"], pair["t"], pair["labels_seen"]
    if not own or own != clean:
        yield Violation("learned otherwise", f"it saw {own}, its copy {clean}", project, at, pair)
    if not pair["tuned"] and pair["alike"] < ALIKE * pair["asked"]:
        what = f"{pair['alike']} of {pair['asked']} texts are answered as by its copy"
        yield Violation("learned otherwise", what, project, at, pair)


def _numbered(state: dict[str, list[Any]]) -> State:
    return {int(name): facts[:2] for name, facts in state.items()}


FIRST = "v0"
BACK_SECONDS = 120.0
"""How long a killed process may be away."""

CLOSING_SECONDS = 0.3
"""Seconds between a process's end and the end of its last connection."""


def check_serving(history: Sequence[Entry]) -> Found:
    """Everything but the store."""
    yield from check_replies(history)
    yield from check_failures(history)
    yield from check_versions(history)
    yield from check_processes(history)


def check_replies(history: Sequence[Entry]) -> Found:
    """No reply mixes versions, and each version that it names was live by then; every task is answered, with nothing
    that its label config does not allow."""
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
        for fault in reply["faults"]:
            yield Violation("invalid reply", f"{fault}, by {named}", project, reply["t"], reply)
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
        excused = any(reply["t0"] <= end + CLOSING_SECONDS and reply["t"] >= begin for begin, end in away)
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
