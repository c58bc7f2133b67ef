"""The model page: how soon its pages answer in a large installation, and what those that stay open cost.

    python -m bench.ui [--projects 200] [--labels 100000] [--opens 40] [--polls 300] [--rounds 6] [--seconds 20]
                       [--json]

`understudy redis` and `web` on a store that was filled by the stores' own methods and by the learner's own refits, in
which heads are made up instead of fitted: one project has all the `labels`, 2,000 of them tested before they were
learned, the others 60 each. Time to first byte: of each page and of every tab, the first after the start of the web
process apart (`first_ms`, and one of those that p99 is taken of); before each one a label has come to the large
project, so that nothing is remembered. A poll: what a page that is open asks every two seconds, while nothing happens;
`cpu_ms` of web process and Redis. `/health` with more open pages than the web process has threads shows that a page
holds none. Memory: of the web process before and after all of that, once its models are loaded; and of the page's own
modules, imported last.

/predict: `understudy up` with a project that has learned 64 labels, one new text at a time, 20 a second, each on a
connection of its own; without and with ten open pages of all kinds, A B A B; ratios are medians of neighbouring rounds.
In every other pair a label a second is given, so that every poll finds news.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import psutil

from backend.jobs.context import Context
from backend.jobs.learn import refit
from backend.jobs.learn.pool_survey import survey_pool
from backend.labelstudio.records import ExampleRecord
from backend.settings.settings import Settings
from backend.ui.page import TABS
from bench.support.fixtures import Projects, make_head, make_texts
from bench.support.load import Opened, Page, Probe, body, probe_while
from bench.support.report import command, judge, milliseconds, show
from bench.support.served import Parts, Server, process_seconds
from tests.support.rig import ROOT, Project, Rig

FIRST_BYTE_BAR, POLL_BAR, HEALTH_BAR, PREDICT_BAR, MEMORY_BAR = 1000.0, 2.0, 20.0, 1.05, 30.0
"""Milliseconds, milliseconds, milliseconds, times, megabytes."""

LARGE, SMALL = 1, 2
"""The project with all the labels, and one of the others."""

CLASSES, ANNOTATORS, OVERLAP = 8, 12, 10
"""Of the large project; every OVERLAP-th task is answered by two."""

TESTED_AT_ONCE, LEARNED_SMALL = 50, 60
STAGES = 40
"""Refits that test new labels before the rest of them comes: 2,000 rows, as many as are kept."""

LAST_STAGES = 5
"""More such refits, by versions that know all labels: what is said of single classes comes from those."""

POOL = 400
DAY = 24 * 3600
CHUNK = 5_000
POLL_SECONDS, PREDICTS_A_SECOND = 2.0, 20.0
OPEN_PAGES = 10

PAGES = {"projects": "/ui", "operations": "/ui/operations"}

Row = dict[str, Any]


def tab_paths(project: int) -> dict[str, str]:
    """Name -> path of every tab that there is."""
    return {tab.slug: f"/ui/projects/{project}/{tab.slug}" for tab in TABS}


class Stock:
    """Fills the store of a product that runs no learner."""

    def __init__(self, settings: Settings) -> None:
        self.work = Context(settings)
        self.projects = Projects(self.work.stores, settings.models_dir, str(self.work.encoders.base.digest))
        self._texts = [text for (text,) in make_texts(4_000)]
        self._chance = random.Random(0)

    def close(self) -> None:
        self.work.stores.close()

    def fill(self, projects: int, labels: int) -> None:
        """The large project and the small ones."""
        before = min(STAGES, labels // TESTED_AT_ONCE // 2)
        self.add(LARGE, before * TESTED_AT_ONCE, before)
        for number in range(SMALL, SMALL + projects - 1):
            self.add(number, LEARNED_SMALL, 2)
        last = labels - LAST_STAGES * TESTED_AT_ONCE
        for start in range(before * TESTED_AT_ONCE, last, CHUNK):
            self.annotate(LARGE, start, min(start + CHUNK, last))
        self.learn(LARGE)
        for start in range(max(last, before * TESTED_AT_ONCE), labels, TESTED_AT_ONCE):
            self.annotate(LARGE, start, min(start + TESTED_AT_ONCE, labels))
            self.learn(LARGE)

    def add(self, project: int, labels: int, stages: int) -> None:
        """A project that was taught so many labels in so many refits."""
        self.projects.add(project, CLASSES, words=False)
        self.work.stores.projects.note_title(project, f"A project of {labels} labels, number {project}")
        documents = {10**7 + n: {"text": self._text(n)} for n in range(POOL if project == LARGE else 10)}
        self.work.stores.projects.add_pool(project, documents, POOL)
        for stage in range(stages):
            self.annotate(project, labels * stage // stages, labels * (stage + 1) // stages)
            self.learn(project)

    def annotate(self, project: int, first: int, last: int) -> None:
        """Labels `first` to `last` - 1, half of them alike for alike texts, over a month until now."""
        self.work.stores.examples.upsert_many(project, [self._record(number) for number in range(first, last)])

    def learn(self, project: int) -> None:
        """One refit as the learner does it, with another made-up head."""
        head = make_head(CLASSES, words=False, members=2, seed=self._chance.randrange(1 << 20))
        with patch.object(refit, "fit", lambda run: {"label": head}):
            outcome = refit.refit_anew(self.work, project)
        if outcome != "published":
            raise RuntimeError(f"project {project}: {outcome}")
        survey_pool(self.work, project)

    def _text(self, number: int) -> str:
        return f"{self._texts[number % len(self._texts)]} {number}"

    def _record(self, number: int) -> ExampleRecord:
        task = number - (number % OVERLAP == 1)
        label = task % CLASSES if self._chance.random() < 0.5 else self._chance.randrange(CLASSES)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 30 * DAY * self._chance.random()))
        texts, annotator = {"text": self._text(task)}, number % ANNOTATORS + 1
        return ExampleRecord(number + 1, task + 1, texts, {"label": [[f"label {label}"]]}, stamp, annotator)


def open_pages(parts: Rig, stock: Stock, labels: int, opens: int, projects: int) -> Iterator[Row]:
    """A row for every page and tab; the first of all opens is that of a web process which has just started."""
    page, numbers = Page(parts), itertools.count(labels)
    places = {
        **{name: (path, f"{projects} projects") for name, path in PAGES.items()},
        **{name: (path, f"{labels:,} labels") for name, path in tab_paths(LARGE).items()},
        **{f"{name} ": (path, f"{LEARNED_SMALL} labels") for name, path in tab_paths(SMALL).items()},
    }
    found: dict[str, list[Opened]] = {name: [] for name in places}
    for _ in range(opens):
        for name, (path, _size) in places.items():
            give_news(stock, next(numbers))
            found[name].append(page.open(path))
    page.close()
    for name, answers in found.items():
        row = milliseconds([answer.seconds for answer in answers])
        first, size = round(1000 * answers[0].seconds, 1), round(answers[-1].size / 1000, 1)
        judged = judge(row["p99_ms"], "<=", FIRST_BYTE_BAR, "ms p99")
        yield {"page": name.strip(), "with": places[name][1], **row, "first_ms": first, "kB": size, **judged}


def give_news(stock: Stock, number: int) -> None:
    """A label in the large project, and one that was tested."""
    stock.annotate(LARGE, number, number + 1)
    evidence = stock.work.stores.evidence
    evidence.append(LARGE, [replace(evidence.rows(LARGE, 1)[-1], at=time.time())])


def poll_pages(parts: Parts, polls: int, labels: int, projects: int) -> Iterator[Row]:
    """A row for every page that stays alive."""
    page, server = Page(parts), parts.server("ours")
    places = {"projects": (PAGES["projects"], f"{projects} projects")}
    places |= {name: (path, f"{labels:,} labels") for name, path in tab_paths(LARGE).items()}
    for name, (path, size) in places.items():
        page.poll(path)
        cpu, answers = server.cpu_seconds(), [page.poll(path) for _ in range(polls)]
        cpu = 1000 * (server.cpu_seconds() - cpu) / polls
        told = sum(answer.status != 304 for answer in answers)
        row = milliseconds([answer.seconds for answer in answers])
        judged = judge(round(cpu, 2), "<=", POLL_BAR, "ms of CPU")
        yield {"page": f"poll of {name}", "with": size, **row, "with_news": told, "cpu_ms": round(cpu, 2), **judged}
    page.close()


def hold_pages(parts: Parts, count: int) -> Row:
    """How /health fares while more pages are open than there are threads."""
    with Page(parts) as first:
        pages = [Page(parts, first.cookie) for _ in range(count)]
    for page in pages:
        page.poll(PAGES["projects"])
    seen = probe_while(parts.port, [Probe("/health", "GET", "/health", 20.0)], 3.0, lambda: True)["/health"]
    for page in pages:
        page.close()
    row = milliseconds(seen.seconds)
    return {"asked": f"/health, {count} open pages", **row, **judge(row["p50_ms"], "<=", HEALTH_BAR, "ms p50")}


def settled_mb(server: Server, quiet: float = 3.0) -> float:
    """Resident memory of the web process, once it has not grown by a megabyte for `quiet` seconds."""
    worker, since = server.worker(), time.monotonic()
    before = worker.memory_info().rss
    while time.monotonic() - since < quiet:
        time.sleep(0.2)
        now = worker.memory_info().rss
        if abs(now - before) > 2**20:
            before, since = now, time.monotonic()
    return float(worker.memory_info().rss / 2**20)


MODULES = """
import importlib, pkgutil, sys, psutil
import backend.routes, backend.routes.ui, backend.ui
def load(package):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if package is not backend.routes or not found.name.startswith(("backend.routes.ui", "backend.routes.app")):
            importlib.import_module(found.name)
