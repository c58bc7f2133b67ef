"""Predictions over HTTP on one core: the product against a stand-in for the peer, A B A B in one run.

    python -m bench.serving [--rounds 5] [--engines peer,resident,ours] [--bert-base] [--json]
    python -m bench.serving --formats [--rounds 5]
    python -m bench.serving --spans [--rounds 5] [--tasks 1000] [--json]

`peer` builds its pipeline anew for every request (`tests/support/peer_server.py`), `resident` keeps it; `ours` is the
web process with the embedded Redis and a project that has learned 64 labels. No text comes twice
(`bench/support/texts.py`), but in the rows "ours, cached", which send the round's requests once more. CPU seconds are
those of all processes of the server; ratios are medians of the rounds' own. Loads of 1,000 tasks, half a minute each,
run in every fifth. `--formats` compares the product with itself at PRECISION auto, fp32 and bf16; `--spans` a project
that marks text with one of choices. Wall times mean little on a busy machine: `others` says how many cores were busy
with something else.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from backend.base_model.number_format import describe_timing
from backend.settings.settings import load_settings
from bench.support.fixtures import write_bert_base, write_classifier
from bench.support.load import Load, Reading, body, busy_with_others, middle, send
from bench.support.report import command, judge, judge_auto, milliseconds, show
from bench.support.served import Parts, Server, cores, pinned, start_peer
from bench.support.texts import labelled_news, mixed_texts
from model.encoder.encoder import find_base_model
from tests.support.marked_project import MarkedProject
from tests.support.rig import Project

ENGINES = ("peer", "resident", "ours")
FORMATS = ("ours", "ours-fp32", "ours-bf16")

PROJECT = 7

BARS = {"1 task": 10.0, "100 tasks": 5.0, "1,000 tasks": 5.0, "8 clients x 1 task": 14.0}
"""The bar of docs/performance.md: times less CPU than the peer, with MiniLM."""

BAR_CORES = 1.7

Readings = Mapping[tuple[str, str], list[Reading]]
"""(engine, load) -> one reading a round."""


class Bench:
    """The servers of one run. Use as a context manager: everything is stopped at its end."""

    def __init__(self, engines: Sequence[str], learned: int, bert_base: bool) -> None:
        self.engines, self.learned, self.bert_base = engines, learned, bert_base
        self.cores = cores()  # before this process binds itself to one of them
        self.labels = sorted({label for _, label in labelled_news(1000)})
        self.servers: dict[str, Server] = {}
        self._stack = ExitStack()
        self.ours: Parts | None = None

    def __enter__(self) -> Bench:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="us-")))
        encoder = write_bert_base(scratch / "encoder") if self.bert_base else find_base_model()
        if {"peer", "resident"} & set(self.engines):
            write_classifier(encoder, scratch / "classifier", self.labels)
        with pinned(self.cores[0]):
            for name in self.engines:
                self.servers[name] = self._start_engine(name, scratch, encoder)
        for server in self.servers.values():
            send(server, [body(["Warm up."], self.labels, PROJECT)])

    def _start_engine(self, name: str, scratch: Path, encoder: Path) -> Server:
        if not name.startswith("ours"):
            server, process = start_peer(
                name, scratch / "classifier", scratch / f"{name}.log", resident=name == "resident"
            )
            self._stack.callback(process.wait)
            self._stack.callback(process.kill)  # first; it has nothing to lose
            return server
        base = {"BASE_MODEL": str(encoder)} if self.bert_base else {}
        if precision := name.partition("-")[2]:
            base["PRECISION"] = precision
        parts = self._stack.enter_context(Parts(scratch / name, **base))
        self.ours = parts if name == "ours" else self.ours
        project = Project(parts, PROJECT, self.labels)
        project.setup()
        if self.learned:
            parts.learn(project, self.learned)
        return parts.server(name)


def run_rounds(bench: Bench, loads: Sequence[Load], rounds: int, texts: Iterator[str]) -> Readings:
    """Every load in every round, the engines one after the other with the same requests."""
    readings: dict[tuple[str, str], list[Reading]] = defaultdict(list)
    for number in range(rounds):
        for load in (load for load in loads if load.runs_in(number)):
            bodies = load.bodies(texts, bench.labels)
            for name, server in bench.servers.items():
                readings[name, load.name].append(send(server, bodies, load.clients))
                if name == "ours" and "peer" in bench.servers:
                    readings["ours, cached", load.name].append(send(server, bodies, load.clients))
    return readings


def table(readings: Readings, peaks: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row per engine and load."""
    rows = []
    for (engine, load), found in readings.items():
        times = milliseconds([second for reading in found for second in reading.seconds])
        row = {
            "engine": engine,
            "load": load,
            "cpu_ms/request": middle([reading.cpu_ms for reading in found], 2),
            "tasks/cpu_s": middle([reading.rate for reading in found]),
            "requests/cpu_s": middle([reading.requests / reading.cpu for reading in found]),
            "wall_p50_ms": times["p50_ms"],
            "wall_p99_ms": times["p99_ms"],
            "peak_rss_mb": round(peaks[engine.split(",")[0]]),
            "failures": sum(len(reading.failures) for reading in found),
            "others": busy_with_others(found),
        }
        rows.append(row)
    return sorted(rows, key=lambda row: [load for _, load in readings].index(str(row["load"])))


