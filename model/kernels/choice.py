"""What computes an encoder on this machine, chosen by timing its own products once and kept for all processes.

A CPU's flags say what it can multiply, not how fast: a Xeon with avx512_bf16 and no AMX reaches 153 GFLOP/s in float32
and 83 in bfloat16. So number format (of serving and of training apart), matrix product, attention and row padding are
timed (model/kernels/timing.py), in under .3 s, and kept in a file by CPU model, library version and shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

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
