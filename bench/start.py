"""Start and footprint: seconds from exec to /health, /setup and /ready, and the memory of every process.

    python -m bench.start [--repeats 5] [--projects 3] [--json]
    python -m bench.start --imports [--json]
    python -m bench.start --dependencies [requirements.txt]

`web` alone beside a running Redis, and `understudy up` whole, both on a data directory whose projects have learned.
The first start of each warms the disk and is not counted. CPU seconds are those of all processes started, up to the
moment of the answer. Memory is taken before and after 1, 8 and 32 clients have predicted. RSS counts shared pages once
a process, PSS shares them out among all on the machine, USS is what would be free without the process, `once` is what
all of them take together, whoever else has a page (asked as root). Of RSS, `map` are pages of the feature
cache and the encoder's file, which the kernel may take back, and `anon` is what the process has made itself.

--imports: what the processes of `up` have imported instead, with a project that has learned: modules of each package,
what they added to the process's own memory while they were imported, and CPU seconds. What a package imports in turn
counts for that one.

--dependencies: what packages take on disk instead, a row per package that is asked for: its own size, and what would go
with it if it alone were not asked for. Everything is read from what is installed here.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import psutil
import requests
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import answers
from backend.settings.settings import Settings
from bench.support.report import command, show
from tests.support import imported_packages
from tests.support.physical_pages import count_pages
from tests.support.rig import ROOT, Project, Rig, endless_rows, read_rows

CLIENTS = (1, 8, 32)
REQUESTS = 384
"""Of one task each, shared among the clients: only their number differs."""

START_SECONDS = 120.0
MB = 1e6
Wanted = tuple[str, tuple[str, ...]]
"""A package and the extras that are asked of it."""

MAPPED = ("data.mdb", "model.safetensors")


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Of a process and its descendants, those that have ended included."""
    total = 0.0
    for process in family(pid):
        try:
            total += sum(process.cpu_times()[:4])  # user, system, and both of children that have ended
        except psutil.NoSuchProcess:
            continue
    return total


