"""Servers under measure: started on cores of their choice, their CPU time and memory read from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
import requests

from bench.support.texts import labelled_news
from tests.support.rig import ROOT, Project, Rig, free_port

LEARNED = 64
"""Labels that our project has learned before anything is measured."""


class Server:
    """The processes that answer at `url`; the first of them is the one that computes."""

    def __init__(self, name: str, url: str, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self.name, self.url = name, url
        self._roots = [psutil.Process(process.pid) for process in processes]

    def tree(self) -> list[psutil.Process]:
        """All processes alive."""
        found = [process for root in self._roots for process in (root, *root.children(recursive=True))]
        return [process for process in found if process.is_running()]

    def worker(self) -> psutil.Process:
        """The process that computes: gunicorn's child."""
        return max(self.tree(), key=lambda process: process.memory_info().rss)

    def cpu_seconds(self) -> float:
        """Of all threads of all processes since they began."""
        return sum(map(process_seconds, (process.pid for process in self.tree())))

    def peak_mb(self) -> float:
        """Largest resident memory that the computing process ever had."""
        return peak_mb(self.worker().pid)


@dataclass
class Watched:
    """Peaks of resident memory of a command and of the largest worker below it, in MB, and the workers' CPU seconds."""

    command_mb: float = 0.0
    worker_mb: float = 0.0
    worker_seconds: float = 0.0


def watch(process: subprocess.Popen[bytes], log: Path, every: float = 0.5) -> Watched:
    """Look at a command and its workers until it ends. Raises RuntimeError with the end of its log when it fails."""
    found, spent = Watched(), dict[int, float]()
    while process.poll() is None:
        with suppress(psutil.Error, OSError, StopIteration):  # one that has just ended
            found.command_mb = max(found.command_mb, peak_mb(process.pid))
            for worker in psutil.Process(process.pid).children():
                found.worker_mb = max(found.worker_mb, peak_mb(worker.pid))
                spent[worker.pid] = process_seconds(worker.pid)
        time.sleep(every)
    found.worker_seconds = sum(spent.values())
    if process.returncode:
        raise RuntimeError(log.read_text(errors="replace")[-2000:])
    return found


def peak_mb(pid: int) -> float:
    """Largest resident memory that a process ever had. Raises OSError, and StopIteration for one that has ended."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def process_seconds(pid: int) -> float:
    """CPU seconds of a process in nanoseconds' resolution: psutil's are in ticks of 10 ms, two requests' worth.

    The clock's number is what clock_getcpuclockid(3) makes of a process id."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # not Linux
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)


def thread_seconds(pid: int) -> dict[int, float]:
    """Thread id -> CPU seconds (the first number of schedstat, in nanoseconds)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}


STAGES = {
    "model/encoder/windows.py": "tokenising",
    "model/kernels/attention.py": "forward: attention",
    "model/kernels/": "forward: matrix products of the layers",
    "model/encoder/": "forward: embeddings, norms, pooling, all else",
    "model/features/cache.py": "feature cache (LMDB)",
    "model/": "heads and answers",
    "backend/labelstudio/task_spec.py": "label config",
    "backend/application/label_configs.py": "label config",
    "backend/labelstudio/": "task read, prediction written",
    "backend/serving/answer_cache.py": "task read, prediction written",
    "backend/serving/prediction.py": "task read, prediction written",
    "backend/application/predict.py": "task read, prediction written",
    "backend/serving/predictors.py": "handing over to a predictor and back",
    "backend/serving/registry.py": "following versions (background)",
    "backend/application/background.py": "keeping unlabelled texts in Redis (background)",
    "backend/web/payloads.py": "JSON",
    "backend/web/guard.py": "access, limits",
    "backend/web/policy.py": "access, limits",
    "backend/web/rate_limit.py": "access, limits",
    "backend/telemetry/log_context.py": "logs, request ids",
    "backend/processes/slow_client_worker.py": "HTTP: connections, requests, replies",
    "backend/": "Flask: routes, requests, replies",
    "prometheus_client/": "metrics",
    "structlog/": "logs, request ids",
    "flask/": "Flask: routes, requests, replies",
    "werkzeug/": "Flask: routes, requests, replies",
    "gunicorn/": "HTTP: connections, requests, replies",
    "concurrent/futures/": "HTTP: connections, requests, replies",
}
"""Start of a file's name -> stage; the first that fits."""

