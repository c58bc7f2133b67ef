"""What computes an encoder on this machine, chosen by timing its own products once and kept for all processes.

A CPU's flags say what it can multiply, not how fast: a Xeon with avx512_bf16 and no AMX reaches 153 GFLOP/s in float32
and 83 in bfloat16. So number format (of serving and of training apart), matrix product, attention and row padding are
timed (model/kernels/timing.py), in under .3 s, and kept in a file by CPU model, library version and shape.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FILE = "engine.json"

FP32, BF16 = "fp32", "bf16"

WORTH = 1.05
"""How many times faster bfloat16 must be to be taken: it rounds, and float32 is exact."""


@dataclass(frozen=True)
class ProductShape:
    """Sizes of an encoder's layers: hidden states, feed-forward, heads."""

    width: int
    inner: int
    heads: int

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """(out, in) of the products of one layer: query, key and value at once, output, and the feed-forward two."""
        return (
            (3 * self.width, self.width),
            (self.width, self.width),
            (self.inner, self.width),
            (self.width, self.inner),
        )


@dataclass(frozen=True)
class FormatTiming:
    """One number format as timed. `kernel`: the faster matrix product, `gflops` what it reaches with one thread,
    `training_gflops` forwards and backwards; `kernels` all of them. `products_at`: the lengths of a text, of those
    that were tried, at which two batched products beat torch's fused attention. `new_rows_ms`: what a product with a
    number of rows that was not seen before costs on top of one that was."""

    kernel: str
    gflops: float
    training_gflops: float
    kernels: Mapping[str, float] = field(default_factory=dict)
    products_at: tuple[int, ...] = ()
    new_rows_ms: float = 0.0


@dataclass(frozen=True)
class EngineChoice:
    """The timings of both formats on one machine, and what follows from them. `seconds`: what the timing took."""

    formats: Mapping[str, FormatTiming]
    seconds: float = 0.0

    @property
    def serving(self) -> str:
        """The format in which texts are encoded."""
        return self._faster("gflops")

    @property
    def training(self) -> str:
        """The format in which the encoder is fine-tuned."""
        return self._faster("training_gflops")

    @property
    def plain_serving(self) -> str:
        """The format for encoders whose forward pass is `transformers`' own."""
        rates = {name: timing.kernels.get("plain", 0.0) for name, timing in self.formats.items()}
        return BF16 if rates[BF16] > WORTH * rates[FP32] else FP32

    def _faster(self, what: str) -> str:
        rates = {name: float(getattr(timing, what)) for name, timing in self.formats.items()}
        return BF16 if rates.get(BF16, 0.0) > WORTH * rates[FP32] else FP32

    def describe(self) -> str:
        """`serving fp32 (GFLOP/s a core: fp32 74, bf16 9), training fp32, matrix product plain`"""
        parts = []
        for task, chosen, what in (
            ("serving", self.serving, "gflops"),
            ("training", self.training, "training_gflops"),
        ):
            rates = {name: getattr(timing, what) for name, timing in self.formats.items()}
            known = [f"{name} {rate:.0f}" for name, rate in rates.items() if rate]
            parts.append(f"{task} {chosen}" + (f" (GFLOP/s a core: {', '.join(known)})" if known else ""))
        return f"{', '.join(parts)}, matrix product {self.formats[self.serving].kernel}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, readable by `from_json`."""
        return {"seconds": self.seconds, "formats": {name: asdict(timing) for name, timing in self.formats.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EngineChoice:
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError on foreign data."""
        formats = {}
        for name in (FP32, BF16):
            item = dict(data["formats"][name])
            item["products_at"] = tuple(int(length) for length in item["products_at"])
            formats[name] = FormatTiming(**item)
        return cls(formats, float(data["seconds"]))


def choose_engine(shape: ProductShape, device: str, folder: Path | None = None, gpu: str = "") -> EngineChoice:
    """The choice for encoders of this shape on this machine: as kept in `folder`, else timed now and kept there.
    `device`: cpu or cuda, `gpu` its name.

    Processes that ask at the same time wait for one timing. A folder that cannot be written to costs a timing per
    process, and is logged."""
    if folder is None:
        return _time(shape, device)
    path, name = folder / FILE, key_of(shape, gpu or device)
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


def kept_choice(folder: Path, shape: ProductShape) -> EngineChoice | None:
    """What this machine was timed for with encoders of this shape, if it is kept in `folder`; reads one file."""
    machine, sizes = f"{cpu_model()} | {library_version()} | ", key_of(shape, "").rpartition(" ")[2]
    found = (kept for name, kept in _read(folder / FILE).items() if name.startswith(machine) and name.endswith(sizes))
    return next(found, None)


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


def library_version() -> str:
    """torch's, whose kernels are timed, without importing it."""
    from importlib import metadata

    return f"torch {metadata.version('torch')}"


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
