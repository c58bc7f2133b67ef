"""Runs the tests that hang on the Redis server (marked `redis`) with every server found: `make test-redis`."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from backend.settings.settings import child_environment
from tests.support.redis_servers import find_servers

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"^pytestmark = .*pytest\.mark\.redis|^@pytest\.mark\.redis", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What pytest made of the tests with one server. `code`: its exit status; `seconds`: how long it took."""

    code: int
    seconds: float
    printed: str


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the tests passed with each server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", type=Path, action="append", default=[], help="one more, by its path")
    parser.add_argument("--but", default="", help="leave out those whose name begins so, such as 'Redis 6.2'")
    options, more = parser.parse_known_args(arguments)
    servers = {n: p for n, p in find_servers(options.server).items() if not (options.but and n.startswith(options.but))}
    if not servers:
        print("no Redis or Valkey server was found")
        return 1
    workers = workers_of(len(servers))
    with ThreadPoolExecutor(len(servers)) as side_by_side:
        runs = side_by_side.map(lambda binary: run_tests(binary, workers, more), servers.values())
        ended = {name: show(name, servers[name], run) for name, run in zip(servers, runs, strict=True)}
    for name, run in ended.items():
        told = "passed" if run.code == 0 else f"FAILED (pytest: {run.code})"
        print(f"{name}: {told} in {run.seconds:.0f} s, {servers[name]}")
    return int(any(run.code for run in ended.values()))


def workers_of(servers: int) -> int:
    """Of each server, all running side by side: about one more than there are cores, since the tests wait for
    processes half of their time."""
    return -(-((os.cpu_count() or 1) + 1) // servers)


def marked_files() -> list[str]:
    """The files with tests of Redis, from the root: importing all the others takes each process longer than these."""
    paths = sorted((ROOT / "tests").rglob("test_*.py"))
    return [path.relative_to(ROOT).as_posix() for path in paths if MARK.search(path.read_text(encoding="utf-8"))]


def run_tests(binary: Path, workers: int, more: Sequence[str]) -> Run:
    """The tests with this server."""
    began = time.monotonic()
    options = ["-m", "redis and not long", "-n", str(workers), "--dist", "loadfile"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *marked_files(), *more],
        cwd=ROOT,
        env=child_environment(REDIS_BINARY=str(binary.absolute()), OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Run(done.returncode, time.monotonic() - began, done.stdout)


def show(name: str, binary: Path, run: Run) -> Run:
    """Prints what pytest printed, in one piece."""
    print(f"\n-- {name}: {binary}\n{run.printed}", flush=True)
    return run


if __name__ == "__main__":
    sys.exit(main())
