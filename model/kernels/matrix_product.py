"""Matrix products of the packed forward: torch's own, or oneDNN's on weights that were reordered once.

Which is faster is the CPU's matter and timed (model/kernels/timing.py). On Zen 5 oneDNN's reaches 220 GFLOP/s where
`F.linear` reaches 95. On Zen 3 both reach 75, a new number of tokens costs oneDNN 1 to 2 ms a matrix for its code, and
weights that are not reordered stay mapped from the file, shared by all processes.
oneDNN's operators are private to torch, so each is tried against `F.linear` before it is relied on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

log = logging.getLogger(__name__)

PLAIN, ONEDNN = "plain", "onednn"

OUTPUT_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""Largest difference to `F.linear` of outputs of about 1, for an operator to count as working."""


class Linear(Protocol):
    """x W' + b; [n, in] -> [n, out]."""

    def __call__(self, hidden: Tensor) -> Tensor: ...

    def gelu(self, hidden: Tensor) -> Tensor: ...

    def add(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """x W' + b + residual; `residual` may be overwritten."""
        ...


Pack = Callable[[Tensor, Tensor], Linear]


class PlainLinear:
    """torch's own product (MKL in float32 on x86). Keeps the tensors as they are."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.weight, self.bias)

    def gelu(self, hidden: Tensor) -> Tensor:
        return torch.ops.aten.gelu_(F.linear(hidden, self.weight, self.bias))

    def add(self, hidden: Tensor, residual: Tensor) -> Tensor:
        # The product is summed up into the residual: F.linear would first copy the bias, then add in a third pass.
        return residual.add_(self.bias).addmm_(hidden, self.weight.t())


class OneDnnLinear:
    """oneDNN's product with the weight in its blocked layout; activation and residual within."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        # The dense tensor: of one made by `to_mkldnn()` the operator of torch 2.13 knows nothing.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
        self._bias = bias.clone()  # a view would keep the file mapped
        # Named to the end: else each call looks through all forms of the operator for the one that fits.
        self._apply = torch.ops.mkldnn._linear_pointwise.default
        self._apply_binary = torch.ops.mkldnn._linear_pointwise.binary

    def __call__(self, hidden: Tensor) -> Tensor:
        return self._apply(hidden, self._packed, self._bias, "none", [], "")

    def gelu(self, hidden: Tensor) -> Tensor:
        return self._apply(hidden, self._packed, self._bias, "gelu", [], "none")

    def add(self, hidden: Tensor, residual: Tensor) -> Tensor:
        return self._apply_binary(hidden, residual, self._packed, self._bias, "add")


PACKS: dict[str, Pack] = {PLAIN: PlainLinear, ONEDNN: OneDnnLinear}


@lru_cache(maxsize=64)
def onednn_works(dtype: torch.dtype, rows: int, columns: int) -> bool:
    """Whether oneDNN's private operators give what `F.linear` gives, with a [rows, columns] weight; says so if not."""
    generator = torch.Generator().manual_seed(0)
    # Evenly drawn: normal numbers take three times as long, .1 s for BERT-base's matrices.
    weight = ((torch.rand(rows, columns, generator=generator) - 0.5) * (12 / columns) ** 0.5).to(dtype)
    hidden = torch.randn(5, columns, generator=generator).to(dtype)
    bias, residual = torch.linspace(0, 1, rows).to(dtype), torch.randn(5, rows, generator=generator).to(dtype)
    try:
        differences = _differences(OneDnnLinear(weight, bias), PlainLinear(weight, bias), hidden, residual)
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        level = logging.WARNING if dtype == torch.float32 else logging.INFO  # few CPUs have it in bfloat16
        log.log(level, "oneDNN's prepacked product is not used for %s: %s", dtype, str(error).split("\n", 1)[0])
        return False
    if max(differences) < OUTPUT_TOLERANCE[dtype]:
        return True
    log.warning("oneDNN's prepacked product is not used for %s: it differs by %.2g", dtype, max(differences))
    return False


def _differences(one: Linear, other: Linear, hidden: Tensor, residual: Tensor) -> list[float]:
    calls: list[Callable[[Linear], Tensor]] = [
        lambda linear: linear(hidden),
        lambda linear: linear.gelu(hidden),
        lambda linear: linear.add(hidden, residual.clone()),
    ]
    with torch.inference_mode():
        return [float((call(one).float() - call(other).float()).abs().max()) for call in calls]
