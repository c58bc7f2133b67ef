"""Attention by two products is softmax attention, however large scores are, and of whatever lengths."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.kernels import attention
from model.kernels.attention import TIMED_LENGTHS, SpanAttention, by_products

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
@pytest.mark.parametrize("spare", [0, 5, 40])
@pytest.mark.parametrize("lengths", [[1], [16], [3, 3, 8, 21], [1, 15, 16, 16, 17, 17, 17], [48, 130]])
def test_both_ways_see_each_sequence_alone(lengths: list[int], spare: int, firsts: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    joined = torch.randn(sum(lengths) + spare, 3 * HEADS * DEPTH, generator=generator).to(dtype)
    query, key, value = joined.chunk(3, dim=1)
    sequences = [part.split([*lengths, spare])[: len(lengths)] for part in (query, key, value)]
    asked = [own[:1] for own in sequences[0]] if firsts else sequences[0]

    def by_heads(rows: Tensor) -> Tensor:
        return rows.view(1, len(rows), HEADS, DEPTH).transpose(1, 2)

    alone = [
        exact(*map(by_heads, own))[0].transpose(0, 1).flatten(1) for own in zip(asked, *sequences[1:], strict=True)
    ]
    for at in (TIMED_LENGTHS, ()):
        found = SpanAttention(lengths, HEADS, spare, at)(
            torch.cat(asked) if firsts else query, key, value, firsts=firsts
        )
        assert found.shape == (len(lengths) if firsts else len(joined), HEADS * DEPTH) and found.dtype == dtype
        known = found[: sum(map(len, asked))].double()
        torch.testing.assert_close(known, torch.cat(alone), atol=1e-5 if dtype == torch.float32 else 4e-2, rtol=0)


def test_the_rows_behind_a_sequence_change_no_bit_of_it() -> None:
    lengths = [5, 5, 9]
    parts = [torch.randn(19 + 13, HEADS * DEPTH) for _ in range(3)]
    others = [torch.cat([part[:10], 1e3 * torch.randn(22, HEADS * DEPTH)]) for part in parts]
    own, other = (SpanAttention(lengths, HEADS, 13)(*given)[:10] for given in (parts, others))
    assert torch.equal(own, other)
