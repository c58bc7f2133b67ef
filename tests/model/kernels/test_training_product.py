"""oneDNN's products with gradients, against torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from model.kernels import training_product as product
from model.kernels.training_product import find_product, multiply_onednn, multiply_plain


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("learns", [True, False])
def test_results_and_gradients_are_those_of_torch(bias: bool, learns: bool) -> None:
    torch.manual_seed(0)
    ours = nn.Linear(24, 40, bias=bias)
    ours.weight.requires_grad_(learns)
    theirs = copy.deepcopy(ours)
    inputs = [torch.randn(7, 24).requires_grad_() for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    upstream = torch.randn(7, 40)
    for multiply, part, hidden in ((multiply_onednn, ours, inputs[0]), (multiply_plain, theirs, inputs[1])):
        multiply(part, hidden).backward(upstream)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-5, rtol=1e-5)
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        if other.grad is None:
            assert own.grad is None
        else:
            torch.testing.assert_close(own.grad, other.grad, atol=1e-5, rtol=1e-5)


def test_another_kind_of_layer_and_another_format_compute_themselves() -> None:
    half = nn.Linear(8, 8).bfloat16()
    hidden = torch.randn(3, 8).bfloat16()
    assert torch.equal(multiply_onednn(half, hidden), half(hidden))
    layers = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
    assert torch.equal(multiply_onednn(layers, hidden.float()), layers(hidden.float()))


def test_an_operator_that_does_not_do_what_it_should_is_not_trained_with(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_product("plain") is multiply_plain
    times = product._times
    monkeypatch.setattr(product, "_times", lambda left, right, bias=None: 1.1 * times(left, right, bias))
    product._works.cache_clear()
    assert find_product("onednn") is multiply_plain
    product._works.cache_clear()
