"""Runs the tests that hang on the Redis server (marked `redis`) with every server found: `make test-redis`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from backend.settings.settings import child_environment
from tests.support.redis_servers import find_servers

WHERE = ("tests/backend", "tests/faults")
"""The folders that hold such tests; a test sees to it that no other does."""


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
    codes = {name: run_tests(name, binary, more) for name, binary in servers.items()}
    for name, (code, seconds) in codes.items():
        print(f"{name}: {'passed' if code == 0 else f'FAILED (pytest: {code})'} in {seconds:.0f} s, {servers[name]}")
    return int(any(code for code, _ in codes.values()))


def run_tests(name: str, binary: Path, more: Sequence[str]) -> tuple[int, float]:
    """pytest's exit status, and how long it took."""
    print(f"\n-- {name}: {binary}", flush=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-m", "redis", "-n", "auto", "--dist", "loadfile", *WHERE, *more]
    environment = child_environment(REDIS_BINARY=str(binary.absolute()), OMP_NUM_THREADS="1")
    return subprocess.run(command, env=environment, check=False).returncode, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
