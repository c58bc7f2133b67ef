"""Attention by two products is softmax attention, however large scores are, and of whatever lengths."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.kernels import attention
from model.kernels.attention import SpanAttention, by_products

DEPTH, HEADS = 16, 3


def exact(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query.double() @ key.double().transpose(-1, -2) * query.shape[-1] ** -0.5
    return scores.softmax(-1) @ value.double()


def parts(length: int, dtype: torch.dtype, asked: int | None = None) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)
    sizes = (asked or length, length, length)
    return [torch.randn(2, HEADS, size, DEPTH, generator=generator).to(dtype) for size in sizes]


@pytest.mark.parametrize("asked", [None, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 2, 7, 45, 130])
def test_two_products_are_softmax_attention(length: int, dtype: torch.dtype, asked: int | None) -> None:
    query, key, value = parts(length, dtype, asked)
    found = by_products(query, key, value)
    assert found.dtype == dtype and found.shape == query.shape
    tolerance = 1e-5 if dtype == torch.float32 else 4e-2
    assert float((found.double() - exact(query, key, value)).abs().max()) < tolerance


@pytest.mark.parametrize("score", [-300.0, -90.0, -50.0, 0.0, 50.0, 65.0, 90.0, 130.0, 300.0])
def test_scores_of_any_size_give_the_same(score: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of one row lie near `score`, as no shift of a row changes its answer."""
    query, key, value = (part.abs() for part in parts(9, torch.float32))
    query[:, 1, 4] = score / DEPTH**0.5
    key[:, 1] = 1 + key[:, 1] / 100
    taken = []

    def spy(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        taken.append(score)
        return exact(query, key, value).float()

    monkeypatch.setattr(attention, "by_softmax", spy)
    found = by_products(query, key, value)
    assert float((found.double() - exact(query, key, value)).abs().max()) < 2e-4
    assert bool(taken) == (abs(score) >= 90)


def test_what_is_no_number_stays_that_in_its_own_sequence() -> None:
    query, key, value = parts(5, torch.float32)
    query[0, 0, 2, 0] = float("nan")
    found = by_products(query, key, value)
    assert found[0, 0, 2].isnan().all()
    assert found.isnan().sum() == DEPTH


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("firsts", [False, True])
def test_both_ways_agree_over_packed_sequences(dtype: torch.dtype, firsts: bool) -> None:
    lengths, spare = [3, 3, 8, 21], 5
    generator = torch.Generator().manual_seed(1)
    joined = torch.randn(sum(lengths) + spare, 3 * HEADS * DEPTH, generator=generator).to(dtype)
    query, key, value = joined.chunk(3, dim=1)
    if firsts:
        query = query[torch.tensor([0, 3, 6, 14])]
    products, fused = (
        SpanAttention(lengths, HEADS, spare, at)(query, key, value, firsts=firsts) for at in ((8, 16, 32), ())
    )
    assert products.shape == fused.shape == (len(lengths) if firsts else len(joined), HEADS * DEPTH)
    assert torch.allclose(products.float(), fused.float(), atol=1e-5 if dtype == torch.float32 else 4e-2)
