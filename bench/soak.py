"""Soak: predictions and labels at a steady rate for an hour; memory, descriptors and disk may grow with examples only.

    python -m bench.soak [--minutes 60] [--predicts 20] [--labels 2] [--every 10] [--csv FILE]
                         [--plot docs/performance/soak.png] [--json]

Against `understudy up`, sampled every ten seconds: anonymous memory and descriptors of each process, Redis's memory,
and what lies in DATA_DIR. The labels come in turns: for one turn all are new examples, for the next all correct known
ones. So growth with examples and growth with time can be told apart, by least squares: value = a + b * examples +
c * hours, without the first turns, in which caches fill. `leaks` marks what grows with time by more than a fiftieth
an hour and by more than three standard errors. Disk is shown and not judged: versions younger than an hour are all
kept, and the append-only file shrinks only when Redis rewrites it.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from backend.redis_access.connection import connect
from backend.redis_access.keys import project_key
from backend.settings.settings import Settings
from bench.support.load import Probe, probe_while
from bench.support.report import command, milliseconds, show
from tests.support.rig import Project, Rig, choices_config, endless_rows, name_of, read_rows

PROJECT = 7
TURNS = 12
DROPPED = 2
"""Turns at the beginning that the fits leave out: caches fill, libraries load."""

KNOWN_TEXTS = 4000
CLIENTS = 4
SHARE, ERRORS = 0.02, 3.0
FLOORS = {"anonymous MB": 4.0, "descriptors": 2.0, "Redis MB": 0.5}
"""Growth an hour that is never called a leak: allocators and connection pools breathe."""

Sample = dict[str, Any]


class Labels(threading.Thread):
    """`rate` labels a second: in turns of `turn` seconds new ones, and corrections of known ones."""

    def __init__(self, project: Project, rate: float, turn: float) -> None:
        super().__init__(daemon=True)
        self._project, self._rate, self._turn = project, rate, turn
        self._rows, self._known = endless_rows(read_rows()), list[tuple[int, str]]()
        self._stop_now = threading.Event()
        self.failures: list[str] = []

    def run(self) -> None:
        """Until `stop`."""
        began = due = time.monotonic()
        for number in itertools.count():
            due += 1 / self._rate
            if self._stop_now.wait(max(0.0, due - time.monotonic())):
                return
            creates = int((time.monotonic() - began) / self._turn) % 2 == 0 or not self._known
            try:
                self._create() if creates else self._correct(number)
            except OSError as error:  # requests' errors are
                self.failures.append(repr(error))

    def stop(self) -> None:
        """Returns when it has ended."""
        self._stop_now.set()
        self.join()

    def _create(self) -> None:
        text, label = next(self._rows)
        self._known.append((self._project.annotate(text, label), text))

    def _correct(self, number: int) -> None:
        annotation, text = self._known[number % len(self._known)]
        label = self._project.labels[number % len(self._project.labels)]
        pair = self._project.annotation(text, label, annotation=annotation)
        self._project.rig.webhook(self._project.event("ANNOTATION_UPDATED", **pair))


class Sampler:
    """One sample of everything at a time."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._redis = connect(Settings(data_dir=rig.data_dir, redis_url=""))

    def sample(self) -> Sample:
        """Series name -> value; `examples` beside them."""
        found: Sample = {"examples": int(self._redis.hlen(project_key(PROJECT, "ex")))}
        found["Redis MB"] = self._redis.info("memory")["used_memory"] / 1e6
        for folder in ("models", "redis", "features", "logs"):
            found[f"disk: {folder} MB"] = size_of(self._rig.data_dir / folder) / 1e6
        for process in psutil.Process(self._rig.process.pid).children(recursive=True) if self._rig.process else ():
            try:
                name = f"{name_of(process.cmdline())}"
                for series, value in (("anonymous MB", anonymous(process)), ("descriptors", process.num_fds())):
                    key = f"{name}: {series}"
                    found[key] = found.get(key, 0) + value
            except (psutil.Error, OSError, IndexError):
                continue
        return found


def anonymous(process: psutil.Process) -> float:
    """MB that are this process's own: pages of mapped files, such as the feature cache, can be dropped any time."""
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    return float(process.memory_info().rss) / 1e6


def size_of(folder: Path) -> int:
    """Bytes of the files under it that are really on disk."""
    total = 0
    for parent, _, names in os.walk(folder):  # unlike rglob it passes over directories that vanish meanwhile
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total


def collect(sampler: Sampler, every: float, samples: list[Sample], stop: threading.Event) -> None:
    """Appends a sample every so many seconds."""
    began = time.monotonic()
    while not stop.wait(every):
        samples.append({"seconds": round(time.monotonic() - began, 1), **sampler.sample()})


def fits(samples: Sequence[Sample], skip: float) -> list[dict[str, Any]]:
    """Of every series: mean, growth per 1000 examples and per hour with its standard error, and whether it leaks.

    `skip`: seconds at the beginning that are left out."""
    names = list(dict.fromkeys(name for sample in samples for name in sample if name not in ("seconds", "examples")))
    kept = [sample for sample in samples if sample["seconds"] >= skip]
    return [fit(name, [sample for sample in kept if name in sample]) for name in sorted(names)]