load(backend.routes)
before, known = psutil.Process().memory_info().rss, set(sys.modules)
load(backend.ui), load(backend.routes.ui)
print((psutil.Process().memory_info().rss - before) / 2**20, len(set(sys.modules) - known))
"""


def weigh_modules() -> tuple[float, int]:
    """Megabytes and number of the modules that the page adds to those of the other routes."""
    done = subprocess.run([sys.executable, "-c", MODULES], cwd=ROOT, capture_output=True, text=True, check=True)
    size, count = done.stdout.split()
    return float(size), int(count)


def measure_large(args: Any) -> Iterator[tuple[str, list[Row]]]:
    """What is asked of a web process with many projects and labels, with its title."""
    with tempfile.TemporaryDirectory(prefix="us-") as scratch, Parts(Path(scratch) / "d") as parts:
        settings: dict[str, Any] = {"data_dir": parts.data_dir, "admin_token": parts.admin_token}
        stock = Stock(Settings(**settings))
        began = time.monotonic()
        stock.fill(args.projects, args.labels)
        print(f"filled in {time.monotonic() - began:.0f} s", file=sys.stderr)
        stock.close()
        parts.stop()
        parts.start()
        stock = Stock(Settings(**settings))
        server = parts.server("ours")
        before = settled_mb(server)
        yield "time to first byte", list(open_pages(parts, stock, args.labels, args.opens, args.projects))
        after, (weight, count) = settled_mb(server), weigh_modules()
        yield "a poll without news", list(poll_pages(parts, args.polls, args.labels, args.projects))
        yield "pages that are open hold no thread", [hold_pages(parts, 3 * settings_threads())]
        stock.close()
    added = round(after - before + weight, 1)
    row = {"what": "the page in the web process", "before_mb": round(before), "opened_mb": round(after - before, 1)}
    yield "memory", [{**row, "modules_mb": round(weight, 1), "modules": count, **judge(added, "<=", MEMORY_BAR, "MB")}]


def settings_threads() -> int:
    """Of a web process."""
    return int(Settings.model_fields["web_threads"].default)


@contextmanager
def in_background(*works: Callable[[threading.Event], None]) -> Iterator[None]:
    """Each work in a thread of its own until the block ends."""
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def stay_open(rig: Rig, cookie: str, path: str, start: float) -> Callable[[threading.Event], None]:
    """An open page that polls from `start` seconds on."""

    def poll(stop: threading.Event) -> None:
        wait = start
        with Page(rig, cookie) as page:
            while not stop.wait(wait):
                page.poll(path)
                wait = POLL_SECONDS

    return poll


def give_labels(project: Project, rows: Iterator[tuple[str, Any]]) -> Callable[[threading.Event], None]:
    """An annotator: a label a second."""

    def label(stop: threading.Event) -> None:
        while not stop.wait(1.0):
            project.annotate_many([next(rows)])

    return label


def predict_for(rig: Rig, project: Project, texts: Iterator[str], seconds: float) -> tuple[list[float], float]:
    """Seconds of each prediction, and the web process's CPU seconds for all of them."""
    bodies = [body([next(texts)], project.labels, project.number) for _ in range(int(2 * seconds * PREDICTS_A_SECOND))]
    probe = Probe("predict", "POST", "/predict", PREDICTS_A_SECOND, bodies, {"Content-Type": "application/json"})
    web = worker_of(rig)
    cpu = process_seconds(web)
    seen = probe_while(rig.port, [probe], seconds, lambda: True)["predict"]
    if seen.failures:
        raise RuntimeError(seen.failures[0])
    return seen.seconds, process_seconds(web) - cpu


