"""What more processes bring: predictions a second with more web processes, files with more workers, memory over rows.

    python -m bench.scale_out [--web 1,2,4] [--workers 1,2,4] [--rows 20000] [--seconds 10] [--json]
    python -m bench.scale_out --memory 100000,1000000 [--different] [--tiny]
    python -m bench.scale_out --learners 1,2 [--projects 200] [--seconds 10]

The product's own processes on a scratch Redis, MiniLM with a head that has learned 64 news, short bank questions
(`../shared/data`). Each web process and worker is pinned to one core, in turn where there are more of them than cores:
`cores` says how many there were, and beyond them nothing can be measured here. So the CPU seconds that one text takes,
the Redis calls and the bytes are measured, too; rows `model` multiply them, and are a model: a text costs the same CPU
on every core, and nothing else is short. They say what a night's work needs and when one Redis would be full.

`--learners`: so many projects with 16 labels each, all to be learned at once: refits a second. Then one label at a time
in one of them, from its acknowledgement to the version that knows it: alone, and beside a project that floods the
learners with four labels as soon as it has learned the last four.

`--memory`: `understudy predict` with workers of its own, JSON lines of so many rows; peaks of resident memory of the
largest worker and of the command, and of what Redis uses. The texts are 16 questions over and over, of which a batch
computes each once, so that a million rows take minutes; `--different`: no two are alike. `--tiny`: an encoder of 2
random layers of 32 instead of MiniLM, for ten million rows: what its answers are worth is not the matter.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from bench.support.fixtures import write_tiny_base
from bench.support.report import command, milliseconds, numbers, show
from bench.support.served import LEARNED, Parts, Server, Watched, launch, pinned, process_seconds, stop, watch
from bench.support.texts import labelled_news, questions, write_rows
from tests.support.rig import Project

Row = dict[str, Any]

PROJECT = 7

BATCH = 50
"""Tasks of one request for predictions: Label Studio's own batches."""

CLIENTS = 2
"""Clients for each web process: one is always waiting."""

SHARD_ROWS = 500
"""Few, so that four workers have enough of them at the default of --rows."""

REPEATED = 16

NIGHT_HOURS = 8.0

QUIET_SECONDS = 4.0
"""In which the Redis calls of everything else are counted."""

REDIS_CALLS = 50_000
"""A second that one Redis of a core takes, in round numbers: `python -m bench.scale --redis` has its own."""


class Site(Parts):
    """Redis and web of a scratch directory, a project that has learned, and workers of files."""

    config = ""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        super().__init__(data_dir, **environment)
        self._clients = threading.local()

    def learned(self) -> Project:
        rows = labelled_news(LEARNED)
        project = Project(self, PROJECT, sorted({label for _, label in rows}))
        project.setup()
        self.learn(project, LEARNED)
        return project

    @contextmanager
    def workers(self, count: int, places: Sequence[int]) -> Iterator[list[Server]]:
        """So many, each on its core; yields once all of them wait for jobs."""
        started = []
        given = {**self._environment, "DATA_DIR": str(self.data_dir), "FILE_ROOTS": str(self.data_dir)}
        for number in range(count):
            with pinned(places[number % len(places)]):
                log = self.data_dir / "predictors.log"
                started.append(launch([sys.executable, "-m", "backend", "predictor"], log, **given))
        try:
            yield [Server("predictor", self.url, [process]) for process in started]
        finally:
            stop(started)

    def is_learned(self, project: int) -> bool:
        """Whether the live version knows every label."""
        seq, fitted = self.redis().mget(f"understudy:{{p{project}}}:seq", f"understudy:{{p{project}}}:fitted")
        return seq is not None and seq == fitted

    def command(self, *words: object) -> Watched:
        """An order of this machine, watched until it ends. Raises RuntimeError when it fails."""
        given = {**os.environ, **self._environment, "DATA_DIR": str(self.data_dir), "PORT": str(self.port)}
        log = self.data_dir / "command.log"
        with log.open("wb") as said:
            line = [sys.executable, "-m", "backend", *map(str, words)]
            return watch(subprocess.Popen(line, env=given, stdout=said, stderr=said), log)

    def redis(self) -> Any:
        """A client of its Redis, one a thread."""
        import redis

        if not hasattr(self._clients, "value"):
            self._clients.value = redis.Redis(unix_socket_path=str(self.data_dir / "redis" / "redis.sock"))
        return self._clients.value

    def calls(self) -> int:
        """Commands that Redis has taken so far."""
        return int(self.redis().info("stats")["total_commands_processed"])


