"""Predictions over HTTP on one core: the product against a stand-in for the peer, A B A B in one run.

    python -m bench.serving [--rounds 5] [--engines peer,resident,ours] [--bert-base] [--json]
    python -m bench.serving --formats [--rounds 5]
    python -m bench.serving --spans [--rounds 5] [--tasks 1000] [--json]
    python -m bench.serving --encoders english-small,english-better,multilingual,long [--rounds 3] [--texts 40] [--json]

`peer` builds its pipeline anew for every request (`tests/support/peer_server.py`), `resident` keeps it; `ours` is the
web process with the embedded Redis and a project that has learned 64 labels. No text comes twice
(`bench/support/texts.py`), but in the rows "ours, cached", which send the round's requests once more. CPU seconds are
those of all processes of the server; ratios are medians of the rounds' own. Loads of 1,000 tasks, half a minute each,
run in every fifth. `--formats` compares the product at PRECISION auto, fp32, bf16 and int8 with `resident`, and auto
with the better float format; `--spans` a project that marks text with one of choices. Wall times mean
little on a busy machine: `others` says how many cores were busy with something else.

`--encoders`: without a server, texts per CPU second and memory of presets or directories, each in a process of its own.
Of a preset that is not in the hub's cache the weights are random ones of its shape, with MiniLM's tokenizer: the time
of a token is right, the number of tokens that of English in MiniLM's vocabulary.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from backend.base_model.number_format import describe_timing
from backend.settings.settings import load_settings
from bench.support.fixtures import copy_tokenizer, timed_formats, write_bert_base, write_classifier
from bench.support.load import Load, Reading, body, busy_with_others, middle, send
from bench.support.report import LIST_OF_COUNTS, command, judge, judge_auto, list_of, milliseconds, show
from bench.support.served import Parts, Server, cores, pinned, start_peer
from bench.support.texts import labelled_news, mixed_texts
from model.encoder.encoder import Encoder, find_base_model
from model.kernels.choice import INT8
from tests.support.marked_project import MarkedProject
from tests.support.rig import Project

ENGINES = ("peer", "resident", "ours")
FORMATS = ("ours", "ours-fp32", "ours-bf16")
"""PRECISION auto, which may cost little more than the better float format."""

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


SHAPES_OF_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "english-better": {"model_type": "bert"},
    "multilingual": {
        **{"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12},
        **{"intermediate_size": 1536, "vocab_size": 250037},
    },
    "long": {
        **{"model_type": "modernbert", "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12},
        **{"intermediate_size": 1536, "max_position_embeddings": 8192},
    },
}
"""What their config.json says beside the family's defaults."""

LONG_WORDS = 300


def files_of(encoder: str, scratch: Path) -> tuple[Path, str]:
    """(directory, whose weights they are)."""
    from model.pretrained.base_model import find_downloaded
    from model.pretrained.presets import preset_named

    preset = preset_named(encoder)
    if preset is None or preset.packaged:
        return find_base_model("" if preset else encoder), "its own"
    if (here := find_downloaded(preset.hub_id, preset.revision)) is not None:
        return here, "its own"
    import torch
    from transformers import AutoConfig, AutoModel

    given = dict(SHAPES_OF_PRESETS[encoder])
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(given.pop("model_type"), **given)).save_pretrained(scratch)
    copy_tokenizer(scratch)
    return scratch, "random, of its shape"


def weigh_encoder(encoder: str, texts: int, rounds: int) -> dict[str, Any]:
    """Runs in a process of its own."""
    short = [(text,) for text in mixed_texts(texts)]
    words = " ".join(text for (text,) in short).split()
    long = [(" ".join(words[at : at + LONG_WORDS]),) for at in range(0, len(words) - LONG_WORDS, LONG_WORDS)][:8]
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        directory, whose = files_of(encoder, Path(scratch))
        process = psutil.Process()
        before = process.memory_info().rss
        opened = Encoder(directory, precision="fp32")
        rates: dict[str, list[float]] = defaultdict(list)
        for some in (short[:1], long[:1]):
            opened.embed(some)
        for _ in range(rounds):
            for name, some in (("short", short), ("long", long)):
                began = time.process_time()
                opened.embed(some)
                rates[name].append(len(some) / (time.process_time() - began))
        held = process.memory_info().rss - before
        size = (directory / "model.safetensors").stat().st_size
    return {
        "encoder": Path(encoder).name,
        "weights": whose,
        "texts/cpu_s": middle(rates["short"], 1),
        f"of {LONG_WORDS} words/cpu_s": middle(rates["long"], 2),
        "memory_mib": held >> 20,
        "file_mib": size >> 20,
    }