def worker_of(rig: Rig) -> int:
    """The process id of the web process that computes."""
    assert rig.process is not None
    found = psutil.Process(rig.process.pid).children(recursive=True)
    web = [process for process in found if "web" in process.cmdline()]
    return int(max(web, key=lambda process: process.memory_info().rss).pid)


def measure_predicts(rounds: int, seconds: float) -> Iterator[tuple[str, list[Row]]]:
    """Rows of /predict without and with open pages, and of the ratios."""
    rows: list[Row] = []
    with Rig() as rig:
        stream = Project.stream()
        project = Project.learned(rig, 7, 64, stream)
        texts = (f"{text} {number}" for number, (text, _) in enumerate(Project.stream()))
        with Page(rig) as page:
            cookie = page.cookie
        paths = [PAGES["projects"], *tab_paths(7).values()]
        pages = [path for path, _ in zip(itertools.cycle(paths), range(OPEN_PAGES), strict=False)]
        pollers = [stay_open(rig, cookie, path, POLL_SECONDS * i / OPEN_PAGES) for i, path in enumerate(pages)]
        predict_for(rig, project, texts, min(seconds, 5.0))
        for load, works in {"no labels": [], "a label a second": [give_labels(project, stream)]}.items():
            alone, beside = compare(rounds, works, pollers, lambda: predict_for(rig, project, texts, seconds))
            rows += compare_rows(load, alone, beside)
    yield f"/predict beside {OPEN_PAGES} open pages", rows


