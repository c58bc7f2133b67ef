"""Cost of a label and of a prediction as everything grows: examples, tasks, projects, classes; with fitted exponents.

    python -m bench.scale [--examples 10,100,...] [--tasks ...] [--projects ...] [--classes ...] [--repeats 15]
                          [--class-labels 20,200,1000] [--refit-seconds 40] [--plot artifacts/scale.png] [--json]
    python -m bench.scale --spans [--characters 400000] [--regions 1000] [--labels 150] [--strings 1000,10000,100000]
                          [--seconds 60] [--json]
    python -m bench.scale --redis [--labels 1000000] [--projects 10000] [--json]

The real Flask application in this process over a real Redis (AOF always). A cost is the CPU time of one request, the
median of this process's plus the mean of Redis's, so that a noisy machine matters little; `wall` is the median wall
time, which has the disk in it. The exponent is the slope of log cost against log size: 0 is what does not grow, 1 what
grows in proportion. `grows` marks a request path above GROWS, classes apart: a reply with a thousand labels is longer.
Refits and readings of whole stores are off the request path, and shown for comparison.

`--spans`: one long text with many regions and labels instead, in a real web process on one core and a real learner: CPU
seconds and peak memory of the fits with it and of an answer to it, and how long /health and another project's /predict
take while such texts are answered (`max_ms`: how long the one predictor thread was held at a stretch). Then what lists
of strings cost: checked, built, kept, and looked for in that text.

`--redis`: what one Redis holds. A project grows to so many labels, then so many projects are added: memory and log for
each, labels a second, and how long all that walks over the whole of either takes, and keeps Redis from others.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.support.fixtures import DEPTH, WIDTH, Site, make_features, make_texts
from bench.support.report import command, numbers, show
from model.interfaces import Embedder
from tests.support.long_documents import make_document, measure_lists, measure_long
from tests.support.redis_capacity import measure_labels, measure_projects

Row = dict[str, Any]

GROWS = 0.15
"""Exponent from which a request path is said to grow: half as much again from 10 to 100,000 is .035, noise up to .1."""

MOST_READ = 100_000

PROJECT = 1
LABELS = [f"label {number}" for number in range(8)]

REQUEST = "request"
OFF = "off path"


class Requests:
    """What is asked of one project, each call new where that matters."""

    def __init__(self, site: Site, project: int, config: str, label: str = LABELS[0]) -> None:
        self.site, self.project, self.config, self.label = site, project, config, label

    def paths(self) -> dict[str, Callable[[], Any]]:
        """Name -> one request."""
        return {
            "webhook: new label": self.annotate,
            "webhook: new task": self.create_task,
            "webhook: deleted task": self.delete_task,
            "/setup": self.setup,
            "/predict, new text": lambda: self.predict(self.site.new_id()),
            "/predict, known text": lambda: self.predict(7),
            "/versions": lambda: self.get("/versions"),
            "status": lambda: self.get(f"/admin/projects/{self.project}"),
            "explain": lambda: self.get(f"/admin/projects/{self.project}/explain?task=3"),
        }

    def post(self, path: str, body: Any) -> Any:
        """The reply's JSON. Raises RuntimeError for any other status than 200."""
        return self._read(self.site.client.post(path, json=body, headers={"X-Webhook-Secret": "bench"}))

    def get(self, path: str) -> Any:
        """As `post`."""
        return self._read(self.site.client.get(path, headers={"Authorization": "Bearer bench"}))

    @staticmethod
    def _read(reply: Any) -> Any:
        if reply.status_code != 200:
            raise RuntimeError(f"{reply.status}: {reply.get_data(as_text=True)[:300]}")
        return reply.get_json()

    def _event(self, action: str, **fields: Any) -> Any:
        project = {"id": self.project, "label_config": self.config}
        reply = self.post("/webhook", {"action": action, "project": project, **fields})
        return reply

    def annotate(self) -> None:
        """A new annotation of a new task."""
        number = self.site.new_id()
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [self.label]}}]
        stamps = dict.fromkeys(("created_at", "updated_at"), "2026-02-01T00:00:00Z")
        annotation = {"id": number, "result": result, "was_cancelled": False, "task": number, **stamps}
        task = {"id": number, "data": {"text": f"a new text {number}"}, "project": self.project}
        outcomes = self._event("ANNOTATION_CREATED", annotation=annotation, task=task)["outcomes"]
        if outcomes != {"stored": 1}:
            raise RuntimeError(f"not stored: {outcomes}")

    def create_task(self) -> None:
        """A task imported."""
        number = self.site.new_id()
        self._event("TASKS_CREATED", tasks=[{"id": number, "data": {"text": f"an imported text {number}"}}])

    def delete_task(self) -> None:
        """A task deleted that was not annotated."""
        self._event("TASKS_DELETED", tasks=[{"id": self.site.new_id()}])

    def setup(self) -> None:
        """Whether the config can be learned."""
        self.post("/setup", {"project": f"{self.project}.1", "schema": self.config})

    def predict(self, number: int) -> None:
        """One task."""
        task = {"id": number, "data": {"text": f"please cancel my order {number}"}}
        body = {"project": f"{self.project}.1", "label_config": self.config, "tasks": [task]}
        if not self.post("/predict", body)["results"][0]:
            raise RuntimeError("no answer")