def weigh_encoders(encoders: Sequence[str], texts: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One after the other, with the slowdown beside the first."""
    first: dict[str, Any] = {}
    for encoder in encoders:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            row = pool.submit(weigh_encoder, encoder, texts, rounds).result()
        first = first or row
        yield {**row, "times": round(first["texts/cpu_s"] / row["texts/cpu_s"], 1)}


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="default 5, with --bert-base 3")
    parser.add_argument("--engines", type=list_of(ENGINES), default=",".join(ENGINES))
    parser.add_argument("--bert-base", action="store_true", help="random weights of BERT-base's shape, not MiniLM")
    parser.add_argument("--tasks", type=LIST_OF_COUNTS, help="tasks a request, default 1,100,1000")
    parser.add_argument("--requests", type=int, default=0, help="requests of one task in a round")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--labels", type=int, default=64, help="labels to learn first")
    parser.add_argument("--spans", action="store_true", help="a project that marks text beside one of choices")
    parser.add_argument("--formats", action="store_true", help="every number format beside the resident peer")
    parser.add_argument("--encoders", help="presets or directories, the one they are compared with first")
    parser.add_argument("--texts", type=int, default=40, help="of --encoders")
    args = parser.parse_args()
    if args.encoders:
        rows = list(weigh_encoders(args.encoders.split(","), args.texts, args.rounds or 3))
        show("texts per CPU second of one core in fp32, and memory, by encoder", rows, args.json)
        return
    rounds = args.rounds or (3 if args.bert_base else 5)
    if args.spans:
        measure_spans(args, rounds)
        return
    if args.formats:
        measure_formats(args, loads_of(args), rounds)
        return
    measure(args, loads_of(args), rounds)


def measure_formats(args: argparse.Namespace, loads: Sequence[Load], rounds: int) -> None:
    """CPU of the same requests in each number format and to the resident pipeline, the format that auto takes marked;
    and whether it took the better one."""
    texts = iter(mixed_texts(sum(load.texts(rounds) for load in loads)))
    formats = [*FORMATS, *(["ours-int8"] if INT8 in timed_formats().formats else [])]
    with Bench(["resident", *formats], args.labels, args.bert_base) as bench, pinned(cores()[1]):
        readings = run_rounds(bench, loads, rounds, texts)
        assert bench.ours is not None
        timed = describe_timing(load_settings(data_dir=bench.ours.data_dir))
        chosen = timed_formats(bench.ours.data_dir).serving
    rows, judged = [], []
    for load in loads:
        found = {name: middle([reading.cpu_ms for reading in readings[name, load.name]], 2) for name in formats}
        own = [{"format": name, "cpu_s": found[name]} for name in FORMATS]
        judged.append(
            {"load": load.name, **{f"{name} cpu_ms": value for name, value in found.items()}} | judge_auto(own)
        )
        rows += [_format_row(readings, load.name, name, chosen) for name in bench.engines]
    show("serving by number format beside the resident pipeline", rows, args.json)
    show(f"serving by number format; as timed at the start: {timed}", judged, args.json)


def _format_row(readings: Readings, load: str, name: str, chosen: str) -> dict[str, Any]:
    found = readings[name, load]
    ratios = [theirs.cpu / own.cpu for theirs, own in zip(readings["resident", load], found, strict=True)]
    times = milliseconds([second for reading in found for second in reading.seconds])
    return {
        "load": load,
        "engine": name,
        "chosen": "chosen" if name == f"ours-{chosen}" else "",
        "cpu_ms/request": middle([reading.cpu_ms for reading in found], 2),
        "tasks/cpu_s": middle([reading.rate for reading in found]),
        "wall_p50_ms": times["p50_ms"],
        "times_less_cpu": middle(ratios, 2),
    }


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
