"""Notes what each package adds to a process's memory while it is imported. Python runs this file at its start wherever
its folder is on PYTHONPATH; what was noted goes to `$NOTED_IMPORTS/<process id>.json`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Noting(MetaPathFinder):
    """Asks the other finders, and measures what they found while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages: dict[str, dict[str, float]] = {}
        self._inner = [(0.0, 0.0)]  # of each import that runs: what imports within it took
        self._asking = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module's spec, with a loader that is measured."""
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._measure(name, spec)
                return spec
        return None

    def _measure(self, name: str, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        run = getattr(loader, "exec_module", None)
        if run is None:
            return

        def measured(module: ModuleType) -> None:
            before, began = memory_mb(), time.thread_time()
            self._inner.append((0.0, 0.0))
            try:
                run(module)
            finally:
                own = memory_mb() - before, time.thread_time() - began
                inner = self._inner.pop()
                outer = self._inner.pop() if self._inner else (0.0, 0.0)
                self._inner.append((outer[0] + own[0], outer[1] + own[1]))
                self._note(name.partition(".")[0], own[0] - inner[0], own[1] - inner[1])
                if len(self._inner) == 1:
                    self._write()

        try:
            loader.exec_module = measured
        except AttributeError:  # built into the interpreter
            return

    def _note(self, package: str, mb: float, seconds: float) -> None:
        row = self.packages.setdefault(package, {"modules": 0, "mb": 0.0, "seconds": 0.0})
        for key, value in (("modules", 1), ("mb", mb), ("seconds", seconds)):
            row[key] += value

    def _write(self) -> None:
        path = self.folder / f"{os.getpid()}.json"
        path.with_suffix(".new").write_text(json.dumps(self.packages), encoding="utf-8")
        os.replace(path.with_suffix(".new"), path)


def memory_mb() -> float:
    """Resident pages of no file, in MB."""
    with open("/proc/self/statm", "rb") as file:  # as text it would import the encoding, and so ask again
        _, resident, shared, *_ = file.read().split()
    return (int(resident) - int(shared)) * PAGE_MB


def begin_anew(noting: Noting) -> None:
    """In a fork: what was imported before is shared with the process that it was forked off."""
    noting.packages = {}
    noting._inner = [(0.0, 0.0)]
    noting._write()


if folder := os.environ.get("NOTED_IMPORTS"):
    noting = Noting(Path(folder))
    sys.meta_path.insert(0, noting)
    os.register_at_fork(after_in_child=lambda: begin_anew(noting))
