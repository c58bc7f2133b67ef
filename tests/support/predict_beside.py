"""/predict for one task at a time while the trainer works: with an export in either format, a fine-tune, or nothing."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from statistics import median
from typing import Any

import psutil
import requests

from bench.support.load import Probe, body, probe_while
from bench.support.report import milliseconds
from bench.support.served import LEARNED, Parts
from tests.support.rig import Project

PREDICTS_A_SECOND = 10.0

NOTHING, FINE_TUNE = "nothing", "fine-tune"
LOADS = (NOTHING, "onnx", "transformers", FINE_TUNE)

EXPORT_TEXTS, EXPORT_MINUTES = 200, 10.0
"""What an export compares on, and how long it may teach: what it does when nobody says otherwise."""

BEGIN_SECONDS = 300.0


class PredictBeside:
    """One project of the sample messages, with a learner and a trainer."""

    def __init__(self, parts: Parts, labels: int = LEARNED) -> None:
        self.parts = parts
        self.project = Project.of_sample(parts, 7)
        self.project.setup()
        parts.learn(self.project, labels, self.project.sample())
        self._texts = (f"{text} {number}" for number, (text, _) in enumerate(Project.stream()))

    def measure(self, rounds: int, seconds: float) -> Iterator[dict[str, Any]]:
        """A row a load; they take turns in each round."""
        seen: dict[str, list[dict[str, float]]] = {load: [] for load in LOADS}
        with self.parts.training():
            self._ask(min(seconds, 5.0))
            for _ in range(rounds):
                for load in LOADS:
                    with self._beside(load):
                        seen[load].append(milliseconds(self._ask(seconds)))
        yield from compare(seen)

    def _ask(self, seconds: float) -> list[float]:
        """Seconds of each request."""
        texts = itertools.islice(self._texts, int(2 * seconds * PREDICTS_A_SECOND) + 1)
        bodies = [body([text], self.project.labels, self.project.number) for text in texts]
        probe = Probe("predict", "POST", "/predict", PREDICTS_A_SECOND, bodies, {"Content-Type": "application/json"})
        seen = probe_while(self.parts.port, [probe], seconds, lambda: True)["predict"]
        if seen.failures:
            raise RuntimeError(seen.failures[0])
        return seen.seconds

    @contextmanager
    def _beside(self, load: str) -> Iterator[None]:
        """Within, the trainer does this, over and over."""
        if load == NOTHING:
            yield
            return
        work = self._fine_tune if load == FINE_TUNE else lambda: self._export(load)
        stop, begun = threading.Event(), threading.Event()
        thread = threading.Thread(target=self._repeat, args=(work, stop, begun))
        thread.start()
        try:
            if not begun.wait(BEGIN_SECONDS):
                raise TimeoutError(f"{load} has not begun")
            yield
        finally:
            stop.set()
            thread.join()

    def _repeat(self, work: Callable[[], str], stop: threading.Event, begun: threading.Event) -> None:
        """Until `stop`, then cancelled and gone."""
        cancel = work()
        while not stop.wait(0.2):
            status, stage = self._state(cancel)
            if status == "running" and stage:
                begun.set()
            elif status in ("done", "rejected", "cancelled"):
                cancel = work()
            elif status == "failed":
                raise RuntimeError(f"{cancel}: failed")
        with suppress(requests.HTTPError):  # it may just have ended
            self.parts.admin("POST", cancel, {})
        while any(is_work(process) for process in psutil.Process().children(recursive=True)):
            time.sleep(0.1)

    def _export(self, how: str) -> str:
        """Asked for; the path that cancels it."""
        wish = {"format": how, "again": True, "accept_loss": True, "texts": EXPORT_TEXTS, "minutes": EXPORT_MINUTES}
        self.parts.admin("POST", f"/projects/{self.project.number}/export", wish)
        return f"/projects/{self.project.number}/export/cancel"

    def _fine_tune(self) -> str:
        job = self.parts.admin("POST", f"/projects/{self.project.number}/retrain", {})["job"]
        return f"/jobs/{job}/cancel"

    def _state(self, cancel: str) -> tuple[str, str]:
        """Status and stage of what this path cancels."""
        found = self.parts.admin("GET", cancel.removesuffix("/cancel"))
        return str(found["status"]), str(found.get("stage", ""))


def is_work(process: psutil.Process) -> bool:
    """Whether it exports or trains."""
    with suppress(psutil.Error):
        return bool({"backend.jobs.export", "model.training"} & set(process.cmdline()))
    return False


def compare(seen: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[dict[str, Any]]:
    """Load -> what each round took: medians, and as `x` how many times what the same round took beside nothing."""
    for load, found in seen.items():
        row: dict[str, Any] = {"beside": load, "rounds": len(found), "n": sum(int(one["n"]) for one in found)}
        for name in ("p50_ms", "p99_ms"):
            row[name] = round(median(one[name] for one in found), 1)
            pairs = zip(found, seen[NOTHING], strict=True)
            row[f"{name[:3]}_x"] = round(median(one[name] / other[name] for one, other in pairs), 2)
        yield row
