"""The matrix products: oneDNN's private operators are taken where they exist, and never silently left out."""

from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F

from model.kernels import matrix_product as kernels
from model.kernels.matrix_product import ONEDNN, PACKS, PLAIN, Linear, OneDnnLinear, onednn_works
from tests.support.encoders import random_engine

SHAPES = ((1152, 384), (384, 384), (1536, 384), (384, 1536), (96, 32))


def has_operators() -> bool:
    names = ("_linear_pointwise", "_reorder_linear_weight")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


needs_operators = pytest.mark.skipif(not has_operators(), reason="torch is built without oneDNN's operators")


@pytest.fixture(autouse=True)
def forgetful() -> None:
    onednn_works.cache_clear()


def linear_of(kernel: str, rows: int, columns: int) -> tuple[Linear, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    weight, bias = torch.randn(rows, columns) / columns**0.5, torch.randn(rows)
    return PACKS[kernel](weight, bias), weight, bias


@needs_operators
@pytest.mark.parametrize("shape", SHAPES)
def test_onednn_works_where_torch_has_its_operators(shape: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert onednn_works(torch.float32, *shape), caplog.text  # a weight in the wrong layout was refused by all


@needs_operators
def test_an_engine_that_is_asked_for_onednn_computes_with_it() -> None:
    engine = random_engine("bert", kernel=ONEDNN)
    block = engine.blocks[0]
    linears = [*block.inputs, block.output, block.grow, block.shrink]
    assert len(block.inputs) == 1 and all(isinstance(linear, OneDnnLinear) for linear in linears)
    assert all(str(linear._packed.layout) == "torch._mkldnn" for linear in linears)


@needs_operators
def test_operators_that_compute_something_else_are_left_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(OneDnnLinear, "add", lambda self, hidden, residual: self(hidden))
    with caplog.at_level(logging.WARNING):
        assert not onednn_works(torch.float32, 96, 32)
    assert "it differs by" in caplog.text


def test_operators_that_fail_are_left_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(weight: torch.Tensor, bias: torch.Tensor) -> Linear:
        raise NotImplementedError("not on this backend")

    monkeypatch.setattr(kernels, "OneDnnLinear", refuse)
    with caplog.at_level(logging.WARNING):
        assert not onednn_works(torch.float32, 96, 32)
    assert "not on this backend" in caplog.text


@pytest.mark.parametrize("kernel", [PLAIN, pytest.param(ONEDNN, marks=needs_operators)])
@pytest.mark.parametrize("tokens", [1, 2, 33, 600])
@pytest.mark.parametrize("shape", SHAPES)
def test_product_activation_and_residual(kernel: str, tokens: int, shape: tuple[int, int]) -> None:
    linear, weight, bias = linear_of(kernel, *shape)
    hidden, residual = torch.randn(tokens, shape[1]), torch.randn(tokens, shape[0])
    expected = F.linear(hidden, weight, bias)
    with torch.inference_mode():
        torch.testing.assert_close(linear(hidden), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(linear.gelu(hidden), F.gelu(expected), atol=1e-5, rtol=0)
        torch.testing.assert_close(linear.add(hidden, residual.clone()), expected + residual, atol=1e-5, rtol=0)