PROCESS = ("backend/__main__.py", "backend/cli/main.py", "backend/processes/web.py")
"""Frames under everything that gunicorn's main thread does."""


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


def cores() -> tuple[int, int]:
    """(the server's, the client's): the first two that this process may use; the same twice when there is but one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1] if len(allowed) < 2 else allowed[1]


@contextmanager
def pinned(*allowed: int) -> Iterator[None]:
    """Children started inside are bound to these cores, and so is this process while it is inside."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, allowed)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start_peer(name: str, checkpoint: Path, log: Path, *, resident: bool) -> tuple[Server, subprocess.Popen[bytes]]:
    """The stand-in for the peer, ready to be asked."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.peer_server", "--checkpoint", str(checkpoint), "--port", str(port)]
    process = launch([*command, "--resident"] if resident else command, log)
    url = f"http://127.0.0.1:{port}"
    wait_for(f"{url}/health", process, log)
    return Server(name, url, [process]), process


def launch(command: Sequence[str], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """A server that dies with this process; one torch thread, and everything it says goes into `log`."""
    with log.open("ab") as file:
        settings = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", **environment}
        return subprocess.Popen(
            [*command, "--supervised", str(os.getpid())], cwd=ROOT, env=settings, stdout=file, stderr=subprocess.STDOUT
        )


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, timeout: float = 120.0) -> None:
    """Until `url` answers 200. Raises RuntimeError with the end of the log."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text(errors='replace')[-2000:]}")


def stop(processes: Sequence[subprocess.Popen[bytes]], timeout: float = 20.0) -> None:
    """SIGTERM to each in turn, and wait."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Parts(Rig):
    """`understudy redis`, `web` and, while it learns, `learner`: no other process of the product shares the core."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        super().__init__(data_dir, None, timed=False, **environment)
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def start(self, timeout: float = 120.0) -> float:
        """Redis and web; seconds until /ready."""
        began = time.monotonic()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._redis = self._launch("redis")
        self._web = self._launch("web", PORT=str(self.port))
        wait_for(f"{self.url}/ready", self._web, self._log, timeout)
        return time.monotonic() - began

    def stop(self, timeout: float = 20.0) -> None:
        """Everything, Redis last."""
        stop(self._running[::-1], timeout)
        self._running.clear()

    def learn(self, project: Project, labels: int, rows: Sequence[tuple[str, Any]] = ()) -> str:
        """Run a learner until the project has learned so many labels, of `rows` or else of news; the version."""
        learner = self._launch("learner")
        project.annotate_many(rows[:labels] or labelled_news(labels))
        version = project.settle(quiet=1.0)
        stop([learner])
        return version

    @contextmanager
    def learning(self) -> Iterator[Server]:
        """Within, a learner runs."""
        learner = self._launch("learner")
        try:
            yield Server("learner", self.url, [learner])
        finally:
            stop([learner])

    @contextmanager
    def training(self) -> Iterator[None]:
        """Within, a trainer runs, and a learner beside it."""
        started = [self._launch("trainer"), self._launch("learner")]
        try:
            yield
        finally:
            stop(started)

    def server(self, name: str) -> Server:
        """The web process and its Redis."""
        return Server(name, self.url, [self._web, self._redis])

    def second_web(self, name: str) -> Server:
        """Another web process over the same data, on the cores of the moment."""
        port = free_port()
        web = self._launch("web", PORT=str(port))
        wait_for(f"http://127.0.0.1:{port}/ready", web, self._log)
        return Server(name, f"http://127.0.0.1:{port}", [web, self._redis])

    @property
    def _log(self) -> Path:
        return self.data_dir / "parts.log"

    def _launch(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        given = {**self._environment, "DATA_DIR": str(self.data_dir), **environment}
        process = launch([sys.executable, "-m", "backend", name], self._log, **given)
        self._running.append(process)
        return process
