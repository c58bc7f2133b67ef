"""The classification head that a base model was trained with: what an encoder brings along, besides features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit

Floats = NDArray[np.floating]

ACTIVATIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "gelu": lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * expit(x),
    "tanh": np.tanh,
    "unit": lambda x: x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12),
}
"""`unit`: rows of length 1, of a head that was fitted here (model/head/teacher.py)."""


@dataclass(frozen=True)
class PretrainedHead:
    """A trained head: output(norm(activation(dense(x)))), `norm` and biases where they are.

    `labels` name the L outputs; `arrays` are `output.weight` [L, h], and `dense.weight` [h, width], `dense.bias`,
    `output.bias`, `norm.weight`, `norm.bias` as far as there are.
    """

    labels: tuple[str, ...]
    multilabel: bool
    activation: str
    epsilon: float
    arrays: Mapping[str, Floats]

    def logits(self, features: Floats) -> Floats:
        """[n, L] from pooled last-layer features [n, width]."""
        hidden = ACTIVATIONS[self.activation](self._linear(np.asarray(features, dtype=np.float64), "dense"))
        if "norm.weight" in self.arrays:
            centred = hidden - hidden.mean(-1, keepdims=True)
            hidden = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + self.epsilon)
            hidden = hidden * self.arrays["norm.weight"] + self.arrays.get("norm.bias", 0.0)
        return self._linear(hidden, "output")

    def _linear(self, features: Floats, name: str) -> Floats:
        weight = self.arrays.get(f"{name}.weight")
        return (features if weight is None else features @ weight.T) + self.arrays.get(f"{name}.bias", 0.0)
