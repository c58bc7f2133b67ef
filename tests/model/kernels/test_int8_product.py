"""int8 products: as close to float32 as rounding allows, and not offered where a CPU cuts their sums off."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.kernels import int8_weight
from model.kernels.choice import FBGEMM, INT8
from model.kernels.int8_product import (
    InputRange,
    RangedInt8Linear,
    RowInt8Linear,
    int8_works,
)
from model.kernels.int8_weight import SumsCutOff, cuts_off_pairs, largest_of_pairs, pack_int8, step_of

needs_int8 = pytest.mark.skipif(not int8_works(96, 32), reason="this CPU has no exact int8 product")


KINDS = ("normal", "equal", "lone", "zero")
SIZES = ((48, 64), (7, 33), (1, 3), (20, 386), (96, 1536))


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


def as_with_16_bits(rounded: Tensor, weight: Tensor) -> Tensor:
    """What vpmaddubsw and vpmaddwd give: two products are added at 16 bits and cut off, then all at 32."""
    columns = weight.shape[1] + weight.shape[1] % 2
    left, right = (F.pad(part.long(), (0, columns - part.shape[1])) for part in (rounded, weight))
    products = left[:, None, :] * right[None]
    return products.unflatten(2, (-1, 2)).sum(3).clamp(-(2**15), 2**15 - 1).sum(2)


def weights_of(kind: str, rows: int, columns: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(rows, columns, generator=generator)
    if kind == "equal":
        weight = weight.sign() * 0.3
        weight[0] = 0.3
    elif kind == "lone":
        weight[:, columns // 2] = 40.0
    elif kind == "zero":
        weight[:] = 0.0
    return weight


def bytes_of(rows: int, columns: int) -> Tensor:
    """Rows of noise, after the largest everywhere and in every second place."""
    found = torch.randint(0, 256, (rows, columns), generator=torch.Generator().manual_seed(4), dtype=torch.uint8)
    found[0] = 255
    if rows > 2:
        found[1], found[2, ::2] = torch.arange(columns).remainder(2).to(torch.uint8) * 255, 255
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_weights_rounded_for_pairs_are_exact_where_pairs_are_added_at_16_bits(
    kind: str, rows: int, columns: int
) -> None:
    weight = weights_of(kind, rows, columns)
    steps = largest_of_pairs(weight).clamp(min=1e-9) / 127
    rounded = (weight / steps[:, None]).round()
    hidden = bytes_of(9, columns)
    assert rounded.abs().max() <= 127
    assert torch.equal(as_with_16_bits(hidden, rounded), hidden.long() @ rounded.long().T)
    assert ((rounded * steps[:, None] - weight).abs() <= 0.5001 * steps[:, None]).all(), (
        "nothing is cut off in rounding"
    )
    if kind == "equal" and columns > 3:
        plain = (weight / weight.abs().amax(1, keepdim=True) * 127).round()
        assert not torch.equal(as_with_16_bits(hidden, plain), hidden.long() @ plain.long().T)


@needs_int8
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("kernel", [INT8, FBGEMM])
def test_products_are_what_integers_give(kernel: str, pairs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pairs and cuts_off_pairs():
        pytest.skip("this CPU adds pairs at 16 bits")
    if not int8_works(96, 32, kernel):
        pytest.skip("this torch has no such product")
    monkeypatch.setattr(int8_weight, "cuts_off_pairs", lambda: pairs)
    for (rows, columns), kind in product(SIZES, KINDS):
        weight, bias = weights_of(kind, rows, columns), torch.linspace(-1, 1, rows)
        try:
            packed = pack_int8(weight, bias, kernel)
        except SumsCutOff:
            assert columns % 4 and kernel == INT8, "oneDNN then adds other neighbours"
            continue
        steps = step_of(weight)
        rounded = (weight / steps[:, None]).round().long()
        for tokens in (1, 5, 40):
            hidden = bytes_of(tokens, columns)
            expected = (hidden.long() - 37) @ rounded.T * steps.double() + bias
            found = packed.times(hidden.float() - 37, 1.0, 37, torch.float32, "none")
            torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-5, msg=f"{rows} {columns} {kind}")


@pytest.mark.skipif(not (int8_works(96, 32) and cuts_off_pairs()), reason="this CPU adds products at 32 bits")
@pytest.mark.parametrize("kernel", [INT8, FBGEMM])
def test_weights_that_would_be_cut_off_are_refused(
    kernel: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(int8_weight, "cuts_off_pairs", lambda: False)
    with pytest.raises(SumsCutOff):
        pack_int8(weights_of("equal", 48, 64), None, kernel)
    with caplog.at_level("INFO"):
        assert not int8_works(96, 32, kernel)
    assert "not offered: sums would be cut off" in caplog.text


@needs_int8
def test_a_product_whose_sums_are_cut_off_is_not_offered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exact = int8_weight._OneDnn.times

    def cut_off(self: object, *arguments: object, **named: object) -> Tensor:
        return exact(self, *arguments, **named).clamp(-0.5, 0.5)  # type: ignore[arg-type]

    monkeypatch.setattr(int8_weight._OneDnn, "times", cut_off)
    with caplog.at_level("INFO"):
        assert not int8_works(96, 32)
    assert "not offered: " in caplog.text


def test_a_torch_without_the_operator_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*arguments: object) -> Tensor:
        raise AttributeError("no qlinear_prepack")

    monkeypatch.setattr(int8_weight._OneDnn, "__init__", gone)
    with caplog.at_level("INFO"):
        assert not int8_works(96, 32)
    assert "not offered: no qlinear_prepack" in caplog.text
