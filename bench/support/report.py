"""Percentiles, bars and tables of the benches, and what a reader must know of the machine that they ran on."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.rig import ROOT


def command(description: str | None) -> argparse.ArgumentParser:
    """The command line of a bench, whose docstring describes it: `--json` for one object a row."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    return parser


def numbers(text: str) -> list[int]:
    """Of an option: comma-separated numbers; none in an empty text."""
    return [int(part) for part in text.split(",") if part]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """n, p50, p99 and max of durations in seconds, given in milliseconds."""
    values = np.asarray(seconds) * 1000
    p50, p99 = np.percentile(values, [50, 99])
    return {
        "n": len(values),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
        "max_ms": round(values.max(), 1),
    }


def judge(measured: float, sense: str, bound: float, unit: str = "") -> dict[str, Any]:
    """The fields `bar` ("<= 20 ms"), `measured` and `met` of a row, which the performance page lists beside each other;
    `sense` is <= or >=. A table leaves `measured` out: it is one of the row's own columns."""
    if sense not in ("<=", ">="):
        raise ValueError(f"sense {sense!r} is neither <= nor >=")
    met = measured <= bound if sense == "<=" else measured >= bound
    return {"measured": measured, "bar": f"{sense} {bound:g} {unit}".rstrip(), "met": bool(met)}


AUTO_WITHIN = 1.05
"""PRECISION=auto may cost so many times what the better number format costs."""


def judge_auto(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether the first row, PRECISION=auto, costs no more `cpu_s` than the better of the others."""
    auto, *others = (float(row["cpu_s"]) for row in rows)
    return judge(round(auto / min(others), 3), "<=", AUTO_WITHIN, "x the better one")


def show(title: str, rows: Sequence[Mapping[str, Any]], as_json: bool = False) -> None:
    """Print rows as a table, or as one JSON object a row."""
    if as_json:
        for row in rows:
            print(json.dumps({"bench": title, **row}))
        return
    names = list(dict.fromkeys(name for row in rows for name in row if name != "measured"))
    widths = [max(len(name), *(len(str(row.get(name, ""))) for row in rows)) for name in names]
    print(f"\n{title}")
    print("  ".join(name.rjust(width) for name, width in zip(names, widths, strict=True)))
    for row in rows:
        print("  ".join(str(row.get(name, "")).rjust(width) for name, width in zip(names, widths, strict=True)))


FLAGS = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8", "sha_ni", "asimd", "bf16", "i8mm", "sve"),
)
"""Instruction sets that decide how fast matrix products and digests are."""

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "Flask", "gunicorn", "redis", "rq")


def describe_machine() -> dict[str, str]:
    """Facts by name."""
    info = _cpu_info()
    flags = set(info.get("flags", info.get("Features", "")).split())
    named = ("family", "cpu family"), ("model", "model")
    numbers = ", ".join(f"{name} {info[key]}" for name, key in named if key in info)
    return {
        "CPU": f"{info.get('model name', platform.machine())}{f' ({numbers})' if numbers else ''}",
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "instruction sets": " ".join(flag for flag in FLAGS if flag in flags) or "unknown",
        "GPU": _gpu(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {found}" for name in LIBRARIES if (found := _installed(name))),
    }


def describe_commit() -> str:
    """Short hash and date of what is checked out; "" outside of a checkout."""
    command = ["git", "log", "-1", "--format=%h of %cs"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _cpu_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _gpu() -> str:
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "none"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