def compare(readings: Readings, bars: Mapping[str, float]) -> list[dict[str, Any]]:
    """How many times less CPU than the peer each engine takes, with the bar next to ours."""
    rows = []
    for (engine, load), found in readings.items():
        if engine == "peer" or ("peer", load) not in readings:
            continue
        ratios = [theirs.cpu / ours.cpu for theirs, ours in zip(readings["peer", load], found, strict=True)]
        ratio = middle(ratios, 2)
        verdict = judge(ratio, ">=", bars[load]) if engine == "ours" and load in bars else {}
        rows.append({"load": load, "engine": engine, "times_less_cpu": ratio, **verdict})
    return sorted(rows, key=lambda row: [load for _, load in readings].index(str(row["load"])))


def compare_cores(bench: Bench, rounds: int, tasks: int, texts: Iterator[str]) -> list[dict[str, Any]]:
    """Wall throughput of one request on all cores against one core: a second web process that is not pinned."""
    if bench.ours is None or len(set(bench.cores)) < 2:
        return []
    wide, narrow = bench.ours.second_web("unpinned"), bench.servers["ours"]
    load = Load(tasks, 1)
    send(wide, [body(["Warm up."], bench.labels, PROJECT)])
    pairs = []
    for _ in range(rounds):
        bodies = load.bodies(texts, bench.labels)
        # Both keep features on the same disk: each gets texts of its own.
        pairs.append((send(narrow, bodies), send(wide, load.bodies(texts, bench.labels))))
    one, two = zip(*pairs, strict=True)
    gain = middle([(second.tasks / second.wall) / (first.tasks / first.wall) for first, second in pairs], 2)
    return [
        {
            "load": load.name,
            "one_core_tasks/s": middle([reading.tasks / reading.wall for reading in one]),
            "two_cores_tasks/s": middle([reading.tasks / reading.wall for reading in two]),
            "gain": gain,
            **(judge(gain, ">=", BAR_CORES) if tasks >= 100 else {}),  # a few tasks are one chunk
            "cores_used": middle([reading.cpu / reading.wall for reading in two], 2),
            "others_one": busy_with_others(one),
            "others_two": busy_with_others(two),
        }
    ]


def measure_spans(args: argparse.Namespace, rounds: int) -> None:
    """The same requests of new texts to a project of choices and to one that marks text, one after the other."""
    tasks = int(args.tasks or 1000)
    texts = iter(mixed_texts(rounds * tasks))
    readings: dict[tuple[str, str], list[Reading]] = defaultdict(list)
    with ExitStack() as stack:
        scratch, servers = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="us-"))), dict[str, Server]()
        configs = dict[str, str]()
        with pinned(cores()[0]):
            for kind in (Project, MarkedProject):
                name = "spans" if kind is MarkedProject else "choices"
                parts = stack.enter_context(Parts(scratch / name))
                project = kind.of_sample(parts, PROJECT)
                project.setup()
                parts.learn(project, args.labels, kind.sample())
                servers[name], configs[name] = parts.server(name), project.config
        with pinned(cores()[1]):
            for _ in range(rounds):
                new = [next(texts) for _ in range(tasks)]
                for name, server in servers.items():
                    sent = body(new, (), PROJECT, configs[name])
                    readings[name, f"{tasks:,} tasks"].append(send(server, [sent]))
            peaks = {name: server.peak_mb() for name, server in servers.items()}
    rows = table(readings, peaks)
    ours, theirs = (readings[name, f"{tasks:,} tasks"] for name in ("spans", "choices"))
    share = middle([other.cpu / own.cpu for own, other in zip(ours, theirs, strict=True)], 3)
    rows = [{**row, **(judge(share, ">=", SPANS_SHARE) if row["engine"] == "spans" else {})} for row in rows]
    show("serving over HTTP on one core: a project that marks text beside one of choices", rows, args.json)
    if not args.json:
        print(f"throughput of spans: {share:.0%} of that of choices, by CPU seconds, in the middle of {rounds} rounds")


