"""What a reader must know of the machine that a bench ran on; nothing that would tell which one it was."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.support.rig import ROOT

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
