"""A refitted head, and its blend with a fine-tuned encoder's, in torch: `LinearHead.scores` as a graph."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from model.export.pooling import normalise
from model.export.taught import Taught
from model.head.linear_head import LinearHead, Member
from model.head.zero_shot import CLEAR_SIMILARITY, LOGIT_SCALE
from model.numerics.metrics import SMALLEST_PROBABILITY
from model.versions.finetuned import TunedHead


def constant(values: object) -> Tensor:
    """A float32 tensor of its own."""
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def at_temperature(probabilities: Tensor, temperature: float, *, multilabel: bool = False) -> Tensor:
    """`model.numerics.temperature.apply_temperature`."""
    if temperature == 1.0:
        return probabilities
    low = SMALLEST_PROBABILITY
    if multilabel:
        return torch.sigmoid(torch.logit(probabilities.clamp(low, 1.0 - low)) / temperature)
    return torch.softmax(probabilities.clamp(low, 1.0).log() / temperature, 1)


class HeadGraph(nn.Module):
    """Probabilities [n, K] from features [n, depth, width] and word weights [n, terms]."""

    mean: Tensor
    prototypes: Tensor
    usual: Tensor
    nameless: Tensor

    def __init__(self, head: LinearHead) -> None:
        super().__init__()
        reference = head.reference
        self.multilabel, self.temperature, self.zero_share = head.multilabel, head.temperature, head.zero_share
        self.single, self.uniform = len(head.labels) == 1, reference.uniform_share
        self.has_words = head.uses_words and len(head.terms.vocabulary) > 0
        self.centred = reference.centred
        self.register_buffer("mean", constant(reference.mean))
        self.register_buffer("prototypes", constant(reference.prototypes.T))
        self.register_buffer("usual", constant(reference.similarity))
        nameless = ~reference.prototypes.any(1)
        self.any_nameless = bool(nameless.any())
        self.register_buffer("nameless", torch.tensor(nameless))
        self.taught = Taught(reference.taught) if reference.taught is not None else None
        self.members = nn.ModuleList([MemberGraph(member) for member in head.members])
        self.weights = [float(member.weight) for member in head.members]

    def forward(self, features: Tensor, words: Tensor | None) -> Tensor:
        last = features[:, -1]
        similarity = normalise(last - self.mean[-1] if self.centred else last) @ self.prototypes
        base = self._zero_shot(similarity, last)
        if not len(self.members):
            if self.single:
                return base if self.multilabel else torch.ones_like(base)
            return at_temperature(base, self.temperature)
        prior = similarity - self.usual if self.taught is None else self.taught.log_odds(base) / LOGIT_SCALE
        fitted = torch.zeros_like(base)
        for member, weight in zip(self.members, self.weights, strict=True):
            logits = member(features, self.mean, words, prior)
            answers = torch.sigmoid(logits) if self.multilabel else torch.softmax(logits, 1)
            fitted = fitted + weight * answers
        if self.multilabel:
            return at_temperature(fitted, self.temperature, multilabel=True)
        if self.zero_share <= 0:
            return at_temperature(fitted, self.temperature)
        logs = (1 - self.zero_share) / self.temperature * fitted.clamp_min(1e-12).log()
        return torch.softmax(logs + self.zero_share / self.temperature * base.clamp_min(1e-12).log(), 1)

    def _zero_shot(self, similarity: Tensor, last: Tensor) -> Tensor:
        if self.any_nameless:
            similarity = torch.where(self.nameless, torch.full_like(similarity, CLEAR_SIMILARITY), similarity)
        if self.single:
            similarity = torch.cat([similarity, torch.full_like(similarity, CLEAR_SIMILARITY)], 1)
        count = similarity.shape[1]
        names = (1 - self.uniform) * torch.softmax(LOGIT_SCALE * similarity, 1) + self.uniform / count
        names = names[:, :1] if self.single else names
        return names if self.taught is None else self.taught(last, names)


class MemberGraph(nn.Module):
    """One linear model's logits [n, K]."""

    coefficients: Tensor
    intercept: Tensor
    words: Tensor

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.view, self.prior = member.choice.view, float(member.choice.prior)
        self.register_buffer("coefficients", constant(member.coefficients))
        self.register_buffer("intercept", constant(member.intercept))
        words = member.word_coefficients
        self.has_words = words is not None and len(words) > 0
        self.register_buffer("words", constant(words if words is not None else np.zeros((0, 0))))

    def forward(self, features: Tensor, mean: Tensor, words: Tensor | None, prior: Tensor) -> Tensor:
        if self.view == "last":
            view = normalise(features[:, -1] - mean[-1])
        else:
            view = normalise(features - mean).flatten(1) / features.shape[1] ** 0.5
        logits = view @ self.coefficients + self.intercept + self.prior * prior
        return logits + words @ self.words if self.has_words and words is not None else logits


class BlendGraph(nn.Module):
    """The blend of a head's answer [n, K] with a fine-tuned encoder's, whose last layer is [n, width]."""

    coefficients: Tensor
    bias: Tensor
    known: Tensor
    columns: Tensor

    def __init__(self, part: TunedHead, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.multilabel, self.weight, self.temperature = part.multilabel, float(part.weight), float(part.temperature)
        self.register_buffer("coefficients", constant(part.coefficients.T))
        self.register_buffer("bias", constant(part.bias))
        column = {label: index for index, label in enumerate(part.labels)}
        known = [label in column for label in labels]
        self.same = part.labels == labels
        self.register_buffer("known", torch.tensor(known))
        self.register_buffer("columns", torch.tensor([column.get(label, 0) for label in labels]))

    def forward(self, own: Tensor, tuned: Tensor) -> Tensor:
        logits = normalise(tuned) @ self.coefficients + self.bias
        said = torch.sigmoid(logits) if self.multilabel else torch.softmax(logits, 1)
        said = said if self.same else self._align(said, own)
        if self.multilabel:
            low = 1e-6
            mixed = self.weight * torch.logit(said.clamp(low, 1.0 - low))
            mixed = torch.sigmoid(mixed + (1 - self.weight) * torch.logit(own.clamp(low, 1.0 - low)))
        else:
            logs = self.weight * said.clamp_min(1e-12).log() + (1 - self.weight) * own.clamp_min(1e-12).log()
            mixed = torch.softmax(logs, 1)
        return at_temperature(mixed, self.temperature, multilabel=self.multilabel)

    def _align(self, said: Tensor, own: Tensor) -> Tensor:
        """`model.versions.finetuned.align_columns`."""
        mine = torch.where(self.known, said[:, self.columns], torch.zeros_like(own))
        if not self.multilabel:
            share = torch.where(self.known, own, torch.zeros_like(own)).sum(1, keepdim=True)
            mine = mine / mine.sum(1, keepdim=True).clamp_min(1e-12) * share
        return torch.where(self.known, mine, own)