def measure(site: Site, work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median (CPU, wall) milliseconds of one call, after one that is not counted."""
    work()
    found, redis = [], site.redis_seconds()
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    redis = (site.redis_seconds() - redis) / repeats
    cpu, wall = np.median(found, axis=0)
    return float(cpu + redis) * 1000, float(wall) * 1000


def ask_all(site: Site, requests: Requests, axis: str, size: int, repeats: int) -> Iterator[Row]:
    """A row for every request path at this size."""
    for name, work in requests.paths().items():
        cpu, wall = measure(site, work, repeats)
        yield {"axis": axis, "n": size, "path": name, "kind": REQUEST, "cpu_ms": cpu, "wall_ms": wall}


def grow(site: Site, axis: str, sizes: Sequence[int], repeats: int, add: Callable[[int, int], None]) -> Iterator[Row]:
    """One project whose `axis` grows by `add(first, last)`."""
    project = {"examples": PROJECT, "tasks": PROJECT + 1}[axis]
    config = site.projects.add(project)
    site.wait_for(project)
    requests, before = Requests(site, project, config), 0
    for size in sizes:
        add(before, size)
        before = size
        yield from ask_all(site, requests, axis, size, repeats)
        yield from read_store(site, project, axis, size)


def read_store(site: Site, project: int, axis: str, size: int) -> Iterator[Row]:
    """What a refit reads of the store; up to MOST_READ: pools are bounded (POOL_SIZE)."""
    if size > MOST_READ:
        return
    stores = site.services.stores
    name, read = ("snapshot", stores.examples.snapshot) if axis == "examples" else ("pool read", stores.projects.pool)
    redis, cpu, wall = site.redis_seconds(), time.process_time(), time.perf_counter()
    read(project)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu + site.redis_seconds() - redis
    cpu, wall = 1000 * cpu, 1000 * wall
    yield {"axis": axis, "n": size, "path": name, "kind": OFF, "cpu_ms": cpu, "wall_ms": wall}


def more_projects(site: Site, sizes: Sequence[int], repeats: int) -> Iterator[Row]:
    """Requests to the newest of more and more projects, each with a version in memory."""
    first = known = 1000
    for size in sizes:
        while known < first + size:
            known += 1
            config = site.projects.add(known)
        site.wait_for(known)
        yield from ask_all(site, Requests(site, known, config), "projects", size, repeats)


def more_classes(site: Site, sizes: Sequence[int], repeats: int) -> Iterator[Row]:
    """Projects with more and more labels."""
    for size in sizes:
        project = 5000 + size
        config = site.projects.add(project, size)
        site.wait_for(project)
        yield from ask_all(site, Requests(site, project, config), "classes", size, repeats)


class Drawn(Embedder):
    """An encoder of made-up features, as fast as a cache."""

    digest, depth, width = "cd" * 8, DEPTH, WIDTH

    def embed(self, texts: Sequence[Any]) -> np.ndarray:
        """[n, DEPTH, WIDTH]."""
        return make_features(len(texts), len(texts))


def refits(site: Site, sizes: Sequence[int], seconds: float) -> Iterator[Row]:
    """A refit of eight classes on cached features, until one takes longer than what is left of `seconds`."""
    from model.head.fit import fit_heads
    from model.spec import Control, Input, Kind, Label, Sample, TaskSpec

    control = Control("label", Kind.SINGLE, ("text",), tuple(Label((name,), name) for name in LABELS))
    spec, began = TaskSpec((Input("text", "Text", "$text"),), (control,)), time.perf_counter()
    texts = make_texts(max(sizes, default=0))
    for size in sizes:
        samples = [Sample(i, text, {LABELS[i % 8]: 1.0}) for i, text in enumerate(texts[:size])]
        cpu, wall = time.process_time(), time.perf_counter()
        fit_heads(spec, {"label": samples}, [], Drawn())
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        yield {"axis": "examples", "n": size, "path": "refit", "kind": OFF, "cpu_ms": cpu * 1e3, "wall_ms": wall * 1e3}
        if time.perf_counter() - began + 4 * wall > seconds:
            return


def class_refits(sizes: Sequence[int], labels: Sequence[int]) -> Iterator[Row]:
    """Searches and repeated refits of more and more classes on cached features, with a pool of 4,000 texts."""
    from model.head.fit import fit_heads
    from model.head.head_config import HeadConfig
    from model.spec import Control, Input, Kind, Label, Sample, TaskSpec

    pool = [{"text": f"an unlabelled text {number}"} for number in range(4_000)]
    for size in sizes:
        names = tuple(Label((f"category {number}",), f"category {number}") for number in range(size))
        control = Control("label", Kind.SINGLE, ("text",), names)
        spec, keys = TaskSpec((Input("text", "Text", "$text"),), (control,)), control.keys()
        for count in labels:
            places = np.random.default_rng(0).integers(size, size=count)
            rows = [Sample(i, text, {keys[places[i]]: 1.0}) for i, text in enumerate(make_texts(count))]
            previous: dict[str, HeadConfig] | None = None
            for path in (f"search, {count} labels", f"refit, {count} labels"):
                cpu, wall = time.process_time(), time.perf_counter()
                head = fit_heads(spec, {"label": rows}, pool, Drawn(), previous=previous, repeat=previous is not None)
                cpu, wall = 1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall)
                yield {"axis": "classes", "n": size, "path": path, "kind": OFF, "cpu_ms": cpu, "wall_ms": wall}
                previous = {"label": head["label"].config()}


def exponents(rows: Sequence[Row]) -> list[Row]:
    """Of every path along every axis: cost at the smallest and the largest size, and the slope of the logs."""
    found = []
    for axis, path in dict.fromkeys((row["axis"], row["path"]) for row in rows):
        own = sorted((r for r in rows if (r["axis"], r["path"]) == (axis, path)), key=lambda r: r["n"])
        sizes, costs = np.array([r["n"] for r in own]), np.array([max(r["cpu_ms"], 1e-3) for r in own])
        slope = float(np.polyfit(np.log(sizes), np.log(costs), 1)[0]) if len(own) > 1 else float("nan")
        grows = own[0]["kind"] == REQUEST and axis != "classes" and slope > GROWS
        found.append(
            {
                "axis": axis,
                "path": path,
                "from": int(sizes[0]),
                "to": int(sizes[-1]),
                "cpu_ms_first": round(float(costs[0]), 2),
                "cpu_ms_last": round(float(costs[-1]), 2),
                "wall_ms_last": round(own[-1]["wall_ms"], 2),
                "exponent": round(slope, 3),
                "kind": own[0]["kind"],
                "grows": "yes" if grows else "",
            }
        )
    return found


def plot(rows: Sequence[Row], path: Path) -> None:
    """One log-log picture an axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    slopes = {(row["axis"], row["path"]): row["exponent"] for row in exponents(rows)}
    axes = list(dict.fromkeys(row["axis"] for row in rows))
    figure, places = pyplot.subplots(1, len(axes), figsize=(5.2 * len(axes), 5.4), sharey=True, squeeze=False)
    for place, axis in zip(places[0], axes, strict=True):
        for name in dict.fromkeys(row["path"] for row in rows if row["axis"] == axis):
            own = sorted((r["n"], r["cpu_ms"]) for r in rows if (r["axis"], r["path"]) == (axis, name))
            style = "--" if any(r["path"] == name and r["kind"] == OFF for r in rows) else "-"
            label = f"{name}: n^{slopes[axis, name]:.2f}"
            place.loglog(*zip(*own, strict=True), style, marker="o", markersize=3, label=label)
        place.set_xlabel(axis)
        place.grid(alpha=0.3, which="both")
        place.legend(fontsize=7)
    places[0][0].set_ylabel("CPU ms (web and Redis); dashed: off the request path")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def show_spans(args: Namespace) -> None:
    """Measures a long document and lists of strings, and prints it."""
    document = make_document(args.characters, args.regions, args.labels)
    show("lists of strings, looked for in the long text", list(measure_lists(args.strings, document.text)), args.json)
    for title, rows in measure_long(document, args.seconds):
        show(title, rows, args.json)


def show_redis(labels: int, projects: int, as_json: bool) -> None:
    """Measures what one Redis holds, and prints it."""
    parts: tuple[tuple[int, Callable[[Path, int], Iterator[tuple[str, list[Row]]]]], ...]
    parts = ((labels, measure_labels), (projects, measure_projects))
    for most, part in parts:
        with tempfile.TemporaryDirectory(prefix="us-") as scratch:
            for title, rows in part(Path(scratch), most) if most else ():
                show(title, rows, as_json)


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--examples", type=numbers, default=[10, 100, 1_000, 10_000, 100_000])
    parser.add_argument("--tasks", type=numbers, default=[100, 1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--projects", type=numbers)
    parser.add_argument("--classes", type=numbers, default=[2, 8, 32, 150, 1_000, 6_000])
    parser.add_argument("--class-labels", type=numbers, default=[20, 200, 1_000], help="labels of refits of --classes")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--refit-seconds", type=float, default=40.0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--characters", type=int, default=400_000)
    parser.add_argument("--regions", type=int, default=1_000)
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--labels", type=int, help="of --spans (150) or --redis (1,000,000)")
    parser.add_argument("--strings", type=numbers, default=[1_000, 10_000, 100_000])
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    if args.spans:
        args.labels = 150 if args.labels is None else args.labels
        show_spans(args)
        return
    if args.redis:
        projects = [10_000] if args.projects is None else args.projects
        show_redis(1_000_000 if args.labels is None else args.labels, max(projects, default=0), args.json)
        return
    args.projects = [1, 5, 25, 100, 200] if args.projects is None else args.projects
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="us-") as scratch, Site(Path(scratch)) as site:
        if args.examples:
            rows += grow(
                site,
                "examples",
                args.examples,
                args.repeats,
                lambda first, last: site.projects.add_examples(PROJECT, first, last, LABELS),
            )
        if args.tasks:
            rows += grow(
                site,
                "tasks",
                args.tasks,
                args.repeats,
                lambda first, last: site.projects.add_pool(PROJECT + 1, first, last),
            )
        rows += class_refits(args.classes, args.class_labels)
        rows += more_projects(site, args.projects, args.repeats)
        rows += more_classes(site, args.classes, args.repeats)
        rows += refits(site, args.examples, args.refit_seconds)
    if args.json:
        points = [{**row, "cpu_ms": round(row["cpu_ms"], 3), "wall_ms": round(row["wall_ms"], 3)} for row in rows]
        show("cost by size", points, True)
    show("cost as things grow", exponents(rows), args.json)
    if args.plot:
        plot(rows, args.plot)


if __name__ == "__main__":
    main()
