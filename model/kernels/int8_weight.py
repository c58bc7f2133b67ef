"""A weight in int8 with a step for each output channel, multiplied by oneDNN or FBGEMM: exactly, on every CPU.

CPUs without VNNI (AVX2 alone) add two products of bytes at 16 bits and cut off what is larger (vpmaddubsw). There a
channel's step is chosen so that no two neighbouring weights can get so far, which costs far less than a bit of all
weights (mean cosine of MiniLM's pooled layers .9993, with 7 bits .9977, cut off .9957). Every packed weight is asked
for its largest sums before it is used, so that nothing is cut off unseen.
FBGEMM is for those CPUs: it makes no code for new numbers of rows, and rounds while it multiplies (Zen 3: one text in
.51 of float32's time, with oneDNN .68; in bulk both .66). Both are private to torch.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from model.kernels.choice import FBGEMM, INT8

STEPS, LARGEST = 255, 127


class SumsCutOff(RuntimeError):
    """A product whose sums are not exact on this CPU."""


class Int8Weight(Protocol):
    """round(x / step) W' step + b."""

    def times(self, hidden: Tensor, step: float, zero: int, out: torch.dtype, activation: str) -> Tensor:
        """float32 [n, in] -> `out` [n, out]; what is beyond 0 to 255 steps from `zero` is cut off. `activation`: none
        or gelu."""
        ...


def pack_int8(weight: Tensor, bias: Tensor | None, kernel: str) -> Int8Weight:
    """A weight [out, in] for `int8` (oneDNN) or `fbgemm`. Raises SumsCutOff."""
    steps = step_of(weight)
    rounded = (weight / steps[:, None]).round().to(torch.int8)
    build = _Fbgemm if kernel == FBGEMM else _OneDnn
    packed = build(rounded, steps, bias)
    if not _is_exact(packed, rounded, steps, bias):
        raise SumsCutOff("sums would be cut off on this CPU")
    return packed


def step_of(weight: Tensor) -> Tensor:
    """A step for each row of [out, in]; [out]."""
    largest = largest_of_pairs(weight) if cuts_off_pairs() else weight.abs().amax(1)
    return largest.clamp(min=1e-9) / LARGEST


def largest_of_pairs(weight: Tensor) -> Tensor:
    """The largest sum of two neighbours of one sign, in each row of [out, in]; [out].

    A step of a 127th of it keeps both within 128 after rounding, and 255 * 128 < 2^15. Two neighbours of different
    signs come to no more than the larger one."""
    pairs = F.pad(weight, (0, weight.shape[1] % 2)).view(len(weight), -1, 2)
    return torch.maximum(pairs.clamp(min=0).sum(2), pairs.clamp(max=0).sum(2).neg_()).amax(1)


@lru_cache(maxsize=1)
def cuts_off_pairs() -> bool:
    """Whether this CPU adds two products of bytes at 16 bits, as those with AVX2 and no VNNI do."""
    rounded = torch.full((64, 64), LARGEST, dtype=torch.int8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its quantisation deprecated, once a process
        return not _is_exact(_OneDnn(rounded, torch.ones(64), None), rounded, torch.ones(64), None)


def int8_kernels() -> tuple[str, ...]:
    """Those that are worth timing here; none where torch has no such product."""
    try:
        return (INT8, FBGEMM) if cuts_off_pairs() else (INT8,)
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):
        return ()


def _is_exact(weight: Int8Weight, rounded: Tensor, steps: Tensor, bias: Tensor | None) -> bool:
    """Whether a product of the largest bytes with these weights [out, in] gives what integers give. No other input has
    two neighbouring products whose sum is larger: with one sign both are at their largest, with two signs the sum is
    no larger than one product, 255 * 127 < 2^15. (oneDNN cuts rows of more than 256 bytes up; with a length that is no
    multiple of 4 it adds other neighbours, and is refused.)"""
    largest = torch.full((1, rounded.shape[1]), float(STEPS))
    found = weight.times(largest, 1.0, 0, torch.float32, "none")[0].double()
    expected = STEPS * rounded.sum(1, dtype=torch.int32).double() * steps
    if bias is not None:
        found = found - bias
    # One sum of two that is cut off loses 128 steps at least; float32 loses 4 at most of the largest sum, 2^26 steps.
    least = 64 * steps + (0 if bias is None else bias.abs() * 2.0**-20)
    return bool(((found - expected).abs() <= least).all())


class _OneDnn:
    def __init__(self, rounded: Tensor, steps: Tensor, bias: Tensor | None) -> None:
        self._steps, self._bias = steps, bias
        self._zeros = torch.zeros(len(rounded), dtype=torch.int32)
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._apply = torch.ops.onednn.qlinear_pointwise

    def times(self, hidden: Tensor, step: float, zero: int, out: torch.dtype, activation: str) -> Tensor:
        weight = (self._packed, self._steps, self._zeros)
        rounded = _bytes(hidden, step, zero)
        return self._apply(rounded, step, zero, *weight, self._bias, 1.0, 0, out, activation, [], "none")


class _Fbgemm:
    def __init__(self, rounded: Tensor, steps: Tensor, bias: Tensor | None) -> None:
        zeros = torch.zeros(len(rounded), dtype=torch.int64)
        weight = torch._make_per_channel_quantized_tensor(rounded, steps.double(), zeros, 0)
        bias = torch.zeros(len(rounded)) if bias is None else bias
        self._packed: object = torch.ops.quantized.linear_prepack(weight, bias)
        self._apply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default

    def times(self, hidden: Tensor, step: float, zero: int, out: torch.dtype, activation: str) -> Tensor:
        found = self._apply(hidden, step, zero, self._packed)
        return (torch.ops.aten.gelu_(found) if activation == "gelu" else found).to(out)


def _bytes(hidden: Tensor, step: float, zero: int) -> Tensor:
    """Rounded to 0..255, cut off beyond. torch's cast to bytes takes four times as long as its own quantisation, whose
    storage is read here as what it holds."""
    found = torch.quantize_per_tensor(hidden, step, zero, torch.quint8)
    return torch.empty(0, dtype=torch.uint8).set_(found.untyped_storage(), 0, found.shape, found.stride())
