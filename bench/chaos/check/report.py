"""What a run found, as tables and as docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench.chaos.check.counts import count_answers, count_events, count_faults, count_kills
from bench.chaos.check.history import Entry
from bench.chaos.check.violation import Violation
from bench.support.machine import describe_commit, describe_machine
from bench.support.report import show

Row = dict[str, Any]


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
        show(f"{name}: kills", count_kills(leg.history), as_json)
        show(f"{name}: faults", count_faults(leg.history), as_json)
        counts = Counter(violation.kind for violation in leg.violations)
        show(f"{name}: violations", [{"kills": leg.kills, "violations": len(leg.violations), **counts}], as_json)


HEAD = """# Reliability, measured

Written by `python -m bench.chaos.run`; [the fault table](faults.md#the-fault-table) is tested one row at a time in
`tests/faults/`. {when}, {commit}.
{cpu}, {cores} cores, {memory}, {system}; {libraries}.

**{verdict}**{note}

What is done: people label, correct, skip and delete in three projects; each change is delivered as Label Studio does it
(once, one second of patience; also late, twice, or not at all). Clients ask for predictions all the time, fine-tunes
run. A schedule made from the seed alone kills processes of `understudy up` with SIGKILL and spoils the rest; then
everything is healed, every project is reconciled once, and the recorded history is checked:

- each reading of the store, once a second, holds what was acknowledged before it began, unless it was deleted since; a
  later reconciliation hides no loss;
- nothing whose deletion was acknowledged comes back, and the store holds nothing that nobody sent;
- after healing and one reconciliation: store == fold(history) == Label Studio;
- everything acknowledged is in the snapshot of the live version: nothing is pending, and it saw all labels there are;
- the live version's directory is whole, its digests right, whenever somebody looks; each move of the pointer starts
  from the version that was live;
- no reply of `/predict` mixes versions; each version it names was live by then; every task is answered;
- `/predict` fails only while the web process is away, with a lost connection or a 503; `/webhook` refuses with a 503;
- every killed process is there again within two minutes, and `up` never ends by itself.

The checker is pure and finds planted violations: `tests/bench/test_chaos.py`.
"""

FOOT = """
## What is not covered

- Label Studio is a stand-in (`tests/support/label_studio_stub.py`) that answers the calls of a reconciliation and sends
  its webhooks: the real one is too slow for so many changes. The real one is driven by `make e2e`.
- Loss of power: SIGKILL leaves the page cache as it is. That `appendfsync always` is on is verified at every start.
- Redis losing all its data, clocks that jump, several machines, Sentinel, GPUs. The first two are rows
  [14](faults.md#row-14) and [39](faults.md#row-39) of the fault table.
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
    tables = [count_kills(leg.history), *single, count_faults(leg.history), kinds]
    return "\n".join([head, *(f"{_table(rows)}\n" for rows in tables if rows)])


def _turned(row: Row, name: str) -> list[Row]:
    return [{name: key, "": value} for key, value in row.items()]


def _table(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines)
