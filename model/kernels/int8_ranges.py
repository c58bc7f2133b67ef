"""What the products of an encoder read on sample texts, recorded in float32 and kept beside what was timed."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.kernels.int8_product import InputRange, RangedInt8Linear, RowInt8Linear
from model.kernels.int8_trial import COSINE
from model.kernels.matrix_product import Linear, PlainLinear

log = logging.getLogger(__name__)

DIGEST = "digest"

MOST_KEPT = 32
"""Encoders whose ranges are kept on a machine: the base model's and those of the last fine-tunes; .1 to .3 MB each."""

GELU_READER = "output.dense"
"""The product after GELU, which has a step for every row; attention's own output has a longer name."""

Ranges = Mapping[str, InputRange]
"""By the name of what is read (model/encoder/packed.py)."""


@dataclass
class RangeRecorder:
    """Makes float32 products that note what they read."""

    _seen: dict[str, list[InputRange]] = field(default_factory=dict)
    _rows: dict[str, list[int]] = field(default_factory=dict)

    def pack(self, name: str, weight: Tensor, bias: Tensor) -> Linear:
        """A product that notes what it reads under `name`."""
        return _Recording(self, name, weight, bias)

    def note(self, name: str, hidden: Tensor) -> None:
        """Adds what a product read [n, in]."""
        self._seen.setdefault(name, []).append(InputRange(hidden.mean(0), hidden.amin(0), hidden.amax(0)))
        self._rows.setdefault(name, []).append(len(hidden))

    @property
    def ranges(self) -> Ranges:
        """Over all that was noted."""
        return {name: _joined(seen, self._rows[name]) for name, seen in self._seen.items()}


class _Recording(PlainLinear):
    def __init__(self, recorder: RangeRecorder, name: str, weight: Tensor, bias: Tensor) -> None:
        super().__init__(weight, bias)
        self._recorder, self._name = recorder, name

    def __call__(self, hidden: Tensor) -> Tensor:
        self._recorder.note(self._name, hidden)
        return super().__call__(hidden)

    def gelu(self, hidden: Tensor) -> Tensor:
        self._recorder.note(self._name, hidden)
        return super().gelu(hidden)

    def add(self, hidden: Tensor, residual: Tensor) -> Tensor:
        self._recorder.note(self._name, hidden)
        return super().add(hidden, residual)


@dataclass(frozen=True)
class Int8Pack:
    """Makes int8 products over these ranges; `attention`: the format in which attention is computed; `kernel`: what
    multiplies (model/kernels/int8_weight.py)."""

    ranges: Ranges
    attention: torch.dtype
    kernel: str

    def __call__(self, name: str, weight: Tensor, bias: Tensor) -> Linear:
        if name.endswith(GELU_READER) and not name.endswith(f"attention.{GELU_READER}"):
            return RowInt8Linear(weight, bias, self.kernel)
        out = self.attention if name.endswith(".self") else torch.float32
        return RangedInt8Linear(weight, bias, self.ranges[name], out, self.kernel)


@dataclass(frozen=True)
class Tried:
    """An encoder as tried in int8: the ranges, and the mean cosine of its pooled layers to float32."""

    ranges: Ranges
    cosine: float


def read_tried(path: Path) -> Tried | None:
    """What is kept under this path; None when there is nothing, or nothing that is as it was written."""
    parts: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            cosine = float(told[COSINE])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        if not tensors or told[DIGEST] != _digest_of(tensors, told[COSINE]):
            log.warning("%s is damaged: the encoder is tried in int8 anew", path)
            return None
        for key, value in tensors.items():
            name, _, part = key.rpartition("|")
            parts.setdefault(name, {})[part] = value
        found = {name: InputRange(own["mean"], own["low"], own["high"]) for name, own in parts.items()}
        with suppress(OSError):
            os.utime(path)  # those of MOST_KEPT fine-tunes since do not push it out
        return Tried(found, cosine)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def keep_tried(path: Path, tried: Tried) -> None:
    """Writes it whole or not at all; the oldest files beyond MOST_KEPT go. A folder that cannot be written to costs
    every process its own trial, and is logged."""
    tensors = {}
    for name, seen in tried.ranges.items():
        for part in ("mean", "low", "high"):
            tensors[f"{name}|{part}"] = getattr(seen, part).contiguous()
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        cosine = f"{tried.cosine:.6f}"
        save_file(tensors, scratch, {COSINE: cosine, DIGEST: _digest_of(tensors, cosine)})
        os.replace(scratch, path)
        kept = sorted(path.parent.glob("*.safetensors"), key=lambda own: own.stat().st_mtime, reverse=True)
        for old in kept[MOST_KEPT:]:
            with suppress(OSError):
                old.unlink()
    except (OSError, SafetensorError) as error:
        log.warning("the ranges of the encoder's int8 products cannot be kept in %s: %s", path.parent, error)


def _digest_of(tensors: Mapping[str, Tensor], cosine: str) -> str:
    """Of names, numbers and cosine: safetensors itself has none."""
    found = hashlib.sha256(cosine.encode())
    for name, value in sorted(tensors.items()):
        found.update(name.encode())
        found.update(value.float().numpy().tobytes())
    return found.hexdigest()


def _joined(seen: list[InputRange], rows: list[int]) -> InputRange:
    shares = torch.tensor(rows, dtype=torch.float32) / sum(rows)
    mean = (torch.stack([own.mean for own in seen]) * shares[:, None]).sum(0)
    low, high = (torch.stack([getattr(own, end) for own in seen]) for end in ("low", "high"))
    return InputRange(mean, low.amin(0), high.amax(0))
