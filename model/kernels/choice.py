"""What computes an encoder on this machine, chosen by timing its own products once and kept for all processes.

A CPU's flags say what it can multiply, not how fast: a Xeon with avx512_bf16 and no AMX reaches 153 GFLOP/s in float32
and 83 in bfloat16. So number format (of serving and of training apart), matrix product, attention and row padding are
timed (model/kernels/timing.py), in under half a second, and kept in a file by CPU model, library version and shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

FP32, BF16, INT8 = "fp32", "bf16", "int8"

FBGEMM = "fbgemm"
"""The other matrix product in int8, for CPUs without VNNI; `int8` is oneDNN's."""

LEAST_SPEED_UP = 1.05
"""How many times faster bfloat16 must be to be taken: it rounds, and float32 is exact."""

LEAST_INT8_SPEED_UP = 1.3
"""How many times faster whole layers in int8 must be than in the faster float format for int8 to be taken: it rounds
more, every text that is known has to be read again, and products alone (which are half of a layer's time where they are
quick) promise more than there is to gain."""


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
    training_kernel: str
    training_gflops: float
    kernels: Mapping[str, float]
    products_at: Sequence[int]
    new_rows_ms: float
    layer_ms: float


@dataclass(frozen=True)
class FormatTiming:
    """One number format as timed. `kernel`: the faster matrix product, `gflops` what it reaches with one thread,
    `training_kernel` and `training_gflops` the same forwards and backwards; `kernels` all of them in serving.
    `products_at`: the lengths of a text, of those that were tried, at which two batched products beat torch's fused
    attention. `new_rows_ms`: what a product with a number of rows that was not seen before costs on top of one that
    was. `layer_ms`: what a whole layer takes, with attention and norms, of texts as they are served (LAYER_TEXTS); 0
    where that was not timed."""

    kernel: str
    gflops: float
    training_gflops: float
    kernels: Mapping[str, float] = field(default_factory=dict)
    products_at: tuple[int, ...] = ()
    new_rows_ms: float = 0.0
    layer_ms: float = 0.0
    training_kernel: str = "plain"

    def to_json(self) -> TimingJson:
        """Plain JSON types, readable by `from_json`."""
        return {
            "kernel": self.kernel,
            "gflops": self.gflops,
            "training_kernel": self.training_kernel,
            "training_gflops": self.training_gflops,
            "kernels": dict(self.kernels),
            "products_at": self.products_at,
            "new_rows_ms": self.new_rows_ms,
            "layer_ms": self.layer_ms,
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
            float(data["layer_ms"]),
            data["training_kernel"],
        )


class ChoiceJson(TypedDict):
    seconds: float
    formats: dict[str, TimingJson]


@dataclass(frozen=True)
class EngineChoice:
    """The timings of what one machine can do, and what follows from them. `seconds`: what the timing took."""

    formats: Mapping[str, FormatTiming]
    seconds: float = 0.0

    @property
    def serving(self) -> str:
        """The format in which texts are encoded, if the encoder suits it: int8 is taken by encoders whose pooled layers
        stay what they are, the others are read in `float_serving`."""
        return INT8 if self.int8_speed_up >= LEAST_INT8_SPEED_UP else self.float_serving

    @property
    def float_serving(self) -> str:
        """The faster of the two float formats."""
        return self._faster("gflops")

    @property
    def int8_speed_up(self) -> float:
        """How many times faster whole layers are in int8 than in the faster float format; 0 where nobody knows."""
        own, other = self.formats.get(INT8), self.formats[self.float_serving]
        return other.layer_ms / own.layer_ms if own is not None and own.layer_ms > 0 else 0.0

    @property
    def training(self) -> str:
        """The format in which the encoder is fine-tuned."""
        return self._faster("training_gflops")

    @property
    def training_kernel(self) -> str:
        """The matrix product of a fine-tune in float32."""
        return self.formats[FP32].training_kernel

    @property
    def plain_serving(self) -> str:
        """The format for encoders whose forward pass is `transformers`' own."""
        rates = {name: timing.kernels.get("plain", 0.0) for name, timing in self.formats.items()}
        return BF16 if rates[BF16] > LEAST_SPEED_UP * rates[FP32] else FP32

    def _faster(self, what: str) -> str:
        rates = {name: float(getattr(timing, what)) for name, timing in self.formats.items()}
        return BF16 if rates.get(BF16, 0.0) > LEAST_SPEED_UP * rates[FP32] else FP32

    def describe(self) -> str:
        """`serving fp32 (GFLOP/s a core: fp32 74, bf16 9), training fp32, matrix product plain`; where int8 was timed,
        also `int8 1.6 times as fast in whole layers`."""
        parts = []
        for task, chosen, what in (
            ("serving", self.serving, "gflops"),
            ("training", self.training, "training_gflops"),
        ):
            rates = {name: getattr(timing, what) for name, timing in self.formats.items()}
            known = [f"{name} {rate:.0f}" for name, rate in rates.items() if rate]
            parts.append(f"{task} {chosen}" + (f" (GFLOP/s a core: {', '.join(known)})" if known else ""))
        told = f"{', '.join(parts)}, matrix product {self.formats[self.serving].kernel}"
        if not self.int8_speed_up:
            return told
        wanted = f", taken by itself from {LEAST_INT8_SPEED_UP} on" if self.serving != INT8 else ""
        times = f"{self.int8_speed_up:.2f} times as fast as {self.float_serving} in whole layers"
        return f"{told}; int8 {times}{wanted}"

    def to_json(self) -> ChoiceJson:
        """Plain JSON types, readable by `from_json`."""
        return {"seconds": self.seconds, "formats": {name: timing.to_json() for name, timing in self.formats.items()}}

    @classmethod
    def from_json(cls, data: ChoiceJson) -> EngineChoice:
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError on foreign data."""
        known = (FP32, BF16, *((INT8,) if INT8 in data["formats"] else ()))
        formats = {name: FormatTiming.from_json(data["formats"][name]) for name in known}
        return cls(formats, float(data["seconds"]))