def fit(name: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """One row of `fits`; without numbers for a series of fewer than eight samples."""
    row: dict[str, Any] = {"series": name, "samples": len(samples)}
    if len(samples) < 8:
        return row
    hours = np.array([sample["seconds"] / 3600 for sample in samples])
    examples = np.array([sample["examples"] / 1000 for sample in samples])
    values = np.array([float(sample[name]) for sample in samples])
    matrix = np.column_stack([np.ones_like(hours), examples, hours])
    found, *_ = np.linalg.lstsq(matrix, values, rcond=None)
    spread = np.sum((values - matrix @ found) ** 2) / max(1, len(values) - 3)
    error = float(np.sqrt(spread * np.linalg.pinv(matrix.T @ matrix)[2, 2]))
    mean, per_hour = float(values.mean()), float(found[2])
    floor = next((least for ending, least in FLOORS.items() if name.endswith(ending)), None)
    grows = floor is not None and per_hour > max(floor, SHARE * mean, ERRORS * error)
    numbers = {"mean": mean, "last": values[-1], "per_1000_examples": found[1], "per_hour": per_hour, "error": error}
    return {**row, **{key: round(float(value), 2) for key, value in numbers.items()}, "leaks": "yes" if grows else ""}


def plot(samples: Sequence[Sample], path: Path) -> None:
    """One panel a kind of series."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds: dict[str, Callable[[str], bool]] = {
        "anonymous memory, MB": lambda name: name.endswith("anonymous MB"),
        "file descriptors": lambda name: name.endswith("descriptors"),
        "Redis, MB": lambda name: name == "Redis MB",
        "disk, MB": lambda name: name.startswith("disk"),
        "examples": lambda name: name == "examples",
    }
    figure, places = pyplot.subplots(1, len(kinds), figsize=(4.6 * len(kinds), 4.4))
    for place, (title, belongs) in zip(places, kinds.items(), strict=True):
        for name in dict.fromkeys(name for sample in samples for name in sample if belongs(name)):
            points = [(sample["seconds"] / 60, sample[name]) for sample in samples if name in sample]
            place.plot(*zip(*points, strict=True), label=label_of(name))
        place.set_title(title)
        place.set_xlabel("minutes")
        place.set_ylim(bottom=0)
        place.grid(alpha=0.3)
        if place.lines:
            place.legend(fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def label_of(series: str) -> str:
    """`web` of `web: anonymous MB`, `models` of `disk: models MB`."""
    owner, _, what = series.removesuffix(" MB").partition(": ")
    return what if owner == "disk" else owner


def predict_bodies(labels: Sequence[str]) -> list[bytes]:
    """KNOWN_TEXTS requests of one task each."""
    config, bodies = choices_config(labels), []
    for number, (text, _) in enumerate(itertools.islice(endless_rows(read_rows()), 900, 900 + KNOWN_TEXTS)):
        task = {"id": 10**9 + number, "data": {"text": text}}
        bodies.append(json.dumps({"tasks": [task], "project": f"{PROJECT}.1", "label_config": config}).encode())
    return bodies


def run(args: argparse.Namespace, samples: list[Sample]) -> dict[str, Any]:
    """The whole soak; the row of its requests."""
    labels = sorted({label for _, label in read_rows()})
    seconds = 60 * args.minutes
    with Rig() as rig:
        project = Project(rig, PROJECT, labels)
        project.setup()
        annotator, stop = Labels(project, args.labels, seconds / TURNS), threading.Event()
        watcher = threading.Thread(target=collect, args=(Sampler(rig), args.every, samples, stop), daemon=True)
        for thread in (annotator, watcher):
            thread.start()
        headers = {"Content-Type": "application/json"}
        bodies, rate = predict_bodies(labels), args.predicts / CLIENTS
        probes = [Probe(f"predict {n}", "POST", "/predict", rate, bodies[n::CLIENTS], headers) for n in range(CLIENTS)]
        answers = probe_while(rig.port, probes, seconds, lambda: True).values()
        annotator.stop()
        stop.set()
        watcher.join()
    failures = [*itertools.chain.from_iterable(answer.failures for answer in answers), *annotator.failures]
    first = {"first_failure": failures[0]} if failures else {}
    return {**milliseconds([s for answer in answers for s in answer.seconds]), "failed": len(failures), **first}


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--predicts", type=float, default=20.0)
    parser.add_argument("--labels", type=float, default=2.0)
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    samples: list[Sample] = []
    requests = run(args, samples)
    rows = fits(samples, DROPPED * 60 * args.minutes / TURNS)
    name = f"soak: {args.minutes:g} minutes, {args.predicts:g} predictions and {args.labels:g} labels a second"
    show(f"{name}: /predict", [requests], args.json)
    show(name, rows, args.json)
    if args.csv:
        write_csv(samples, args.csv)
    if args.plot:
        plot(samples, args.plot)
    if leaks := [row["series"] for row in rows if row.get("leaks")]:
        raise SystemExit(f"grows with time alone: {', '.join(leaks)}")


def write_csv(samples: Sequence[Sample], path: Path) -> None:
    """One line a sample."""
    names = list(dict.fromkeys(name for sample in samples for name in sample))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(samples)


if __name__ == "__main__":
    main()
