"""What the processes of a running product have imported, by package, and what that takes of their memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.support.rig import ROOT

FOLDER = ROOT / "tests" / "support" / "noted_imports"
"""On PYTHONPATH it makes processes note their imports in the folder that NOTED_IMPORTS names."""

LEAST_MB = 1.0
"""Packages below it are told together."""


def rows_of(
    folder: Path, processes: list[psutil.Process], role_of: Callable[[psutil.Process], str]
) -> Iterator[dict[str, object]]:
    """A row for each process and package, the largest first."""
    for process in processes:
        path = folder / f"{process.pid}.json"
        if not path.is_file() or "python" not in Path(process.exe()).name:  # Redis began as Python, which is gone
            continue
        packages = json.loads(path.read_text(encoding="utf-8"))
        ordered = sorted(packages, key=lambda name: -packages[name]["mb"])
        large = [name for name in ordered if packages[name]["mb"] >= LEAST_MB]
        for name in large:
            yield _row(role_of(process), name, [packages[name]])
        rest = [row for name, row in packages.items() if name not in large]
        yield _row(role_of(process), f"{len(rest)} others", rest)
        yield _row(role_of(process), "all", list(packages.values()))


def _row(process: str, package: str, rows: list[dict[str, float]]) -> dict[str, object]:
    total = {key: sum(row[key] for row in rows) for key in ("modules", "mb", "seconds")}
    return {
        **{"process": process, "package": package, "modules": int(total["modules"])},
        **{"anon_mb": round(total["mb"], 1), "cpu_s": round(total["seconds"], 2)},
    }
