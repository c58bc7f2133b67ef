"""A base model's own trained head, or what a teacher taught, in torch: `TaughtLabels` as a graph."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from model.export.pooling import normalise
from model.pretrained.classifier_head import LARGEST_LOG_ODDS, UNKNOWN_SHARE, TaughtLabels


class Taught(nn.Module):
    """Probabilities [n, K] from last-layer features [n, width] and the answer by label names [n, K]."""

    known: Tensor
    columns: Tensor

    def __init__(self, own: TaughtLabels) -> None:
        super().__init__()
        head = own.taught
        self.sets, self.head_sets, self.on_names = own.multilabel, head.multilabel, own.on_names
        self.activation, self.epsilon = head.activation, head.epsilon
        for name, values in head.arrays.items():
            self.register_buffer(name.replace(".", "_"), torch.tensor(np.asarray(values), dtype=torch.float32))
        self.names = frozenset(name.replace(".", "_") for name in head.arrays)
        self.register_buffer("known", torch.tensor(own.known))
        self.register_buffer("columns", torch.tensor([max(0, column) for column in own.columns]))
        self.unknown_share = UNKNOWN_SHARE * float(np.mean(~own.known))

    def forward(self, features: Tensor, names: Tensor) -> Tensor:
        logits = self._logits(features)
        if self.on_names:
            logits = self.log_odds(names) + logits
            return torch.sigmoid(logits) if self.sets else torch.softmax(logits, 1)
        whole = torch.sigmoid(logits) if self.head_sets else torch.softmax(logits, 1)
        zeros = torch.zeros_like(names)
        mine = torch.where(self.known, whole[:, self.columns], zeros)
        if self.sets:
            return torch.where(self.known, mine, UNKNOWN_SHARE * names)
        rest = torch.where(self.known, zeros, UNKNOWN_SHARE * names)
        rest = self.unknown_share * rest / rest.sum(1, keepdim=True).clamp_min(1e-12)
        mine = (1 - self.unknown_share) * mine / mine.sum(1, keepdim=True).clamp_min(1e-30)
        return torch.where(self.known, mine, rest)

    def log_odds(self, probabilities: Tensor) -> Tensor:
        if self.sets:
            bound = float(expit(LARGEST_LOG_ODDS))
            return torch.logit(probabilities.clamp(1.0 - bound, bound))
        logs = probabilities.clamp_min(float(np.exp(-LARGEST_LOG_ODDS))).log()
        return logs - logs.mean(1, keepdim=True)

    def _logits(self, features: Tensor) -> Tensor:
        hidden = self._linear(features, "dense")
        if self.activation == "gelu":
            hidden = nn.functional.gelu(hidden)
        elif self.activation == "silu":
            hidden = nn.functional.silu(hidden)
        elif self.activation == "unit":
            hidden = normalise(hidden)
        else:
            hidden = torch.relu(hidden) if self.activation == "relu" else torch.tanh(hidden)
        if "norm_weight" in self.names:
            bias = self.get_buffer("norm_bias") if "norm_bias" in self.names else None
            hidden = nn.functional.layer_norm(
                hidden, (hidden.shape[-1],), self.get_buffer("norm_weight"), bias, self.epsilon
            )
        return self._linear(hidden, "output")

    def _linear(self, features: Tensor, name: str) -> Tensor:
        bias = self.get_buffer(f"{name}_bias") if f"{name}_bias" in self.names else None
        if f"{name}_weight" not in self.names:
            return features if bias is None else features + bias
        return nn.functional.linear(features, self.get_buffer(f"{name}_weight"), bias)
