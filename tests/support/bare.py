"""A virtual environment that holds what an exported directory needs, and nothing else."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("onnxruntime", "tokenizers")
ARTIFACTS = Path(__file__).parents[2] / "artifacts"


def bare_python() -> Path:
    """Its Python; built once a checkout and set of versions, with what the package index or uv's cache has."""
    wanted = [f"{name}=={version(name)}" for name in PACKAGES]
    directory = ARTIFACTS / f"bare-{'-'.join(map(version, PACKAGES))}"
    python, ready = directory / "bin" / "python", directory / "ready"
    ARTIFACTS.mkdir(exist_ok=True)
    with (ARTIFACTS / "bare.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            uv = [sys.executable, "-m", "uv", "--quiet"]
            subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, str(directory)], check=True)
            subprocess.run([*uv, "pip", "install", "--python", str(python), *wanted], check=True)
            ready.touch()
    return python
