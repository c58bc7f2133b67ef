"""What computes an encoder on this machine, chosen by timing its own products once and kept for all processes.

A CPU's flags say what it can multiply, not how fast: a Xeon with avx512_bf16 and no AMX reaches 153 GFLOP/s in float32
and 83 in bfloat16. So number format (of serving and of training apart), matrix product, attention and row padding are
timed (model/kernels/timing.py), in under .3 s, and kept in a file by CPU model, library version and shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

FP32, BF16 = "fp32", "bf16"

LEAST_SPEED_UP = 1.05
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


class TimingJson(TypedDict):
    kernel: str
    gflops: float
    training_gflops: float
    kernels: Mapping[str, float]
    products_at: Sequence[int]
    new_rows_ms: float


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

    def to_json(self) -> TimingJson:
        """Plain JSON types, readable by `from_json`."""
        return {
            "kernel": self.kernel,
            "gflops": self.gflops,
            "training_gflops": self.training_gflops,
            "kernels": dict(self.kernels),
            "products_at": self.products_at,
            "new_rows_ms": self.new_rows_ms,
        }

    @classmethod
    def from_json(cls, data: TimingJson) -> FormatTiming:
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError on foreign data."""
        return cls(
            data["kernel"],
            data["gflops"],
            data["training_gflops"],
            data["kernels"],
            tuple(int(length) for length in data["products_at"]),
            data["new_rows_ms"],
        )


class ChoiceJson(TypedDict):
    seconds: float
    formats: dict[str, TimingJson]


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
        return BF16 if rates[BF16] > LEAST_SPEED_UP * rates[FP32] else FP32

    def _faster(self, what: str) -> str:
        rates = {name: float(getattr(timing, what)) for name, timing in self.formats.items()}
        return BF16 if rates.get(BF16, 0.0) > LEAST_SPEED_UP * rates[FP32] else FP32

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

    def to_json(self) -> ChoiceJson:
        """Plain JSON types, readable by `from_json`."""
        return {"seconds": self.seconds, "formats": {name: timing.to_json() for name, timing in self.formats.items()}}

    @classmethod
    def from_json(cls, data: ChoiceJson) -> EngineChoice:
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError on foreign data."""
        formats = {name: FormatTiming.from_json(data["formats"][name]) for name in (FP32, BF16)}
        return cls(formats, float(data["seconds"]))
