"""Soak: predictions and labels at a steady rate for an hour; memory, descriptors and disk may grow with examples only.

    python -m bench.soak [--minutes 60] [--predicts 20] [--labels 2] [--every 10] [--csv FILE]
                         [--projects choices | choices,spans,regions,questions,nested]
                         [--plot docs/performance/soak.png] [--json]

Against `understudy up`, sampled every ten seconds: anonymous memory and descriptors of each process, Redis's memory and
keys, and what lies in DATA_DIR. With several projects predictions and labels take turns among them, and a tenth of the
requests about marked text tell of a region that was just drawn. The labels come in turns: for one turn all are new
examples, for the next all correct known ones. So growth with examples and growth with time can be told apart, by least
squares: value = a + b * examples + c * hours, without the first turns, in which caches fill. `leaks` marks what grows
with time by more than a fiftieth an hour and by more than three standard errors. Disk is shown and not judged: versions
younger than an hour are all kept, and the append-only file shrinks only when Redis rewrites it.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from backend.redis_access.connection import connect
from backend.redis_access.keys import project_key
from backend.settings.settings import Settings
from bench.support.load import Probe, probe_while
from bench.support.report import command, list_of, milliseconds, show
from tests.support.project_kinds import KINDS, ProjectKind, Row
from tests.support.rig import Project, Rig, name_of

FIRST_PROJECT = 7
TURNS = 12
DROPPED = 2
"""Turns at the beginning that the fits leave out: caches fill, libraries load."""

KNOWN_TEXTS = 4000
"""That are asked about, of all projects; those of more than one are asked about sooner again."""

MIXED_TEXTS = 1000
MARK_EVERY = 10
"""Requests about marked text of which one tells of a region."""

CLIENTS = 4
SHARE, ERRORS = 0.02, 3.0
FLOORS = {"anonymous MB": 4.0, "descriptors": 2.0, "Redis MB": 0.5, "Redis keys": 50.0}
"""Growth an hour that is never called a leak: allocators and connection pools breathe."""

Sample = dict[str, Any]


class KindProject(Project):
    """A project of one of the kinds that tests and benches share."""

    def __init__(self, rig: Rig, number: int, kind: ProjectKind) -> None:
        super().__init__(rig, number, [], kind.config)
        self.kind = kind

    def result_of(self, text: Any, label: Any) -> list[dict[str, Any]]:
        """What an annotator submits who answers so."""
        return self.kind.result(text, label)

    def annotation(
        self, text: Any, label: Any, *, task: int | None = None, annotation: int | None = None
    ) -> dict[str, Any]:
        """One `{annotation, task}` pair, stamped now."""
        pair = super().annotation(text, label, task=task, annotation=annotation)
        pair["task"]["data"] = self.kind.data(text)
        return pair


class Labels(threading.Thread):
    """`rate` labels a second: in turns of `turn` seconds new ones, and corrections of known ones."""

    def __init__(self, projects: Sequence[KindProject], rate: float, turn: float) -> None:
        super().__init__(daemon=True)
        self._projects, self._rate, self._turn = projects, rate, turn
        self._rows = [project.kind.rows() for project in projects]
        self._known: list[list[tuple[int, Row]]] = [[] for _ in projects]
        self._draw = random.Random(1)
        self._stop_now = threading.Event()
        self.failures: list[str] = []

    def run(self) -> None:
        """Until `stop`."""
        began = due = time.monotonic()
        for number in itertools.count():
            due += 1 / self._rate
            if self._stop_now.wait(max(0.0, due - time.monotonic())):
                return
            place = number % len(self._projects)
            creates = int((time.monotonic() - began) / self._turn) % 2 == 0 or not self._known[place]
            try:
                self._create(place) if creates else self._correct(place, number // len(self._projects))
            except OSError as error:  # requests' errors are
                self.failures.append(repr(error))

    def stop(self) -> None:
        """Returns when it has ended."""
        self._stop_now.set()
        self.join()

    def _create(self, place: int) -> None:
        row = next(self._rows[place])
        self._known[place].append((self._projects[place].annotate(*row), row))

    def _correct(self, place: int, number: int) -> None:
        project, known = self._projects[place], self._known[place]
        annotation, (content, answer) = known[number % len(known)]
        if number // len(known) % 2 == 0:  # every other time it is put right again
            answer = project.kind.wrong(self._draw, content, answer)
        pair = project.annotation(content, answer, annotation=annotation)
        project.rig.webhook(project.event("ANNOTATION_UPDATED", **pair))


class Sampler:
    """One sample of everything at a time."""

    def __init__(self, rig: Rig, projects: Sequence[int]) -> None:
        self._rig, self._projects = rig, projects
        self._redis = connect(Settings(data_dir=rig.data_dir, redis_url=""))

    def sample(self) -> Sample:
        """Series name -> value; `examples` beside them."""
        found: Sample = {"examples": sum(int(self._redis.hlen(project_key(one, "ex"))) for one in self._projects)}
        found["Redis MB"] = self._redis.info("memory")["used_memory"] / 1e6
        found["Redis keys"] = int(self._redis.dbsize())
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
        "Redis, keys": lambda name: name == "Redis keys",
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


def predict_bodies(kinds: Mapping[int, ProjectKind]) -> list[bytes]:
    """Requests of one task each, about each project in turn."""
    count = KNOWN_TEXTS if len(kinds) == 1 else MIXED_TEXTS
    rows = {number: itertools.islice(kind.rows(), 900, None) for number, kind in kinds.items()}
    bodies = []
    for turn, project in enumerate(itertools.islice(itertools.cycle(kinds), count)):
        kind, (content, answer) = kinds[project], next(rows[project])
        task = {"id": 10**9 + turn, "data": kind.data(content)}
        body: dict[str, Any] = {"tasks": [task], "project": f"{project}.1", "label_config": kind.config}
        drawn = [item for item in kind.result(content, answer) if item["type"] == "labels"]
        if drawn and turn // len(kinds) % MARK_EVERY == 0:
            body["params"] = {"context": {"result": drawn[:1]}}
        bodies.append(json.dumps(body).encode())
    return bodies


def run(args: argparse.Namespace, samples: list[Sample]) -> dict[str, Any]:
    """The whole soak; the row of its requests."""
    kinds = {FIRST_PROJECT + place: KINDS[name]() for place, name in enumerate(args.projects.split(","))}
    seconds = 60 * args.minutes
    with Rig() as rig:
        projects = [KindProject(rig, number, kind) for number, kind in kinds.items()]
        for project in projects:
            project.setup()
        annotator, stop = Labels(projects, args.labels, seconds / TURNS), threading.Event()
        sampler = Sampler(rig, list(kinds))
        watcher = threading.Thread(target=collect, args=(sampler, args.every, samples, stop), daemon=True)
        for thread in (annotator, watcher):
            thread.start()
        headers = {"Content-Type": "application/json"}
        bodies, rate = predict_bodies(kinds), args.predicts / CLIENTS
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
    parser.add_argument("--projects", type=list_of(KINDS), default="choices", help=f"some of {', '.join(KINDS)}")
    parser.add_argument("--predicts", type=float, default=20.0)
    parser.add_argument("--labels", type=float, default=2.0)
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    samples: list[Sample] = []
    requests = run(args, samples)
    rows = fits(samples, DROPPED * 60 * args.minutes / TURNS)
    about = f"soak of {args.projects}"
    name = f"{about}: {args.minutes:g} minutes, {args.predicts:g} predictions and {args.labels:g} labels a second"
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
