"""`make quick`: the tests that start nothing, and what it left out. A plug-in: `pytest -p tests.support.quick`.

Left out is every test that starts a Redis or the product or loads the packaged encoder (by the fixtures it takes), that
measures time (by its source) or is marked slow, or lies in a module that starts programs, listens on a port or uses
torch (by what the module imports); property tests try few examples. What is left is pure code: a fault in it is found
in under a minute. It is no proof; `make test` is.
"""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest

STARTS = {
    "shared_redis": "starts a Redis",
    "own_redis": "starts a Redis",
    "minilm": "loads the packaged encoder",
    "tiny_model": "uses torch",
}
"""Fixture, taken by the test or by another fixture -> why the test is left out."""

PROGRAMS = {
    "subprocess": "starts programs",
    "multiprocessing": "starts programs",
    "http.server": "listens on a port",
    "socket": "listens on a port",
    "socketserver": "listens on a port",
    "tests.support.studio": "listens on a port",
    "tests.support.redis_servers": "starts a Redis",
    "bench": "runs a benchmark",
    "torch": "uses torch",
    "transformers": "uses torch",
}
"""Import of a test's module -> why its tests are left out."""

REASONS = pytest.StashKey[Counter[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what starts something."""
    reasons = {item: why_left_out(item) for item in items}
    left_out = [item for item, reason in reasons.items() if reason]
    config.stash[REASONS] = Counter(reason for reason in reasons.values() if reason)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item, reason in reasons.items() if not reason]


def why_left_out(item: pytest.Item) -> str:
    """Why a test is none for `make quick`; empty when it is one."""
    taken = STARTS.keys() & set(getattr(item, "fixturenames", ()))
    if taken:
        return STARTS[min(taken)]
    if item.get_closest_marker("slow"):
        return "is slow"
    if "perf_counter" in inspect.getsource(getattr(item, "function", why_left_out)):
        return "measures time"
    return next((PROGRAMS[name] for name in sorted(imports_of(item.path)) if name in PROGRAMS), "")


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Modules that a file imports, and the packages that they are in."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(part for name in names for part in (name, name.partition(".")[0]))


class Workers:
    """With `-n` the tests are collected by worker processes, which tell the one that prints."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In a worker."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["left_out"] = dict(session.config.stash.get(REASONS, Counter()))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """In the process that prints. Every worker has collected all tests."""
        node.config.stash[REASONS] = Counter(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_configure(config: pytest.Config) -> None:
    """Registers what goes between the processes; few examples for property tests that do not say how many."""
    hypothesis.settings.register_profile("quick", max_examples=20)
    hypothesis.settings.load_profile("quick")
    config.pluginmanager.register(Workers())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says what was left out."""
    reasons = config.stash.get(REASONS, Counter())
    if reasons:
        said = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"left out {reasons.total():,} tests: {said}. `make test` runs them all.")
