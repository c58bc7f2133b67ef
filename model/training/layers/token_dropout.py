"""Token dropout: in a step the layers that learn read a random part of each text's tokens.

As random layer-wise token dropping (Yao et al. 2022, arXiv:2211.11586), except that the layers below, which are frozen,
have read the whole text: each token that is left knows of those that are not. A step costs as much as its tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from model.training.layers.packed_layer import Noise

LEAST_TOKENS = 16
"""Shorter texts are read whole."""

MULTIPLE = 8
"""What is left of a text is a multiple of so many tokens: texts of one length are one call of attention."""


def count_kept(tokens: int, share: float) -> int:
    """How many of a text's tokens a step reads."""
    kept = max(LEAST_TOKENS, math.ceil(share * tokens))
    return min(tokens, -(-kept // MULTIPLE) * MULTIPLE)


def drop_tokens(texts: Sequence[Tensor], share: float, noise: Noise) -> list[Tensor]:
    """Of the states [length, width] of each text those that a step reads, its first and last token among them."""
    found = []
    for states in texts:
        kept = count_kept(len(states), share)
        if kept < len(states):
            states = states[torch.from_numpy(noise.choose(len(states), kept)).to(states.device)]
        found.append(states)
    return found