Reading = tuple[list[float], float]


def compare(
    rounds: int,
    works: Sequence[Callable[[threading.Event], None]],
    pollers: Sequence[Callable[[threading.Event], None]],
    measure: Callable[[], Reading],
) -> tuple[list[Reading], list[Reading]]:
    """Readings without and with the pollers, in turn."""
    alone, beside = [], []
    for _ in range(rounds):
        with in_background(*works):
            alone.append(measure())
        with in_background(*works, *pollers):
            beside.append(measure())
    return alone, beside


def compare_rows(load: str, alone: Sequence[Reading], beside: Sequence[Reading]) -> Iterator[Row]:
    """Both, and how many times as long it takes with open pages."""
    pairs = [(milliseconds(one[0]), milliseconds(other[0])) for one, other in zip(alone, beside, strict=True)]
    ratios = {name: median(other[name] / one[name] for one, other in pairs) for name in ("p50_ms", "p99_ms")}
    for pages, readings in ((0, alone), (OPEN_PAGES, beside)):
        seconds = [second for reading in readings for second in reading[0]]
        cpu = 1000 * sum(reading[1] for reading in readings) / len(seconds)
        row = {"load": load, "beside": f"{pages} open pages", **milliseconds(seconds), "cpu_ms": round(cpu, 2)}
        if pages:
            row |= {"p50_ratio": round(ratios["p50_ms"], 3), "p99_ratio": round(ratios["p99_ms"], 3)}
            row |= judge(round(ratios["p99_ms"], 3), "<=", PREDICT_BAR, "x p99 of none")
        yield row


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--projects", type=int, default=200)
    parser.add_argument("--labels", type=int, default=100_000)
    parser.add_argument("--opens", type=int, default=40)
    parser.add_argument("--polls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    for title, rows in measure_large(args):
        show(title, rows, args.json)
    if args.rounds:
        for title, rows in measure_predicts(args.rounds, args.seconds):
            show(title, rows, args.json)


if __name__ == "__main__":
    main()