@dataclass(frozen=True)
class Start:
    """A command of understudy, and how it is asked whether it answers."""

    command: str
    url: str
    log: Path
    environment: Mapping[str, str]
    setup: Any
    """Body of a /setup."""

    def run(self) -> dict[str, float]:
        """Starts it, and stops it once ready; wall and CPU seconds to each answer."""
        moments: dict[str, float] = {}
        began = time.monotonic()
        line = [sys.executable, "-m", "backend", self.command]
        with self.log.open("ab") as file:
            process = subprocess.Popen(line, cwd=ROOT, env={**os.environ, **self.environment}, stdout=file, stderr=file)
        try:
            for path, body in (("/health", None), ("/setup", self.setup), ("/ready", None)):
                while not self._answers(path, body):
                    if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                        raise RuntimeError(f"`{self.command}`: no answer to {path}:\n{self.log.read_text()[-3000:]}")
                    time.sleep(0.02)
                moments[f"{path[1:]}_s"] = time.monotonic() - began
                moments[f"{path[1:]}_cpu_s"] = cpu_seconds(process.pid)
        finally:
            process.terminate()
            process.wait(60)
        return moments

    def _answers(self, path: str, body: Any) -> bool:
        """Whether this path is answered with 200 now."""
        try:
            method = "GET" if body is None else "POST"
            return requests.request(method, f"{self.url}{path}", json=body, timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def median(self, repeats: int, uncounted: int) -> dict[str, Any]:
        """Medians of some starts after those that are not counted."""
        runs = [self.run() for _ in range(repeats + uncounted)][uncounted:]
        medians = {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
        return {
            "start": self.command,
            "n": repeats,
            **medians,
            "ready_max_s": round(max(r["ready_s"] for r in runs), 2),
        }


@contextmanager
def running_redis(settings: Settings) -> Iterator[None]:
    """The Redis of a data directory that `up` has used, without `up`."""
    config = settings.data_dir.absolute() / "redis" / "redis.conf"
    process = subprocess.Popen([find_redis_server(), str(config)], stdout=subprocess.DEVNULL)
    try:
        while not answers(settings.redis_socket):
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(30)


def role_of(process: psutil.Process) -> str:
    """What `up` calls it."""
    line = process.cmdline()
    if "redis-server" in line[0]:
        return "redis"
    if "backend.supervision.supervisor" in line:
        return "supervisor"
    role = line[line.index("backend") + 1] if "backend" in line else Path(line[0]).name
    parent = process.parent()
    return f"{role} (server)" if role == "web" and parent is not None and parent.cmdline() == line else role


def memory_of(process: psutil.Process) -> dict[str, float]:
    """RSS, PSS and USS in MB (10^6), and of RSS the pages of files that this project maps and of no file."""
    full = process.memory_full_info()
    parts = process.memory_maps()
    mapped = sum(part.rss for part in parts if part.path.endswith(MAPPED))
    values = {"rss": full.rss, "pss": full.pss, "uss": full.uss, "map": mapped}
    values["anon"] = sum(part.anonymous for part in parts)
    return {f"{name}_mb": round(value / 1e6, 1) for name, value in values.items()}


def footprint(rig: Rig) -> list[dict[str, Any]]:
    """One row a process of `up`, and their sum."""
    assert rig.process is not None
    rows: list[dict[str, Any]] = [
        {"process": role_of(process), **memory_of(process)} for process in family(rig.process.pid)
    ]
    rows.sort(key=lambda row: -row["pss_mb"])
    total = {name: round(sum(row[name] for row in rows), 1) for name in rows[0] if name != "process"}
    once = round(count_pages(family(rig.process.pid)) / MB, 1)
    return [*({**row, "once_mb": ""} for row in rows), {"process": "all", **total, "once_mb": once}]


def teach(rig: Rig, count: int, labels: int) -> list[Project]:
    """Projects that have learned these many labels each."""
    rows = read_rows()
    names = sorted({label for _, label in rows})
    projects = [Project(rig, 7 + index, names) for index in range(count)]
    for index, project in enumerate(projects):
        project.setup()
        project.annotate_many(rows[index * labels : (index + 1) * labels])
    for project in projects:
        project.settle()
    return projects


def answer_at_last(project: Project, text: str, session: requests.Session) -> None:
    """Predict one task; a refusal for load is taken as Label Studio should take it."""
    for _ in range(1000):
        try:
            project.predict([text], session=session)
            return
        except requests.HTTPError as error:
            if error.response.status_code != 503:
                raise
            time.sleep(0.1)
    raise RuntimeError("/predict refuses all the time")


def predict_from(projects: Sequence[Project], clients: int, texts: Iterator[str]) -> None:
    """`clients` at once, each with a connection of its own, to all projects in turn."""
    work = [[next(texts) for _ in range(REQUESTS // clients)] for _ in range(clients)]

    def run(mine: list[str], first: int) -> None:
        with requests.Session() as session:
            for step, text in enumerate(mine):
                answer_at_last(projects[(first + step) % len(projects)], text, session)

    threads = [threading.Thread(target=run, args=(mine, index)) for index, mine in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure_memory(rig: Rig, args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Any]:
    """Rows of the web process by clients, rows of every process when idle, and a /setup body."""
    with rig:
        projects = teach(rig, args.projects, args.labels)
        web = projects[0]
        setup = {"project": f"{web.number}.1", "schema": web.config, "hostname": "", "access_token": ""}
        rig.stop()
        rig.start()  # what learning left behind is not what a start takes
        time.sleep(args.idle)
        idle = footprint(rig)
        texts = (text for text, _ in itertools.islice(endless_rows(read_rows()), args.projects * args.labels, None))
        by_clients = [{"clients": 0, **_web_row(idle)}]
        for clients in args.clients:
            predict_from(projects, clients, texts)
            time.sleep(args.idle)
            by_clients.append({"clients": clients, **_web_row(footprint(rig))})
    return by_clients, idle, setup


def _web_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["process"] == "web (server)")


@dataclass(frozen=True)
class DiskRow:
    """`own`, `alone`: bytes of the package, and of all that is there for it only; `packages`: how many those are."""

    name: str
    own: int
    alone: int
    packages: int


def measure_disk(requirements: Iterable[Wanted]) -> tuple[list[DiskRow], set[str]]:
    """(a row per requirement, heaviest first; every package that is installed because of them)"""
    wanted = list(requirements)
    everything = close_over(wanted)
    rows = []
    for one in wanted:
        only = everything - close_over(other for other in wanted if other[0] != one[0])
        rows.append(DiskRow(one[0], size_of(one[0]), sum(map(size_of, only)), len(only)))
    return sorted(rows, key=lambda row: -row.alone), everything


def read_requirements(path: Path) -> list[Wanted]:
    """Those that are installed here; options and other files' lines are not followed."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            one = Requirement(line.split(" #")[0].strip())
        except InvalidRequirement:
            continue
        if _applies(one, ()) and _find(canonicalize_name(one.name)):
            found.append(_wanted(one))
    return found


def close_over(wanted: Iterable[Wanted]) -> set[str]:
    """The names of the packages and of all that they require."""
    seen: set[Wanted] = set()
    rest = list(wanted)
    while rest:
        one = rest.pop()
        if one not in seen and _find(one[0]) is not None:
            seen.add(one)
            rest += _requirements_of(one)
    return {name for name, _ in seen}


@cache
def size_of(name: str) -> int:
    """Bytes of its files, without what Python compiles from them."""
    found = _find(name)
    paths = (Path(str(file.locate())) for file in (found.files if found else None) or ())
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())


@cache
def _find(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _requirements_of(wanted: Wanted) -> list[Wanted]:
    found = _find(wanted[0])
    named = map(Requirement, (found.requires if found else None) or ())
    return [_wanted(one) for one in named if _applies(one, wanted[1])]


def _applies(requirement: Requirement, extras: tuple[str, ...]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _wanted(requirement: Requirement) -> Wanted:
    return canonicalize_name(requirement.name), tuple(sorted(requirement.extras))


def show_dependencies(path: Path) -> None:
    """Prints the table."""
    rows, everything = measure_disk(read_requirements(path))
    print(f"{'package':28} {'own MB':>8} {'alone MB':>9} {'packages':>9}")
    for row in rows:
        print(f"{row.name:28} {row.own / MB:8.1f} {row.alone / MB:9.1f} {row.packages:9}")
    total = sum(map(size_of, everything))
    print(f"{'all of them':28} {'':8} {total / MB:9.1f} {len(everything):9}")


def measure_imports(labels: int) -> Iterator[dict[str, object]]:
    """A row per process and package."""
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        folder = Path(scratch) / "imports"
        folder.mkdir()
        path, noted = str(imported_packages.FOLDER), str(folder)
        with Rig(Path(scratch) / "d", PYTHONPATH=path, NOTED_IMPORTS=noted) as rig:
            teach(rig, 1, labels)
            assert rig.process is not None
            yield from imported_packages.rows_of(folder, family(rig.process.pid), role_of)


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--uncounted", type=int, default=1, help="starts of each before the others")
    parser.add_argument("--projects", type=int, default=3)
    parser.add_argument("--labels", type=int, default=64, help="labels a project has learned")
    parser.add_argument(
        "--idle", type=float, default=12.0, help="seconds before memory is taken: freed heap is back by then"
    )
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS))
    parser.add_argument("--imports", action="store_true")
    parser.add_argument("--dependencies", nargs="?", type=Path, const=Path("requirements.txt"))
    args = parser.parse_args()
    if args.dependencies:
        return show_dependencies(args.dependencies)
    if args.imports:
        return show("what the processes of up have imported", list(measure_imports(args.labels)), args.json)
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        rig = Rig(Path(scratch) / "d")
        by_clients, idle, setup = measure_memory(rig, args)
        settings = Settings(data_dir=rig.data_dir, redis_url="")
        place = {"DATA_DIR": str(rig.data_dir), "PORT": str(rig.port), "FINETUNE_ENABLED": "false"}
        up = Start("up", rig.url, rig.data_dir / "start.log", place, setup)
        web = replace(up, command="web", environment={**place, "REDIS_URL": settings.effective_redis_url})
        starts = [up.median(args.repeats, args.uncounted)]
        with running_redis(settings):
            starts.insert(0, web.median(args.repeats, args.uncounted))
    show("start: seconds from exec", starts, args.json)
    show(f"web process, {args.projects} projects that have learned", by_clients, args.json)
    show("every process of up when idle", idle, args.json)


if __name__ == "__main__":
    main()
