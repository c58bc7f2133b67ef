"""What judges words by the names of labels, in torch: `TransferPrior` and `TokenPrior` as a graph."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from model.spans.transfer.prior import CASE_SCALE, EPSILON, FLOOR, TransferPrior
from model.spans.transfer.token_prior import UNKNOWN, TokenPrior


class PriorGraph(nn.Module):
    """A prior over labels whose names have these vectors; each set of labels is asked by its place in `names`."""

    def __init__(self, prior: TransferPrior) -> None:
        super().__init__()
        self.prior = prior
        self.layers = prior.layers
        self.token = prior if isinstance(prior, TokenPrior) else None
        arrays = {} if self.token else {name.replace(".", "_"): array for name, array in prior.tensors.items()}
        if self.token:
            arrays = {"head_weight": self.token.head.weight, "head_bias": self.token.head.bias}
            arrays |= {f"owners_{place}": table for place, table in enumerate(self.token.tables)}
        for name, array in arrays.items():
            self.register_buffer(name, torch.tensor(np.asarray(array, np.float32)))

    def hidden(self, states: Tensor, cases: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Hidden features [m, hidden] of words from their states [m, layers * width] and cases [m, 24]; `left`, `right`
        [m]: whether a neighbour is of the same text."""
        get = self.get_buffer
        if self.token is not None:
            scores = F.linear(states, get("head_weight"), get("head_bias"))
            return torch.log_softmax(scores, 1).clamp_min(FLOOR)
        normed = F.layer_norm(states, states.shape[1:], get("norm_weight"), get("norm_bias"), EPSILON)
        inputs = torch.cat([normed, CASE_SCALE * cases], 1)
        words = F.gelu(F.linear(inputs, get("input_weight"), get("input_bias")))
        before, here, after = get("neighbours_weight").unbind(2)
        none = torch.zeros_like(words[:1])
        mixed = F.linear(words, here, get("neighbours_bias"))
        mixed = mixed + left[:, None] * F.linear(torch.cat([none, words[:-1]]), before)
        mixed = mixed + right[:, None] * F.linear(torch.cat([words[1:], none]), after)
        words = words + F.gelu(mixed)
        return F.gelu(F.linear(words, get("middle_weight"), get("middle_bias")))

    def log_probabilities(self, hidden: Tensor, names: NDArray[np.float32]) -> Tensor:
        """Of the tags of the labels with these name vectors [m, 1 + 2 * labels]."""
        return self._by_tags(hidden, names) if self.token is not None else self._by_names(hidden, names)

    def _by_names(self, hidden: Tensor, names: NDArray[np.float32]) -> Tensor:
        weights = self.prior.tensors
        # What is made of the names is a constant of the graph.
        queries = np.asarray(names, np.float32) @ weights["query.weight"].T + weights["query.bias"]
        get = self.get_buffer
        keys = F.linear(hidden, get("key_weight"), get("key_bias"))
        marks = F.linear(hidden, get("marks_weight"), get("marks_bias"))
        half = keys.shape[1] // 2
        parts = [
            keys[:, part * half : (part + 1) * half]
            @ torch.tensor(queries[:, part * half : (part + 1) * half].T / np.float32(np.sqrt(half)))
            + marks[:, part : part + 1]
            for part in (0, 1)
        ]
        outside = F.linear(hidden, get("outside_weight"), get("outside_bias"))[:, :1]
        inside = torch.stack(parts, 2).flatten(1)  # first and further words of each label in turn
        return torch.log_softmax(torch.cat([outside, inside], 1), 1).clamp_min(FLOOR)

    def _by_tags(self, hidden: Tensor, names: NDArray[np.float32]) -> Tensor:
        known = (names != 0).any(1)
        if not known.any():
            return torch.zeros_like(hidden[:, :1]).expand(-1, 1 + 2 * len(known))
        vectors = torch.tensor(np.asarray(names, np.float32).T)
        spare = UNKNOWN / (2 * max(1, int((~known).sum()))) if not known.all() else 0.0
        shares, mask = hidden.exp(), torch.tensor(known)
        first, further, whole = (shares @ self.get_buffer(f"owners_{place}") @ vectors for place in range(3))
        parts = [torch.where(mask, own, torch.full_like(own, spare)) for own in (first, further)]
        outside = 1 - torch.where(mask, whole, torch.zeros_like(whole)).sum(1, keepdim=True)
        scores = torch.cat([outside, torch.stack(parts, 2).flatten(1)], 1)
        return scores.clamp_min(1e-9).log().clamp_min(FLOOR)
