"""int8 matrix products: signed weights, scaled per output channel, times unsigned hidden states.

What a product reads after a norm lies in much the same range in every text, but for a few channels far from 0 (Dettmers
et al. 2022, LLM.int8()). So channels are shifted by their mean and scaled as SmoothQuant does (Xiao et al. 2023), both
folded into weights and bias, and all are rounded by one step that sample texts gave. After GELU a single token may be
ten times as large as all others: there each row has a step of its own.
Hidden states, norms and sums stay float32.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from model.kernels.choice import FBGEMM, INT8
from model.kernels.int8_weight import STEPS, pack_int8

log = logging.getLogger(__name__)

SMOOTHING = 0.7
"""How far the channels' ranges are evened out at the cost of the weights'. Mean cosine of MiniLM's last pooled layer to
float32 at .3, .5, .65, .75, .85: .9984, .9990, .9992, .9991, .9991 (150 texts of five sets)."""

GELU_LEAST, GELU_ZERO = 0.17, 32
"""GELU is never below -.17; the step that stands for 0 leaves room for it at every row's own step."""


@dataclass(frozen=True)
class InputRange:
    """What a product read on sample texts, per channel [in]."""

    mean: Tensor
    low: Tensor
    high: Tensor


class RangedInt8Linear:
    """x W' + b of hidden states whose range is known. `out`: the format of what it gives, but for `gelu`, which gives
    float32 for the product that reads it. `kernel`: see model/kernels/int8_weight.py."""

    def __init__(
        self, weight: Tensor, bias: Tensor, seen: InputRange, out: torch.dtype = torch.float32, kernel: str = INT8
    ) -> None:
        weight, bias, self._out = weight.float(), bias.float(), out
        reach = torch.maximum(seen.high - seen.mean, seen.mean - seen.low).clamp(min=1e-4)
        scale = reach**SMOOTHING / weight.abs().amax(0).clamp(min=1e-4) ** (1 - SMOOTHING)
        scale /= scale.mean()
        low = float(((seen.low - seen.mean) / scale).min())
        high = float(((seen.high - seen.mean) / scale).max())
        self._step = max(high - low, 1e-6) / STEPS
        self._zero = min(STEPS, max(0, round(-low / self._step)))
        self._scale, self._shift = 1 / scale, -seen.mean / scale
        self._weight = pack_int8(weight * scale, bias + F.linear(seen.mean, weight), kernel)

    def __call__(self, hidden: Tensor) -> Tensor:
        return self._times(hidden, self._out)

    def gelu(self, hidden: Tensor) -> Tensor:
        return self._times(hidden, torch.float32, "gelu")

    def add(self, hidden: Tensor, residual: Tensor) -> Tensor:
        return self._times(hidden, torch.float32).add_(residual)

    def _times(self, hidden: Tensor, out: torch.dtype, activation: str = "none") -> Tensor:
        scaled = torch.addcmul(self._shift, hidden.float(), self._scale)
        return self._weight.times(scaled, self._step, self._zero, out, activation)


class RowInt8Linear:
    """x W' + b of what GELU gave, each row rounded by its own largest value. `hidden` is overwritten."""

    def __init__(self, weight: Tensor, bias: Tensor, kernel: str = INT8) -> None:
        self._weight, self._bias = pack_int8(weight.float(), None, kernel), bias.float()

    def __call__(self, hidden: Tensor) -> Tensor:
        least = GELU_LEAST * (STEPS - GELU_ZERO) / GELU_ZERO
        step = hidden.amax(1, keepdim=True).clamp_(min=least).div_(STEPS - GELU_ZERO)
        found = self._weight.times(hidden.mul_(step.reciprocal()), 1.0, GELU_ZERO, torch.float32, "none")
        return found.mul_(step).add_(self._bias)

    def gelu(self, hidden: Tensor) -> Tensor:
        return F.gelu(self(hidden))

    def add(self, hidden: Tensor, residual: Tensor) -> Tensor:
        return self(hidden).add_(residual)


TOLERANCE = 0.02
"""Largest difference to float32 as a share of the sum of absolute terms; a step is .004 of the largest number."""

_NAMES = {INT8: "oneDNN's int8 product", FBGEMM: "FBGEMM's int8 product"}


@lru_cache(maxsize=64)
def int8_works(rows: int, columns: int, kernel: str = INT8) -> bool:
    """Whether both products are as close to float32 as rounding allows, with a [rows, columns] weight, also
    at the largest ones. Says so if not."""
    generator = torch.Generator().manual_seed(0)
    weight = (torch.rand(rows, columns, generator=generator) - 0.5) * (12 / columns) ** 0.5
    weight[0] = weight.abs().max()  # every product of the first channel is of the largest size
    bias, residual = torch.linspace(0, 1, rows), torch.randn(5, rows, generator=generator)
    hidden = torch.rand(5, columns, generator=generator) * 2 - 1
    hidden[0] = 1.0
    seen = InputRange(torch.zeros(columns), -torch.ones(columns), torch.ones(columns))
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its quantisation deprecated, once a process
            ranged, by_row = (
                RangedInt8Linear(weight, bias, seen, kernel=kernel),
                RowInt8Linear(weight, bias, kernel),
            )
            exact = F.linear(hidden, weight, bias)
            kept = F.linear(F.gelu(hidden), weight, bias)
            differences = [
                ranged(hidden) - exact,
                ranged.gelu(hidden) - F.gelu(exact),
                ranged.add(hidden, residual.clone()) - exact - residual,
                by_row(F.gelu(hidden)) - kept,
                by_row.add(F.gelu(hidden), residual.clone()) - kept - residual,
            ]
            # Of the sum of absolute terms: rounding errors add up with it.
            unit = F.linear(torch.ones(1, columns), weight.abs()).clamp(min=1)
            difference = max(float((one / unit).abs().max()) for one in differences)
    except (RuntimeError, AttributeError, NotImplementedError, TypeError) as error:
        log.info("%s is not offered: %s", _NAMES[kernel], str(error).split("\n", 1)[0])
        return False
    if difference < TOLERANCE:
        return True
    log.info("%s is not offered: it differs by %.2g", _NAMES[kernel], difference)
    return False
