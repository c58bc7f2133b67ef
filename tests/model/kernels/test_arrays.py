"""Torch's kernels say of arrays what numpy and scipy say."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from model.kernels.arrays import gelu, layer_norm, to_half, to_single


def test_casts_are_those_of_numpy() -> None:
    random = np.random.default_rng(0)
    singles = (random.normal(size=(50, 7)) * 10.0 ** random.integers(-9, 6, (50, 7))).astype(np.float32)
    with np.errstate(over="ignore"):
        halves = singles.astype(np.float16)
    np.testing.assert_array_equal(to_half(singles), halves)
    np.testing.assert_array_equal(to_single(halves), halves.astype(np.float32))
    assert to_half(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_layers_are_those_of_the_book() -> None:
    random = np.random.default_rng(1)
    rows, weight, bias = (random.normal(size=shape).astype(np.float32) for shape in ((6, 40), 40, 40))
    np.testing.assert_allclose(gelu(rows), rows * (1 + erf(rows / np.sqrt(2))) / 2, atol=1e-6)
    centred = rows - rows.mean(1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * weight + bias
    np.testing.assert_allclose(layer_norm(rows, weight, bias, 1e-5), expected, atol=1e-5)
