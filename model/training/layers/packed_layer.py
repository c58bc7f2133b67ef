"""One BERT layer with gradients over packed tokens: no padding anywhere, and cheap dropout.

`transformers` pads a batch to its longest text and `scaled_dot_product_attention` with dropout takes torch's slow
path over those squares; drawing the dropout masks took another seventh (docs/profiles/finetune.png). Here attention
sees the texts of one length at a time, with a backward pass written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.kernels.training_product import Product, multiply_plain

Span = tuple[int, int, int]
"""First token, texts, tokens of each: one run of texts of equal length."""


class Noise:
    """Dropout masks, all from one seed. On a CPU numpy's SFC64 draws them, at a sixth of the time of torch."""

    def __init__(self, seed: Sequence[int] = (0,)) -> None:
        self.begin(seed)

    def begin(self, seed: Sequence[int]) -> None:
        """From here on the masks of this seed."""
        self._bits = np.random.SFC64(np.random.SeedSequence(list(seed)))

    def choose(self, count: int, kept: int) -> NDArray[np.int64]:
        """`kept` of `count` places in order, at random between the first and the last, which are always among them."""
        inner = 1 + np.random.Generator(self._bits).permutation(count - 2)[: kept - 2]
        return np.concatenate([[0], np.sort(inner), [count - 1]])

    def mask(self, like: Tensor, rate: float) -> Tensor:
        """0 with probability `rate`, else 1 / (1 - rate); as `like` in shape, type and device."""
        if like.device.type != "cpu":
            return F.dropout(torch.ones_like(like), rate)
        count = like.numel()
        drawn = torch.from_numpy(self._bits.random_raw(-(-count // 4)).view(np.int16))[:count].view(like.shape)
        dropped = round(rate * 65536)
        return (drawn >= dropped - 32768).to(like.dtype).mul_(65536 / (65536 - dropped))

    def drop(self, tokens: Tensor, rate: float) -> Tensor:
        """The tokens with dropout."""
        return tokens * self.mask(tokens, rate) if rate else tokens


@dataclass(frozen=True)
class BertLayer:
    """The parts of one of `transformers`' layers, and its dropout: of the attention, behind it, and at the end."""

    inputs: tuple[nn.Module, nn.Module, nn.Module]
    mix: nn.Module
    mix_norm: nn.Module
    grow: nn.Module
    activation: nn.Module
    shrink: nn.Module
    norm: nn.Module
    heads: int
    dropout: tuple[float, float, float]
    multiply: Product = multiply_plain

    @classmethod
    def of(cls, layer: nn.Module, heads: int, multiply: Product = multiply_plain) -> BertLayer:
        """Raises AttributeError for a layer that is not BERT's."""
        part = layer.get_submodule
        query, key, value = (part(f"attention.self.{name}") for name in ("query", "key", "value"))
        places = ("attention.self.dropout", "attention.output.dropout", "output.dropout")
        attention, mixed, end = (_rate_of(part(place)) for place in places)
        return cls(
            (query, key, value),
            part("attention.output.dense"),
            part("attention.output.LayerNorm"),
            part("intermediate.dense"),
            part("intermediate.intermediate_act_fn"),
            part("output.dense"),
            part("output.LayerNorm"),
            heads,
            (attention, mixed, end),
            multiply,
        )

    def apply(self, hidden: Tensor, spans: Sequence[Span], noise: Noise | None) -> Tensor:
        """The layer over packed tokens [n, width]; with `noise` with the dropout that its configuration names."""
        attention, behind, end = self.dropout
        query, key, value = (self.multiply(part, hidden) for part in self.inputs)
        mixed = self.multiply(self.mix, attend(query, key, value, spans, self.heads, attention, noise))
        hidden = self.mix_norm((noise.drop(mixed, behind) if noise else mixed) + hidden)
        shrunk = self.multiply(self.shrink, self.activation(self.multiply(self.grow, hidden)))
        result: Tensor = self.norm((noise.drop(shrunk, end) if noise else shrunk) + hidden)
        return result


def _rate_of(dropout: nn.Module) -> float:
    if not isinstance(dropout, nn.Dropout):
        raise AttributeError(f"{dropout} is no dropout")
    return dropout.p


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Sequence[Span],
    heads: int,
    rate: float = 0.0,
    noise: Noise | None = None,
) -> Tensor:
    """Self-attention [n, width] within each text, with dropout of its weights when there is noise.

    A GPU gets one padded call: there many small ones wait for each other, and its kernel has dropout built in."""
    if query.device.type != "cpu":
        return attend_padded(query, key, value, spans, heads, rate if noise else 0.0)
    return _Attention.apply(query, key, value, spans, heads, rate if noise else 0.0, noise)


def attend_padded(
    query: Tensor, key: Tensor, value: Tensor, spans: Sequence[Span], heads: int, rate: float = 0.0
) -> Tensor:
    """The same through `scaled_dot_product_attention`, padded to the longest text."""
    lengths = [length for _, count, length in spans for _ in range(count)]
    # On the CPU: which tokens are real, asked of the GPU, would be waited for in every layer of every step.
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    places = real.flatten().nonzero().flatten().to(query.device)
    real = real.to(query.device)

    def spread(tokens: Tensor) -> Tensor:
        padded = tokens.new_zeros(real.numel(), tokens.shape[1]).index_copy(0, places, tokens)
        return padded.view(*real.shape, heads, -1).transpose(1, 2)

    mixed = F.scaled_dot_product_attention(
        spread(query), spread(key), spread(value), attn_mask=real[:, None, None], dropout_p=rate
    )
    return mixed.transpose(1, 2).reshape(real.numel(), -1)[places]


class _Kept(Protocol):
    """What torch keeps of a forward pass for the way back."""

    spans: Sequence[Span]
    heads: int

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """As saved."""
        ...

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Without keeping them alive in a circle."""
        ...


class _Attention(torch.autograd.Function):
    """Softmax attention by text length. Keeps the weights of each span (and its mask) for the way back."""

    @staticmethod
    def forward(
        context: _Kept,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        spans: Sequence[Span],
        heads: int,
        rate: float,
        noise: Noise | None,
    ) -> Tensor:
        result = torch.empty_like(query)
        kept: list[Tensor | None] = []
        with torch.autocast(query.device.type, enabled=False):
            for span in spans:
                q, k, v = (_heads_of(part, span, heads) for part in (query, key, value))
                weights = torch.softmax((q * _scale(q)) @ k.transpose(-1, -2), -1, dtype=torch.float32).to(q.dtype)
                mask = noise.mask(weights, rate) if noise and rate else None
                _heads_of(result, span, heads).copy_((weights if mask is None else weights * mask) @ v)
                kept += [weights, mask]
        context.spans, context.heads = spans, heads
        context.save_for_backward(query, key, value, *kept)
        return result

    @staticmethod
    def backward(context: _Kept, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = context.saved_tensors
        grads = [torch.empty_like(part) for part in (query, key, value)]
        for number, span in enumerate(context.spans):
            weights, mask = kept[2 * number], kept[2 * number + 1]
            q, k, v, g = (_heads_of(part, span, context.heads) for part in (query, key, value, upstream[0]))
            to_q, to_k, to_v = (_heads_of(part, span, context.heads) for part in grads)
            to_v.copy_((weights if mask is None else weights * mask).transpose(-1, -2) @ g)
            inner = g @ v.transpose(-1, -2)
            if mask is not None:
                inner.mul_(mask)
            inner = torch._softmax_backward_data(inner, weights, -1, inner.dtype)
            to_q.copy_(inner @ k).mul_(_scale(q))
            to_k.copy_(inner.transpose(-1, -2) @ (q * _scale(q)))
        return *grads, None, None, None, None


def _heads_of(tokens: Tensor, span: Span, heads: int) -> Tensor:
    """A view [texts, heads, length, width of a head] of one span's tokens."""
    start, count, length = span
    return tokens[start : start + count * length].view(count, length, heads, -1).transpose(1, 2)


def _scale(query: Tensor) -> float:
    return float(query.shape[-1] ** -0.5)
