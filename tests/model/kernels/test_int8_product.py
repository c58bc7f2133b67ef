"""int8 products: as close to float32 as rounding allows, and not offered where a CPU cuts their sums off."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.kernels import int8_product
from model.kernels.int8_product import InputRange, RangedInt8Linear, RowInt8Linear, int8_works

needs_int8 = pytest.mark.skipif(not int8_works(96, 32), reason="this CPU has no exact int8 product")


@pytest.fixture(autouse=True)
def forgetful() -> None:
    int8_works.cache_clear()


def rows_with_outliers(generator: torch.Generator, count: int = 200) -> Tensor:
    """As after a norm: a few channels far from 0, in every row."""
    hidden = torch.randn(count, 64, generator=generator)
    hidden[:, 3] += 30
    hidden[:, 9] *= 12
    return hidden


@needs_int8
def test_channels_far_from_zero_do_not_cost_the_others_their_steps() -> None:
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(48, 64, generator=generator) / 8, torch.randn(48, generator=generator)
    weight[:, [3, 9]] /= 10  # as trained encoders have them
    seen = rows_with_outliers(generator)
    linear = RangedInt8Linear(weight, bias, InputRange(seen.mean(0), seen.amin(0), seen.amax(0)))
    hidden, residual = rows_with_outliers(generator), torch.randn(200, 48, generator=generator)
    exact = F.linear(hidden, weight, bias)
    assert F.cosine_similarity(linear(hidden), exact).mean() > 0.9995
    assert F.cosine_similarity(linear.gelu(hidden), F.gelu(exact)).mean() > 0.999
    assert F.cosine_similarity(linear.add(hidden, residual.clone()), exact + residual).mean() > 0.9995
    assert RangedInt8Linear(weight, bias, InputRange(*seen[:3]), torch.bfloat16)(hidden).dtype == torch.bfloat16


@needs_int8
def test_a_row_ten_times_as_large_costs_the_other_rows_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    weight, bias = torch.randn(16, 64, generator=generator) / 8, torch.randn(16, generator=generator)
    grown = F.gelu(torch.randn(20, 64, generator=generator))
    alone = RowInt8Linear(weight, bias)(grown.clone())
    large = torch.cat([grown, F.gelu(40 * torch.randn(1, 64, generator=generator))])
    linear = RowInt8Linear(weight, bias)
    assert torch.equal(linear(large.clone())[:20], alone), "an answer does not depend on the texts beside it"
    found = linear.add(large.clone(), large[:, :16].clone())
    assert F.cosine_similarity(found, F.linear(large, weight, bias) + large[:, :16]).min() > 0.999


@needs_int8
def test_a_product_whose_sums_are_cut_off_is_not_offered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exact = int8_product._PackedWeight.times

    def cut_off(self: object, *arguments: object, **named: object) -> Tensor:
        return exact(self, *arguments, **named).clamp(-0.5, 0.5)  # type: ignore[arg-type]

    monkeypatch.setattr(int8_product._PackedWeight, "times", cut_off)
    with caplog.at_level("INFO"):
        assert not int8_works(96, 32)
    assert "it differs by" in caplog.text


def test_a_torch_without_the_operator_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*arguments: object) -> Tensor:
        raise AttributeError("no qlinear_prepack")

    monkeypatch.setattr(int8_product._PackedWeight, "__init__", gone)
    with caplog.at_level("INFO"):
        assert not int8_works(96, 32)
    assert "not offered: no qlinear_prepack" in caplog.text
