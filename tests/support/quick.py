"""`make quick`: the tests that start nothing, and what it left out. A plug-in: `pytest -p tests.support.quick`.

Left out are files that start programs, listen on a port, use torch or run a benchmark (by what they import: they are
not even loaded), and tests that start a Redis or load the packaged encoder (by the fixtures they take), measure time
(by their source) or are marked slow. Property tests try few examples. What is left is pure code: a fault in it is found
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
    "shared_redis": "start a Redis",
    "own_redis": "start a Redis",
    "minilm": "load the packaged encoder",
    "tiny_model": "use torch",
}
"""Fixture, taken by the test or by another fixture -> what such tests do."""

PROGRAMS = {
    "subprocess": "start programs",
    "multiprocessing": "start programs",
    "http.server": "listen on a port",
    "socket": "listen on a port",
    "socketserver": "listen on a port",
    "tests.support.studio": "listen on a port",
    "tests.support.certificate_authority": "listen on a port",
    "tests.support.redis_servers": "start a Redis",
    "bench": "run a benchmark",
    "torch": "use torch",
    "transformers": "use torch",
}
"""Import of a test's file -> what such files do."""

FILES, TESTS = pytest.StashKey[Counter[str]](), pytest.StashKey[Counter[str]]()
"""What was left out, by what it does."""


def pytest_configure(config: pytest.Config) -> None:
    """Registers what goes between the processes; few examples for property tests that do not say how many."""
    hypothesis.settings.register_profile("quick", max_examples=20)
    hypothesis.settings.load_profile("quick")
    config.stash[FILES], config.stash[TESTS] = Counter(), Counter()
    config.pluginmanager.register(Workers())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out files that start something."""
    if not (collection_path.name.startswith("test_") and collection_path.suffix == ".py"):
        return None
    reason = next((PROGRAMS[name] for name in sorted(imports_of(collection_path)) if name in PROGRAMS), "")
    config.stash[FILES][reason] += bool(reason)
    return True if reason else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out tests that start something."""
    reasons = {item: why_left_out(item) for item in items}
    config.stash[TESTS].update(reason for reason in reasons.values() if reason)
    config.hook.pytest_deselected(items=[item for item, reason in reasons.items() if reason])
    items[:] = [item for item, reason in reasons.items() if not reason]


def why_left_out(item: pytest.Item) -> str:
    """What a test does that `make quick` does not; empty when it is one for it."""
    if taken := STARTS.keys() & set(getattr(item, "fixturenames", ())):
        return STARTS[min(taken)]
    if item.get_closest_marker("slow"):
        return "are slow"
    measures = "perf_counter" in inspect.getsource(getattr(item, "function", why_left_out))
    return "measure time" if measures else ""


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
        config = session.config
        if hasattr(config, "workeroutput"):
            config.workeroutput["left_out"] = dict(config.stash[FILES]), dict(config.stash[TESTS])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """In the process that prints. Every worker has collected all tests."""
        files, tests = getattr(node, "workeroutput", {}).get("left_out", ({}, {}))
        node.config.stash[FILES], node.config.stash[TESTS] = Counter(files), Counter(tests)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says what was left out."""
    for kind, key in (("files", FILES), ("tests", TESTS)):
        counts = +config.stash[key]
        if counts:
            said = ", ".join(f"{count:,} that {reason}" for reason, count in counts.most_common())
            terminalreporter.write_line(f"left out {counts.total():,} {kind}: {said}")
    terminalreporter.write_line("`make test` runs them all.")