SPANS_SHARE = 0.6
"""The bar: a project that marks text answers so large a share of the texts that one of choices does."""


def loads_of(args: argparse.Namespace) -> list[Load]:
    """The loads that the arguments ask for; the peers take seconds for a request of BERT-base's shape."""
    sizes = [int(size) for size in (args.tasks or ("1,100" if args.bert_base else "1,100,1000")).split(",")]
    requests = args.requests or (8 if args.bert_base else 24)
    single = [Load(size, requests if size == 1 else 1) for size in sizes]
    return [*single, Load(1, 2 * requests, args.clients)]


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="default 5, with --bert-base 3")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--bert-base", action="store_true", help="random weights of BERT-base's shape, not MiniLM")
    parser.add_argument("--tasks", help="tasks a request, default 1,100,1000")
    parser.add_argument("--requests", type=int, default=0, help="requests of one task in a round")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--labels", type=int, default=64, help="labels to learn first")
    parser.add_argument("--spans", action="store_true", help="a project that marks text beside one of choices")
    parser.add_argument("--formats", action="store_true", help="auto, fp32 and bf16 instead of the peers")
    args = parser.parse_args()
    rounds = args.rounds or (3 if args.bert_base else 5)
    if args.spans:
        measure_spans(args, rounds)
        return
    if args.formats:
        measure_formats(args, loads_of(args), rounds)
        return
    measure(args, loads_of(args), rounds)


def measure_formats(args: argparse.Namespace, loads: Sequence[Load], rounds: int) -> None:
    """CPU of the same requests in each number format, and whether auto took the better one."""
    texts = iter(mixed_texts(sum(load.texts(rounds) for load in loads)))
    with Bench(FORMATS, args.labels, args.bert_base) as bench, pinned(cores()[1]):
        readings = run_rounds(bench, loads, rounds, texts)
        timed = describe_timing(load_settings(data_dir=bench.ours.data_dir)) if bench.ours else ""
    rows = []
    for load in loads:
        found = {name: middle([reading.cpu_ms for reading in readings[name, load.name]], 2) for name in FORMATS}
        own = [{"format": name, "cpu_s": value} for name, value in found.items()]
        rows.append({"load": load.name, **{f"{name} cpu_ms": value for name, value in found.items()}} | judge_auto(own))
    show(f"serving by number format; as timed at the start: {timed}", rows, args.json)


def measure(args: argparse.Namespace, loads: Sequence[Load], rounds: int) -> None:
    """Run everything and print it."""
    largest = max(load.tasks for load in loads)
    wide_rounds = min(2, rounds)
    count = sum(load.texts(rounds) for load in loads) + 2 * largest * wide_rounds
    texts = iter(mixed_texts(count))
    model = "BERT-base shape" if args.bert_base else "MiniLM"
    with Bench(args.engines.split(","), args.labels, args.bert_base) as bench, pinned(cores()[1]):
        readings = run_rounds(bench, loads, rounds, texts)
        peaks = {name: server.peak_mb() for name, server in bench.servers.items()}
        show(f"serving over HTTP on one core, {model}", table(readings, peaks), args.json)
        if bench.ours and not args.json:
            print(f"PRECISION=auto, as timed: {describe_timing(load_settings(data_dir=bench.ours.data_dir))}")
        if "peer" in bench.servers:
            show(f"CPU against the peer, {model}", compare(readings, {} if args.bert_base else BARS), args.json)
        with pinned(*bench.cores):
            gain = compare_cores(bench, wide_rounds, largest, texts)
        if gain:
            show(f"two cores against one, {model}", gain, args.json)


if __name__ == "__main__":
    main()
