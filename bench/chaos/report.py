"""What a run found, as tables and docs/reliability.md: kills, events, answers, how long it took to come back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from bench.chaos.checker import Entry, Starts, Violation, of_kind, web_away
from bench.support.report import describe_commit, describe_machine, show

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


def count_projects(history: Sequence[Entry]) -> list[Row]:
    """By project: what it is about, its changes, its annotations at the end, replies and what they held, and how many
    texts it and its copy answer alike."""
    changes = Counter(entry["project"] for entry in of_kind(history, "change"))
    moved = Counter(entry["project"] for entry in of_kind(history, "moved"))
    replies, found, faults = Counter[int](), Counter[int](), Counter[int]()
    for reply in of_kind(history, "predict"):
        if reply["status"] == 200:
            replies[reply["project"]] += 1
            found[reply["project"]] += reply["found"]
            faults[reply["project"]] += len(reply["faults"])
    compared = {entry["project"]: entry for entry in of_kind(history, "compared")}
    return [
        {
            "project of": end["about"],
            "changes": changes[end["project"]],
            "annotations at the end": len(end["truth"]),
            "versions published": moved[end["project"]],
            "replies": replies[end["project"]],
            "results in them": found[end["project"]],
            "of these not allowed by the config": faults[end["project"]],
            "texts answered as by its copy": _share(compared.get(end["project"])),
        }
        for end in of_kind(history, "end")
    ]


def _share(pair: Entry | None) -> str:
    if pair is None:
        return "-"
    return f"{pair['alike']} of {pair['asked']}{' (fine-tuned)' if pair['tuned'] else ''}"


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


@dataclass(frozen=True)
class Leg:
    """One life of the product: facts of the run, its history, what was violated."""

    facts: Row
    history: list[Entry]
    violations: list[Violation]

    @property
    def kills(self) -> int:
        """Processes killed."""
        return sum(row["times"] for row in count_kills(self.history))


def show_legs(legs: Sequence[Leg], as_json: bool) -> None:
    """Tables on standard output."""
    for leg in legs:
        name = f"chaos, {leg.facts['redis']} Redis, seed {leg.facts['seed']}, {leg.facts['seconds']} s"
        show(f"{name}: events", [count_events(leg.history)], as_json)
        show(f"{name}: answers", [count_answers(leg.history)], as_json)
        show(f"{name}: projects", count_projects(leg.history), as_json)
        show(f"{name}: kills", count_kills(leg.history), as_json)
        show(f"{name}: faults", count_faults(leg.history), as_json)
        counts = Counter(violation.kind for violation in leg.violations)
        show(f"{name}: violations", [{"kills": leg.kills, "violations": len(leg.violations), **counts}], as_json)


HEAD = """# Reliability, measured

Written by `python -m bench.chaos`; [the fault table](faults.md#the-fault-table) is tested one row at a time in
`tests/faults/`. {when}, {commit}.
{cpu}, {cores} cores, {memory}, {system}; {libraries}.

**{verdict}**{note}

What is done: people label, correct, skip and delete in projects of five kinds: choices, spans, regions with answers
about them and relations between them, questions about passages, nested spans. Each change is delivered as Label Studio
does it (once, one second of patience; also late, twice, or not at all). Clients ask for predictions all the time, and
some tell of a region that was just drawn; fine-tunes run. A schedule made from the seed alone kills processes of
`understudy up` with SIGKILL and spoils the rest; then everything is healed, every project is reconciled once, and the
recorded history is checked:

- each reading of the store, once a second, holds what was acknowledged before it began, unless it was deleted since; a
  later reconciliation hides no loss;
- nothing whose deletion was acknowledged comes back, and the store holds nothing that nobody sent;
- after healing and one reconciliation: store == fold(history) == Label Studio;
- everything acknowledged is in the snapshot of the live version: nothing is pending, it saw all labels there are, and
  it is what answers in the end;
- a copy of each project, that gets all annotations in one go and is never disturbed, has learned as many labels of each
  control, answers about regions among them, and answers at least half of 60 unlabelled texts alike to the last region;
- the live version's directory is whole, its digests right, whenever somebody looks; each move of the pointer starts
  from the version that was live;
- no reply of `/predict` mixes versions; each version it names was live by then; every task is answered;
- all results are such as the label config allows: regions within the text, of labels that there are; answers only about
  regions that they are asked of; relations never without both regions; at most one answer to a question;
- `/predict` fails only while the web process is away, with a lost connection or a 503; `/webhook` refuses with a 503;
- every killed process is there again within two minutes, and `up` never ends by itself.

The checker is pure and finds planted violations: `tests/bench/test_chaos.py`.
"""

FOOT = """
## What is not covered

- Label Studio is a stand-in (`tests/support/label_studio_stub.py`) that answers the calls of a reconciliation and sends
  its webhooks: the real one is too slow for so many changes. The real one is driven by `make e2e`.
- Loss of power: SIGKILL leaves the page cache as it is. That `appendfsync always` is on is verified at every start.
- Redis losing all its data, clocks that jump: rows [14](faults.md#row-14) and [39](faults.md#row-39) of the fault
  table. Several machines, and a Redis that fails over: [scale.md](scale.md). GPUs.
- Recovery times include what the load of the bench itself costs on this machine. "At work again" counts only kills
  after which the same role was not killed again before it was.
- A fine-tune that is published: with its process killed every minute or so the schedule rarely lets one end, and the
  waits between its attempts grow. That killed trainings go on and end is rows [15](faults.md#row-15) to
  [18](faults.md#row-18) of the fault table.
{disk}"""


def write_page(path: Path, legs: Sequence[Leg], note: str = "") -> None:
    """docs/reliability.md; `note` says what else a reader must know of this run."""
    violations, kills = sum(len(leg.violations) for leg in legs), sum(leg.kills for leg in legs)
    minutes = sum(leg.facts["seconds"] for leg in legs) / 60
    verdict = f"{minutes:.0f} minutes, {kills} kills, {violations} violations."
    machine = {name.lower(): value for name, value in describe_machine().items()}
    when = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    parts = [HEAD.format(when=when, commit=describe_commit(), verdict=verdict, note=note and f" {note}", **machine)]
    parts += [_describe(leg) for leg in legs]
    whole = not all(leg.facts["disk"] for leg in legs)
    disk = "- A full disk: no file system could be mounted here; `tests/faults/` has its rows.\n" if whole else ""
    parts.append(FOOT.format(disk=disk))
    path.write_text("\n".join(parts), encoding="utf-8")


def _describe(leg: Leg) -> str:
    facts = leg.facts
    title = "embedded Redis" if facts["redis"] == "embedded" else "Redis over TCP, behind a proxy"
    minutes = facts["seconds"] / 60
    counts = f"{leg.kills} kills, {len(leg.violations)} violations"
    head = f"## {title}: {minutes:.0f} minutes, seed {facts['seed']}, {counts}\n"
    kinds = [{"violation": name, "times": count} for name, count in Counter(v.kind for v in leg.violations).items()]
    single = [_turned(count_events(leg.history), "events"), _turned(count_answers(leg.history), "answers")]
    tables = [count_projects(leg.history), count_kills(leg.history), *single, count_faults(leg.history), kinds]
    return "\n".join([head, *(f"{_table(rows)}\n" for rows in tables if rows)])


def _turned(row: Row, name: str) -> list[Row]:
    return [{name: key, "": value} for key, value in row.items()]


def _table(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines)
