"""Attention and dropout of the layers that learn, against torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.kernels.attention import spans_of
from model.training.layers.packed_layer import Noise, attend, attend_padded

LENGTHS = [3, 3, 5, 8]
HEADS, WIDTH = 2, 16


def parts(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (sum(LENGTHS), WIDTH)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


def one_by_one(query: Any, key: Any, value: Any, masks: list[torch.Tensor] | None = None) -> torch.Tensor:
    """torch's attention of each text alone; with `masks` [heads, length, length] its weights times these."""
    rows, start = [], 0
    for number, length in enumerate(LENGTHS):
        q, k, v = (p[start : start + length].view(length, HEADS, -1).transpose(0, 1) for p in (query, key, value))
        if masks is None:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = torch.softmax(q @ k.transpose(1, 2) / (WIDTH / HEADS) ** 0.5, -1) * masks[number] @ v
        rows.append(mixed.transpose(0, 1).reshape(length, WIDTH))
        start += length
    return torch.cat(rows)


def gradients(output: torch.Tensor, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    upstream = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output.dtype)
    return torch.autograd.grad(output, inputs, upstream)


def test_spans_are_runs_of_equal_lengths() -> None:
    assert spans_of(LENGTHS) == [(0, 2, 3), (6, 1, 5), (11, 1, 8)]


@pytest.mark.parametrize("way", [attend, attend_padded])
def test_attention_and_its_gradients_are_those_of_torch(way: Any) -> None:
    inputs = parts()
    found, expected = way(*inputs, spans_of(LENGTHS), HEADS), one_by_one(*inputs)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    for own, theirs in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(own, theirs, atol=1e-5, rtol=1e-5)


def test_dropout_of_weights_reaches_the_gradients() -> None:
    inputs, spans = parts(), spans_of(LENGTHS)
    found = attend(*inputs, spans, HEADS, 0.4, Noise([5]))
    again = Noise([5])
    masks = [mask for _, count, length in spans for mask in again.mask(torch.empty(count, HEADS, length, length), 0.4)]
    expected = one_by_one(*inputs, masks)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    for own, theirs in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(own, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("way", [attend, attend_padded])
def test_half_precision_stays_half_and_close(way: Any) -> None:
    exact, half = parts(), parts(torch.bfloat16)
    expected, found = way(*exact, spans_of(LENGTHS), HEADS), way(*half, spans_of(LENGTHS), HEADS)
    assert found.dtype == torch.bfloat16 and found.shape == expected.shape
    torch.testing.assert_close(found.float(), expected, atol=5e-2, rtol=5e-2)
    for own, theirs in zip(gradients(found, half), gradients(expected, exact), strict=True):
        assert own.dtype == torch.bfloat16
        torch.testing.assert_close(own.float(), theirs, atol=1e-1, rtol=1e-1)


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masks_drop_their_share_and_keep_the_mean(rate: float, dtype: torch.dtype) -> None:
    mask = Noise([1]).mask(torch.empty(301, 333, dtype=dtype), rate)
    assert mask.dtype == dtype and mask.shape == (301, 333)
    kept = mask[mask != 0].float()
    assert abs(float((mask == 0).float().mean()) - rate) < 0.01
    np.testing.assert_allclose(kept.numpy(), 1 / (1 - rate), rtol=1e-2 if dtype == torch.bfloat16 else 1e-4)
    columns = (mask == 0).float().mean(0)
    assert float(columns.std()) < 2 * (rate * (1 - rate) / 301) ** 0.5, "no column is special"


def test_masks_follow_their_seed() -> None:
    like = torch.empty(20, 30)
    first, other = Noise([1, 2, 0]), Noise([1, 2, 1])
    drawn = first.mask(like, 0.5)
    assert not drawn.equal(first.mask(like, 0.5)) and not drawn.equal(other.mask(like, 0.5))
    first.begin([1, 2, 0])
    assert drawn.equal(first.mask(like, 0.5))
    assert first.drop(like.fill_(1), 0.0) is like
