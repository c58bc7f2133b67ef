"""The choice of this machine: timed once, kept in a file that all processes read."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from model.kernels.choice import EngineChoice, ProductShape

log = logging.getLogger(__name__)

CHOICE_FILE = "engine.json"

TIMING_REVISION = 6
"""Raised when something further is timed, so that what was kept before is timed again."""


def choose_engine(shape: ProductShape, device: str, folder: Path | None = None, gpu: str = "") -> EngineChoice:
    """The choice for encoders of this shape on this machine: as kept in `folder`, else timed now and kept there.
    `device`: cpu or cuda, `gpu` its name.

    Processes that ask at the same time wait for one timing. A folder that cannot be written to costs a timing per
    process, and is logged."""
    if folder is None:
        return _time(shape, device)
    path, name = folder / CHOICE_FILE, key_of(shape, gpu or device)
    if (kept := _read(path).get(name)) is not None:
        return kept
    try:
        with _locked(path):
            if (kept := _read(path).get(name)) is not None:
                return kept
            choice = _time(shape, device)
            _write(path, name, choice)
            return choice
    except OSError as error:
        log.warning("the timing of the encoder's products cannot be kept in %s: %s", path, error.strerror)
        return _time(shape, device)


def kept_choice(folder: Path, shape: ProductShape) -> tuple[str, EngineChoice] | None:
    """What this machine was timed for last with encoders of this shape, if it is kept in `folder`: `cpu` or the GPU's
    name, and its timing. Reads one file."""
    before, _, sizes = key_of(shape, "|").rpartition("|")
    found = [
        (name.removeprefix(before).removesuffix(sizes), kept)
        for name, kept in _read(folder / CHOICE_FILE).items()
        if name.startswith(before) and name.endswith(sizes)
    ]
    return found[-1] if found else None


def key_of(shape: ProductShape, device: str) -> str:
    """What a timing holds for: CPU, libraries, device, shape."""
    return f"{cpu_model()} | {library_version()} | {device} {shape.width}x{shape.inner}x{shape.heads}"


@lru_cache(maxsize=1)
def cpu_model() -> str:
    """The processor's name with its family and flags' count, since a cloud's "AMD EPYC" is several."""
    import platform

    fields: dict[str, str] = {}
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    if "model name" not in fields:
        return f"{platform.machine()} {platform.processor()}".strip()
    flags = len(fields.get("flags", "").split())
    return f"{fields['model name']} {fields.get('cpu family', '')}/{fields.get('model', '')}/{flags}"


@lru_cache(maxsize=1)
def library_version() -> str:
    """torch's, whose kernels are timed, without importing it, and that of what is timed."""
    from importlib import metadata

    return f"torch {metadata.version('torch')}, timing {TIMING_REVISION}"


@lru_cache(maxsize=16)
def _time(shape: ProductShape, device: str) -> EngineChoice:
    from model.kernels.timing import time_engine

    choice = time_engine(shape, device)
    log.info("timed the encoder's products in %.2f s: %s", choice.seconds, choice.describe())
    return choice


def _read(path: Path) -> dict[str, EngineChoice]:
    """What is kept; a damaged entry, or one of another release, counts as none."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        items = raw.items()
    except (OSError, ValueError, AttributeError):
        return {}
    found = {}
    for name, data in items:
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            found[name] = EngineChoice.from_json(data)
    return found


def _write(path: Path, name: str, choice: EngineChoice) -> None:
    everything = {key: kept.to_json() for key, kept in _read(path).items()} | {name: choice.to_json()}
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(everything, indent=1), encoding="utf-8")
    os.replace(scratch, path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        with suppress(OSError):  # some network file systems have no locks: two timings then, of which one stays
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
