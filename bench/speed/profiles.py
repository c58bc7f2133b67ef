"""Where the time of a prediction goes, as pictures: flame graphs of the web process and the engine's operators.

    python -m bench.speed.serving --profile docs/profiles

py-spy looks at the running web process from outside, without stopping it. A sample belongs to the stage of the
innermost function that is in the table below; a thread's CPU time is split as its samples are.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from bench.support.load import body, post
from bench.support.served import Server, pinned
from bench.support.texts import mixed_texts

if TYPE_CHECKING:
    from bench.speed.serving import Bench

SECONDS = 8
RATE = 250
"""Samples a second."""

STAGES = {
    "model/encoder/windows.py": "tokenising",
    "model/encoder/encoder.py": "forward pass",
    "model/features/cache.py": "feature cache (LMDB)",
    "model/versions/live_model.py": "heads and answers",
    "backend/labelstudio/": "tasks read, predictions written",
    "backend/serving/answer_cache.py": "tasks read, predictions written",
    "backend/serving/prediction.py": "tasks read, predictions written",
    "backend/application/predict.py": "tasks read, predictions written",
    "backend/serving/predictors.py": "handing over to a predictor and back",
    "backend/application/background.py": "keeping unlabelled texts in Redis (background)",
    "backend/serving/registry.py": "following versions (background)",
    "backend/": "Flask, JSON, metrics",
    "flask/": "Flask, JSON, metrics",
    "werkzeug/": "Flask, JSON, metrics",
    "gunicorn/": "HTTP server",
    "concurrent/futures/": "HTTP server",
}
"""Start of a file's name -> stage; the first that fits."""

PROCESS = ("backend/__main__.py", "backend/cli/main.py", "backend/processes/web.py")
"""Frames under everything that gunicorn's main thread does."""


class Sender:
    """Sends distinct texts in requests of `tasks` until it is stopped; counts the requests."""

    def __init__(self, server: Server, texts: Iterator[str], labels: Sequence[str], tasks: int) -> None:
        self.server, self.texts, self.labels, self.tasks = server, texts, labels, tasks
        self.requests = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                batch = list(itertools.islice(self.texts, self.tasks))
                failure = post(session, self.server.url, body(batch, self.labels), len(batch))
                self.failures += [failure] if failure else []
                self.requests += 1


def draw_profiles(bench: Bench, directory: Path, seconds: int = SECONDS) -> list[dict[str, Any]]:
    """Draws the three pictures; the stages of a request of one task, in CPU milliseconds.

    Raises RuntimeError when py-spy may not look at other processes (it needs ptrace, in a container SYS_PTRACE)."""
    directory.mkdir(parents=True, exist_ok=True)
    server = bench.servers["ours"]
    texts = iter(mixed_texts(20_000))
    with pinned(bench.cores[1]):
        with Sender(server, texts, bench.labels, 1):
            record(server, directory / "predict-1-task.svg", "flamegraph", seconds)
        with Sender(server, texts, bench.labels, 1000):
            record(server, directory / "predict-1000-tasks.svg", "flamegraph", seconds)
        rows = stages_of(server, texts, bench.labels, seconds)
        draw_engine(directory / "engine.png")
    return rows


def record(server: Server, path: Path, kind: str, seconds: int, *more: str) -> None:
    """py-spy on the process that computes, into `path`."""
    command = [str(Path(sys.executable).parent / "py-spy"), "record", "--pid", str(server.worker().pid)]
    command += ["--duration", str(seconds), "--rate", str(RATE), "--nonblocking", "--format", kind]
    done = subprocess.run([*command, *more, "--output", str(path)], capture_output=True, text=True)
    if done.returncode or not path.is_file():
        raise RuntimeError(f"py-spy cannot look at the web process: {done.stderr[-500:]}")
    if kind == "flamegraph":  # its title is the command line, with this machine's paths
        title = re.escape(" ".join([*command, *more, "--output", str(path)]))
        path.write_text(re.sub(title, path.stem, path.read_text(encoding="utf-8")), encoding="utf-8")


