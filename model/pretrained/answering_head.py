"""The trained question-answering head in a base model's files: one matrix, from a token's last state to two scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.pretrained.architectures import BaseConfig

OUTPUT = "qa_outputs"
"""Its name in every family of `transformers` that has one."""


@dataclass(frozen=True)
class AnsweringHead:
    """Scores of a token as an answer's first and as its last: `weight` [2, width], `bias` [2]."""

    weight: NDArray[np.float32] = field(repr=False)
    bias: NDArray[np.float32] = field(repr=False)

    def scores(self, states: NDArray[np.floating]) -> NDArray[np.float32]:
        """Of tokens [tokens, 2], from their last states [tokens, width]."""
        found: NDArray[np.float32] = states.astype(np.float32) @ self.weight.T + self.bias
        return found


def read_answering(directory: Path, config: BaseConfig) -> AnsweringHead | None:
    """The head of a `…ForQuestionAnswering` checkpoint; None for any other, and for one that is not whole."""
    from safetensors import safe_open

    kinds = config.get("architectures") or ()
    if not any(str(kind).endswith("ForQuestionAnswering") for kind in kinds):
        return None
    with safe_open(directory / "model.safetensors", framework="pt") as file:  # numpy has no bfloat16
        names = [f"{OUTPUT}.weight", f"{OUTPUT}.bias"]
        if not set(names) <= set(file.keys()):
            return None
        weight, bias = (file.get_tensor(name).float().numpy() for name in names)
    return AnsweringHead(weight, bias) if weight.shape[0] == 2 else None
