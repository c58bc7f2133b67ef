"""Gradient attributions of words, to compare occlusion with: gradient x input, and integrated gradients.

The encoder is the `transformers` model of the same weights; the head, which is numpy, is differentiated by central
differences on its pooled inputs (its TF-IDF part, which has no gradient, is left out).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.explain.occlusion import Piece
from model.numerics.arrays import Floats
from model.spec import Text

STEP = 1e-3
MOST_TOKENS = 256


class Gradients:
    """Attributions for one head over one encoder."""

    def __init__(self, directory: Path, head: Any, depth: int) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self._head, self._depth = head, depth
        self._tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        self._model = AutoModel.from_pretrained(directory, local_files_only=True).eval().requires_grad_(False)

    def weigh(self, text: Text, words: Sequence[Piece], label: int, *, steps: int) -> Floats:
        """Per word, the sum over its tokens of gradient x (input - baseline), the gradient averaged over `steps`.

        One step: gradient x input at the text itself. More: from the padding token's vector to it (Sundararajan, Taly
        and Yan, 2017)."""
        encoded = self._tokenizer(
            text[0], return_tensors="pt", return_offsets_mapping=True, truncation=True, max_length=MOST_TOKENS
        )
        offsets = encoded.pop("offset_mapping")[0].tolist()
        embed = self._model.get_input_embeddings()
        target = embed(encoded["input_ids"])
        baseline = embed(torch.full_like(encoded["input_ids"], self._tokenizer.pad_token_id))
        points = [(step + 0.5) / steps for step in range(steps)] if steps > 1 else [1.0]
        total = sum(self._gradient(text, baseline + at * (target - baseline), encoded, label) for at in points)
        moved = target - baseline if steps > 1 else target
        tokens = (total / len(points) * moved[0]).sum(-1).numpy()
        return np.array(
            [
                sum(tokens[i] for i, (start, end) in enumerate(offsets) if start < word.end and word.start < end)
                for word in words
            ]
        )

    def _gradient(self, text: Text, inputs: torch.Tensor, encoded: Any, label: int) -> torch.Tensor:
        inputs = inputs.detach().requires_grad_(True)
        more = {name: value for name, value in encoded.items() if name != "input_ids"}
        output = self._model(inputs_embeds=inputs, output_hidden_states=True, **more)
        pooled = torch.stack([layer[0].mean(0) for layer in output.hidden_states[-self._depth :]])
        slope = torch.tensor(self._slope(text, pooled.detach().numpy(), label), dtype=torch.float32)
        (gradient,) = torch.autograd.grad((pooled * slope).sum(), inputs)
        return gradient[0]

    def _slope(self, text: Text, pooled: Floats, label: int) -> Floats:
        """d log-odds / d pooled [depth, width]."""
        moves = np.eye(pooled.size).reshape(-1, *pooled.shape) * STEP
        points = np.concatenate([pooled + moves, pooled - moves])
        rows = np.clip(self._head.scores([text] * len(points), points)[:, label], 1e-9, 1 - 1e-9)
        ahead, behind = np.split(np.log(rows / (1 - rows)), 2)
        slope: Floats = ((ahead - behind) / (2 * STEP)).reshape(pooled.shape)
        return slope