def measure_web(site: Site, counts: Sequence[int], places: Sequence[int], seconds: float) -> Iterator[Row]:
    """More web processes on more cores; the one of the site itself rests."""
    project, texts = Project(site, PROJECT, []), itertools.cycle(questions())
    config = site.config
    for count in counts:
        webs = []
        for number in range(count):
            with pinned(places[number % len(places)]):
                webs.append(site.second_web(f"web {number}"))
        for web in webs:
            ask(web.url, project.number, config, texts, 0.5)
        before = [process_seconds(web.tree()[0].pid) + _children(web) for web in webs]
        done, began = [0] * (count * CLIENTS), time.monotonic()
        lock = threading.Lock()

        def drive(index: int, url: str, done: list[int] = done, lock: threading.Lock = lock) -> None:
            done[index] = ask(url, PROJECT, config, texts, seconds, lock)

        threads = [
            threading.Thread(target=drive, args=(index, webs[index % count].url)) for index in range(count * CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        spent = sum(process_seconds(web.tree()[0].pid) + _children(web) for web in webs) - sum(before)
        peak = max(web.peak_mb() for web in webs)
        stop([process for process in site._running[2:]])
        del site._running[2:]
        yield {
            "what": "web processes",
            "processes": count,
            "cores": len(set(places[:count])),
            "texts_s": round(sum(done) / took, 1),
            "cpu_ms_a_text": round(1000 * spent / max(1, sum(done)), 3),
            "texts": sum(done),
            "peak_mb": round(peak, 1),
        }


def _children(web: Server) -> float:
    """CPU seconds of the processes below the first: gunicorn's worker."""
    return sum(process_seconds(child.pid) for child in psutil.Process(web.tree()[0].pid).children(recursive=True))


def ask(
    url: str, project: int, config: str, texts: Iterator[str], seconds: float, lock: threading.Lock | None = None
) -> int:
    """One client that asks for batches until the time is over; texts that were answered."""
    session, count, until = requests.Session(), 0, time.monotonic() + seconds
    turn = itertools.count()
    while time.monotonic() < until:
        with lock or threading.Lock():
            batch = [f"{next(texts)} {os.urandom(3).hex()}" for _ in range(BATCH)]
        tasks = [{"id": next(turn) + 1, "data": {"text": text}} for text in batch]
        body = {"tasks": tasks, "project": str(project), "label_config": config}
        reply = session.post(f"{url}/predict", json=body, timeout=120)
        count += BATCH if reply.ok else 0
    return count


def measure_files(site: Site, counts: Sequence[int], places: Sequence[int], rows: int) -> Iterator[Row]:
    """More workers on more cores."""
    source = site.data_dir / "rows.jsonl"
    write_rows(source, questions(), rows, numbered=True)
    for count in counts:
        with site.workers(count, places) as servers:
            yield {**predict(site, servers, source, f"out-{count}"), "cores": len(set(places[:count]))}


def measure_memory(site: Site, counts: Sequence[int], workers: int, *, different: bool) -> Iterator[Row]:
    """The command with its own workers over files of more and more rows."""
    texts = questions() if different else questions()[:REPEATED]
    for rows in counts:
        source, output = site.data_dir / f"rows-{rows}.jsonl", site.data_dir / f"out-memory-{rows}"
        write_rows(source, texts, rows, numbered=different)
        size = source.stat().st_size
        watched = site.command("predict", str(source), "-o", f"{output}/", "--project", PROJECT, "--workers", workers)
        record = site.admin("GET", f"/projects/{PROJECT}/files")
        source.unlink()
        shutil.rmtree(output)
        seconds = rows / float(record["rate"])
        yield {
            "what": f"memory, {'all differ' if different else 'repeated'}",
            "workers": workers,
            "rows": record["step"],
            "errors": record["errors"],
            "seconds": round(seconds, 1),
            "rows_s": record["rate"],
            "cpu_ms_a_text": round(1000 * watched.worker_seconds / rows, 3),
            "peak_mb": round(watched.worker_mb, 1),
            "command_mb": round(watched.command_mb, 1),
            "redis_mb": round(int(site.redis().info("memory")["used_memory_peak"]) / 2**20, 1),
            "input_mb": round(size / 2**20, 1),
        }


def predict(site: Site, servers: Sequence[Server], source: Path, output: str, shard: int = SHARD_ROWS) -> Row:
    """One run over one file, watched from outside."""
    while site.admin("GET", f"/projects/{PROJECT}")["id"] != PROJECT or not all(s.tree() for s in servers):
        time.sleep(0.1)
    body = {"source": str(source), "output": str(site.data_dir / output), "rows": shard}
    wait_for_workers(site, len(servers))
    began, quiet = time.monotonic(), site.calls()
    while time.monotonic() - began < QUIET_SECONDS:
        site.admin("GET", f"/projects/{PROJECT}")
        time.sleep(0.5)
    background = (site.calls() - quiet) / (time.monotonic() - began)
    calls, spent, began = site.calls(), [server.cpu_seconds() for server in servers], time.monotonic()
    site.admin("POST", f"/projects/{PROJECT}/files", body)
    while (record := site.admin("GET", f"/projects/{PROJECT}/files"))["status"] in ("queued", "running"):
        time.sleep(0.5)
    if record["status"] != "done":
        raise RuntimeError(record["message"])
    rows, seconds = int(record["of"]), int(record["of"]) / float(record["rate"])
    own_calls = site.calls() - calls - background * (time.monotonic() - began)
    cpu = sum(server.cpu_seconds() for server in servers) - sum(spent)
    written = sum(part.stat().st_size for part in (site.data_dir / output).glob("part-*"))
    return {
        "what": "workers of files",
        "processes": len(servers),
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows_s": round(rows / seconds, 1),
        "shards_min": round(60 * record["shards"]["all"] / seconds, 1),
        "cpu_ms_a_text": round(1000 * cpu / rows, 3),
        "peak_mb": round(max(server.peak_mb() for server in servers), 1),
        "redis_calls_a_shard": round(max(0.0, own_calls) / record["shards"]["all"], 1),
        "input_mb": round(source.stat().st_size / 2**20, 1),
        "output_bytes_a_row": round(written / rows),
    }


def wait_for_workers(site: Site, count: int) -> None:
    """Until so many have said that they are there. Raises TimeoutError."""
    for _ in range(600):
        if int(site.redis().scard("rq:workers:files")) >= count:
            return
        time.sleep(0.1)
    raise TimeoutError((site.data_dir / "predictors.log").read_text(errors="replace")[-2000:])


def measure_learners(site: Site, counts: Sequence[int], projects: int, seconds: float) -> Iterator[Row]:
    """Throughput over many projects, and how long a quiet one waits."""
    rows = labelled_news(LEARNED)
    labels = sorted({label for _, label in rows})
    for turn, count in enumerate(counts):
        quiet = [Project(site, 1_000 * (turn + 1) + number, labels) for number in range(projects)]
        flood = Project(site, 1_000 * (turn + 1) + 999, labels)
        for project in (*quiet, flood):
            project.setup()
            project.annotate_many(rows[:16])
        with ExitStack() as running:
            for _ in range(count):
                running.enter_context(site.learning())
            while not any(site.is_learned(project.number) for project in quiet):
                time.sleep(0.05)
            began = time.monotonic()
            while not all(site.is_learned(project.number) for project in (*quiet, flood)):
                time.sleep(0.05)
            took = time.monotonic() - began
            for name in ("alone", "beside a flood"):
                waits, sent = _label_each(site, quiet, flood if name != "alone" else None, rows, seconds)
                yield {
                    "what": f"a label in a quiet project, {name}",
                    "learners": count,
                    "projects": projects,
                    "refits_s": round(projects / took, 1),
                    "flood_labels_s": round(sent / seconds, 1),
                    **milliseconds(waits),
                }


def _label_each(
    site: Site, quiet: Sequence[Project], flood: Project | None, rows: Sequence[tuple[str, str]], seconds: float
) -> tuple[list[float], int]:
    """(seconds from acknowledgement to version of single labels, in turn; labels of the flood)."""
    over, sent = threading.Event(), [0]

    def pour() -> None:
        while flood is not None and not over.is_set():
            flood.annotate_many(rows[:4])
            sent[0] += 4
            while not (site.is_learned(flood.number) or over.is_set()):
                time.sleep(0.01)

    thread = threading.Thread(target=pour)
    thread.start()
    waits: list[float] = []
    until, turns = time.monotonic() + seconds, itertools.cycle(quiet)
    while time.monotonic() < until:
        project = next(turns)
        project.annotate(*rows[len(waits) % len(rows)])
        began = time.monotonic()
        while not site.is_learned(project.number):
            time.sleep(0.005)
        waits.append(time.monotonic() - began)
    over.set()
    thread.join()
    return waits, sent[0]


def model_rows(measured: Sequence[Row], counts: Sequence[int]) -> Iterator[Row]:
    """Beyond this machine, from what a text costs when nobody shares its core."""
    alone = next((row for row in measured if row["what"] == "workers of files" and row["processes"] == 1), None)
    if alone is None:
        return
    each = 1000 / alone["cpu_ms_a_text"]
    for cores in counts:
        shards = cores * each / SHARD_ROWS
        yield {
            "what": "model: cores for files",
            "cores": cores,
            "rows_s": round(cores * each),
            "hours_for_10_million": round(1e7 / (cores * each) / 3600, 2),
            "redis_calls_s": round(shards * alone["redis_calls_a_shard"], 2),
            "redis_share": f"{shards * alone['redis_calls_a_shard'] / REDIS_CALLS:.2%}",
            "output_mb_s": round(cores * each * alone["output_bytes_a_row"] / 2**20, 2),
        }
    yield {"what": f"model: 10 million in {NIGHT_HOURS:g} h", "cores": round(1e7 / each / 3600 / NIGHT_HOURS, 2)}


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--web", type=numbers, default=[1, 2, 4])
    parser.add_argument("--workers", type=numbers, default=[1, 2, 4])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--memory", type=numbers, help="rows of files")
    parser.add_argument("--different", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--learners", type=numbers)
    parser.add_argument("--projects", type=int, default=200)
    args = parser.parse_args()
    places = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        base = {"BASE_MODEL": str(write_tiny_base(Path(scratch) / "tiny"))} if args.tiny else {}
        with Site(Path(scratch) / "d", PREDICT_THREADS="1", FINETUNE_ENABLED="false", **base) as site:
            if args.learners:
                found = list(measure_learners(site, args.learners, args.projects, args.seconds))
                show("scale_out, learners", found, args.json)
                return
            site.config = site.learned().config
            if args.memory:
                memory = measure_memory(site, args.memory, args.workers[0], different=args.different)
                show("scale_out, memory", list(memory), args.json)
                return
            if args.web:
                show("scale_out, web processes", list(measure_web(site, args.web, places, args.seconds)), args.json)
            files = list(measure_files(site, args.workers, places, args.rows))
        show("scale_out, workers of files", files, args.json)
        show("scale_out, model", list(model_rows(files, [1, 2, 4, 8, 16, 64])), args.json)


if __name__ == "__main__":
    main()
