"""The loss of a fine-tune on marked text: cross-entropy of each word's tag; its state is the mean over its pieces.

logits = dropout(x) W' + b, with weights of their own added where a word starts with a capital (the encoder may not see
that), and what the prior says where there is one. Without a prior b starts from how often each tag occurs: most words
are of none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.encoder.windows import Window, Windows
from model.spans.head.tuned_marks import WordScorer
from model.spans.transfer.prior import TransferPrior
from model.training.layers.packed_layer import Noise
from model.training.marks.drawn import Drawn
from model.training.marks.marked_set import MarkedSet, WordPart, draw_texts, read_parts

SMOOTHED = 0.5
"""Added to the count of each tag."""

States = Callable[[Sequence[Window]], list[Tensor]]
"""Last-layer outputs [length, width] of each window."""


@dataclass(frozen=True)
class MarkedBatch:
    """Texts by their places, and a window of each."""

    rows: list[int]
    parts: list[WordPart]


class MarkedTask(nn.Module):
    """One control's head on the words, in training."""

    def __init__(self, lesson: MarkedSet, windows: Windows, width: int, dropout: float, device: torch.device) -> None:
        super().__init__()
        self.lesson, self.dropout, self.device = lesson, dropout, device
        self.parts = read_parts(windows, lesson.texts)
        self.used = [row for row, own in enumerate(self.parts) if own]
        size = lesson.size
        counts = np.bincount(np.concatenate([*lesson.tags, np.zeros(0, np.int64)]), minlength=size) + SMOOTHED
        start = np.zeros(size) if lesson.offsets else np.log(counts / counts.sum())
        self.weight = nn.Parameter(torch.zeros(size, width, device=device))
        self.gated = nn.Parameter(torch.zeros(size, width, device=device))
        self.bias = nn.Parameter(torch.tensor(start, dtype=torch.float32, device=device))
        self.noise = Noise()

    def draw(self, seed: int, step: int, size: int) -> MarkedBatch:
        """The batch of a step, the `step`th of this task."""
        rows = [self.used[place] for place in draw_texts(len(self.used), seed, step, size)]
        generator = np.random.default_rng([seed, step])
        return MarkedBatch(rows, [self.parts[row][int(generator.integers(len(self.parts[row])))] for row in rows])

    def drawn(self, seed: int, step: int, size: int) -> Drawn:
        """The same, for a trainer that knows no words."""
        batch = self.draw(seed, step, size)
        return Drawn(
            [part.window for part in batch.parts],
            [len(part.words) for part in batch.parts],
            lambda places, states: self.words([batch.parts[place] for place in places], states),
            lambda words, noise: self.loss(batch, words, noise),
        )

    def words(self, parts: Sequence[WordPart], states: Sequence[Tensor]) -> list[Tensor]:
        """The words' states [words, width] of each window."""
        found = []
        for part, own in zip(parts, states, strict=True):
            owners, tokens = (torch.from_numpy(places).to(own.device) for places in (part.owners, part.tokens))
            count = torch.bincount(owners, minlength=len(part.words)).to(own.dtype)
            found.append(
                own.new_zeros(len(part.words), own.shape[1]).index_add(0, owners, own[tokens]) / count[:, None]
            )
        return found

    def loss(self, batch: MarkedBatch, words: Sequence[Tensor], seed: Sequence[int]) -> Tensor:
        """Of the words of all texts of a batch, by the weights of the texts; dropout drawn from `seed`."""
        self.noise.begin(seed)
        logits = self._logits(batch, [self.noise.drop(own, self.dropout) for own in words])
        gold, weights = self._gold(batch)
        return (F.cross_entropy(logits, gold, reduction="none") * weights).sum() / weights.sum()

    @torch.no_grad()
    def held_out_loss(self, held: MarkedTask, states: States, size: int) -> float:
        """Mean loss of a word in the texts of `held`, by this head as it is now; of their first windows."""
        total = weight = 0.0
        for start in range(0, len(held.used), size):
            rows = held.used[start : start + size]
            batch = MarkedBatch(rows, [held.parts[row][0] for row in rows])
            words = self.words(batch.parts, states([part.window for part in batch.parts]))
            gold, weights = held._gold(batch)
            losses = F.cross_entropy(self._logits(batch, words, held.lesson), gold, reduction="none")
            total += float((losses * weights).sum())
            weight += float(weights.sum())
        return total / weight if weight else 0.0

    def scorer(self, names: np.ndarray, offset: float, prior: TransferPrior | None) -> WordScorer:
        """What is served."""
        weight, gated, bias = (own.detach().cpu().numpy().copy() for own in (self.weight, self.gated, self.bias))
        return WordScorer(self.lesson.labels, weight, gated, bias, names, offset, prior)

    def _logits(self, batch: MarkedBatch, words: Sequence[Tensor], lesson: MarkedSet | None = None) -> Tensor:
        lesson = lesson or self.lesson
        states = torch.cat([own.float() for own in words])
        logits = states @ self.weight.T + self.bias
        sizes = np.cumsum([0, *(len(part.words) for part in batch.parts)])
        capitals = np.concatenate([part.capitals + first for part, first in zip(batch.parts, sizes, strict=False)])
        places = torch.from_numpy(capitals).to(self.device)
        logits = logits.index_add(0, places, states[places] @ self.gated.T)
        if not lesson.offsets:
            return logits
        offsets = [lesson.offsets[row][part.words] for row, part in zip(batch.rows, batch.parts, strict=True)]
        return logits + torch.from_numpy(np.concatenate(offsets).astype(np.float32)).to(self.device)

    def _gold(self, batch: MarkedBatch) -> tuple[Tensor, Tensor]:
        """Tags and weights of the words of a batch."""
        lesson, rows = self.lesson, list(zip(batch.rows, batch.parts, strict=True))
        tags = np.concatenate([lesson.tags[row][part.words] for row, part in rows])
        weights = np.concatenate([np.full(len(part.words), lesson.weights[row], np.float32) for row, part in rows])
        return torch.from_numpy(tags).to(self.device), torch.from_numpy(weights).to(self.device)
