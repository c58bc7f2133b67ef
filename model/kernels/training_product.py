"""Matrix products of the layers that learn, with their gradients: torch's own, or oneDNN's where that is faster.

In float32 torch multiplies with MKL, which on an AMD processor is far from its best: on Zen 5 107 GFLOP/s a core where
oneDNN reaches 250 forwards and 215 to 255 on the way back (`python -m bench.finetune --step`). In bfloat16 torch uses
oneDNN by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.kernels.matrix_product import ONEDNN

log = logging.getLogger(__name__)

Product = Callable[[nn.Module, Tensor], Tensor]
"""x W' + b of a linear layer; [n, in] -> [n, out]."""

TOLERANCE = 1e-3
"""Largest difference to torch's own of outputs and gradients of about 1 to 10, for the operator to count as working."""


def find_product(kernel: str) -> Product:
    """The product of this name; torch's own where oneDNN's operator does not do what it should."""
    return multiply_onednn if kernel == ONEDNN and _works() else multiply_plain


def multiply_plain(part: nn.Module, hidden: Tensor) -> Tensor:
    """With torch's own product, as autocast says."""
    result: Tensor = part(hidden)
    return result


def multiply_onednn(part: nn.Module, hidden: Tensor) -> Tensor:
    """In float32 with oneDNN's; a module that is no plain linear layer computes itself."""
    if type(part) is not nn.Linear or hidden.dtype != torch.float32:
        return multiply_plain(part, hidden)
    return _Product.apply(hidden, part.weight, part.bias)


class _Kept(Protocol):
    """What torch keeps of a forward pass for the way back."""

    needs_input_grad: tuple[bool, ...]

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """As saved."""
        ...

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Without keeping them alive in a circle."""
        ...


class _Product(torch.autograd.Function):
    """x W' + b for x [n, in], W [out, in]."""

    @staticmethod
    def forward(context: _Kept, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.save_for_backward(hidden, weight)
        return _times(hidden, weight, bias)

    @staticmethod
    def backward(context: _Kept, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (hidden, weight), (to_result,) = context.saved_tensors, upstream
        to_hidden, to_weight, to_bias = context.needs_input_grad
        return (
            _times(to_result, weight.t()) if to_hidden else None,
            _times(to_result.t(), hidden.t()) if to_weight else None,
            to_result.sum(0) if to_bias else None,
        )


def _times(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left right' + bias."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")
    return result


@lru_cache(maxsize=1)
def _works() -> bool:
    """Whether the operator, which is private to torch, gives what `F.linear` gives; says so if not."""
    generator = torch.Generator().manual_seed(0)
    shapes = (5, 48), (32, 48), (32,)
    with torch.inference_mode(False), torch.enable_grad():
        inputs = [torch.randn(*shape, generator=generator).requires_grad_() for shape in shapes]
        upstream = torch.randn(5, 32, generator=generator)
        try:
            found, expected = _Product.apply(*inputs), F.linear(*inputs)
            pairs = [(found, expected)] + [
                (own, theirs)
                for own, theirs in zip(
                    torch.autograd.grad(found, inputs, upstream),
                    torch.autograd.grad(expected, inputs, upstream),
                    strict=True,
                )
            ]
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            log.warning("oneDNN's product is not trained with: %s", str(error).split("\n", 1)[0])
            return False
    apart = max(float((own - theirs).detach().abs().max()) for own, theirs in pairs)
    if apart >= TOLERANCE:
        log.warning("oneDNN's product is not trained with: it differs by %.2g", apart)
    return apart < TOLERANCE