@contextmanager
def scratch_file(path: Path) -> Iterator[Path]:
    """A file that is gone afterwards."""
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def stages_of(server: Server, texts: Iterator[str], labels: Sequence[str], seconds: int) -> list[dict[str, Any]]:
    """One row per stage of a request of one task, in CPU milliseconds."""
    worker = server.worker().pid
    with scratch_file(Path(tempfile.gettempdir()) / f"understudy-{worker}.stacks") as path:
        with Sender(server, texts, labels, 1) as sender:
            whole, threads, sent = server.cpu_seconds(), thread_seconds(worker), sender.requests
            record(server, path, "raw", seconds, "--threads")
            after = thread_seconds(worker)
            whole, count = server.cpu_seconds() - whole, max(1, sender.requests - sent)
        lines = path.read_text(encoding="utf-8").splitlines()
    spent = split_by_stage(lines, {thread: after[thread] - threads.get(thread, 0.0) for thread in after})
    spent["Redis, gunicorn's master"] = whole - sum(spent.values())
    return [
        {"stage": stage, "cpu_ms": round(took / count * 1000, 2), "share": round(took / whole, 3)}
        for stage, took in (*spent.most_common(), ("all", whole))
    ]


def thread_seconds(pid: int) -> dict[int, float]:
    """Thread id -> CPU seconds (the first number of schedstat, in nanoseconds)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}


def split_by_stage(lines: Sequence[str], threads: Mapping[int, float]) -> Any:
    """A Counter of CPU seconds by stage: each thread's own, split as its samples are.

    `lines` are py-spy's raw format, `thread (TID): name;outer (file:1);inner (file:2) samples`. Samples alone would not
    do: a thread that waits for the core counts as busy."""
    counted: dict[int, Counter[str]] = defaultdict(Counter)
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        thread, *frames = stack.split(";")
        counted[int(thread.partition("(")[2].partition(")")[0], 0)][stage_of(frames)] += int(samples)
    spent: Any = Counter()
    for number, seconds in threads.items():
        stages = counted.get(number) or Counter({"other": 1})
        for stage, found in stages.items():
            spent[stage] += seconds * found / stages.total()
    return spent


def stage_of(frames: Sequence[str]) -> str:
    """The stage of the innermost frame that has one."""
    for frame in reversed(frames):
        file = frame.rpartition("(")[2]
        if file.startswith(PROCESS):
            continue
        for start, stage in STAGES.items():
            if file.startswith(start):
                return stage
    return "other"


def draw_engine(path: Path, count: int = 100) -> None:
    """Bars: the share of each torch operator, of many texts in one call and of single texts."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from model.encoder.encoder import Encoder, find_base_model

    encoder = Encoder(find_base_model(), precision="auto")
    texts = [(text,) for text in mixed_texts(count)]
    works = {
        f"{count} texts in one call": lambda: encoder.embed(texts),
        "single texts": lambda: [encoder.embed([text]) for text in texts[: count // 5]],
    }
    figure, axes = pyplot.subplots(1, 2, figsize=(13, 4), constrained_layout=True)
    for axis, (title, work) in zip(axes, works.items(), strict=True):
        shares = operator_shares(work)
        names = list(shares)[:10][::-1]
        shown = [name.removeprefix("aten::").removeprefix("_")[:32] for name in names]
        bars = axis.barh(shown, [100 * shares[name] for name in names], color="#4477aa")
        axis.bar_label(bars, fmt="%.1f", padding=3)
        axis.set(title=title, xlabel="% of the operators' CPU time", xlim=(0, 110))
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def operator_shares(work: Any) -> dict[str, float]:
    """Operator -> its own share of the CPU time spent in operators, largest first."""
    from torch.profiler import ProfilerActivity, profile

    work()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    own = Counter({event.key: event.self_cpu_time_total for event in found.key_averages()})
    total = sum(own.values())
    return {name: time / total for name, time in own.most_common()}
