"""The loss of a student on marked text: cross-entropy with how likely each tag is, of every word piece by itself, as a
stock class for tokens scores them. A word's further pieces go on with what its first one begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.encoder.token_states import STRIDE, window_pieces
from model.encoder.windows import Window, Windows
from model.numerics.arrays import Floats
from model.spans.features.reading import overlaps
from model.spans.words import find_words
from model.training.layers.packed_layer import Noise
from model.training.marks.drawn import Drawn
from model.training.marks.marked_set import draw_texts

LEAST_SHARE = 1e-3
"""Of a tag, in the bias that the head starts with."""

Tags = NDArray[np.float32]

States = Callable[[Sequence[Window]], list[Tensor]]
"""Last-layer outputs [length, width] of each window."""


@dataclass(frozen=True)
class SoftSet:
    """What is taught: `tags` [words, size] of each text, how likely each tag is (O, and B and I of each label)."""

    texts: Sequence[str]
    tags: Sequence[Tags]
    size: int


@dataclass(frozen=True)
class PiecePart:
    """One window of a text, and the tags [pieces, size] of its pieces, which begin at `first` in it."""

    window: Window
    first: int
    tags: Tags


class SoftTask(nn.Module):
    """The head on word pieces, in training."""

    def __init__(self, lesson: SoftSet, windows: Windows, width: int, dropout: float, device: torch.device) -> None:
        super().__init__()
        self.lesson, self.dropout, self.device = lesson, dropout, device
        self.parts = _read_parts(windows, lesson)
        self.used = [row for row, own in enumerate(self.parts) if own]
        counts = np.sum([part.tags.sum(0) for own in self.parts for part in own], axis=0, initial=0.0)
        shares = counts / max(float(np.sum(counts)), 1.0) + np.full(lesson.size, LEAST_SHARE)
        self.weight = nn.Parameter(torch.zeros(lesson.size, width, device=device))
        self.bias = nn.Parameter(torch.tensor(np.log(shares), dtype=torch.float32, device=device))
        self.noise = Noise()

    def drawn(self, seed: int, step: int, size: int) -> Drawn:
        """The batch of a step, the `step`th of this task: some texts, and a window of each."""
        rows = [self.used[place] for place in draw_texts(len(self.used), seed, step, size)]
        generator = np.random.default_rng([seed, step])
        parts = [self.parts[row][int(generator.integers(len(self.parts[row])))] for row in rows]
        return Drawn(
            [part.window for part in parts],
            [len(part.tags) for part in parts],
            lambda places, states: _pick([parts[place] for place in places], states),
            lambda own, noise: self._loss(parts, own, noise),
        )

    @torch.no_grad()
    def answers(self, held: SoftTask, states: States, size: int) -> tuple[Floats, Floats]:
        """What this head says of the pieces of the first windows of `held`, and what is taught there [pieces, size]."""
        said: list[Floats] = [np.zeros((0, self.lesson.size))]
        taught: list[Floats] = [np.zeros((0, self.lesson.size))]
        for start in range(0, len(held.used), size):
            parts = [held.parts[row][0] for row in held.used[start : start + size]]
            own = _pick(parts, states([part.window for part in parts]))
            said.append(self._logits(own).softmax(-1).double().cpu().numpy())
            taught += [part.tags.astype(float) for part in parts]
        return np.concatenate(said), np.concatenate(taught)

    def _loss(self, parts: Sequence[PiecePart], states: Sequence[Tensor], seed: Sequence[int]) -> Tensor:
        """Of a batch; dropout drawn from `seed`."""
        self.noise.begin(seed)
        return self._losses(parts, [self.noise.drop(own, self.dropout) for own in states]).mean()

    def _losses(self, parts: Sequence[PiecePart], states: Sequence[Tensor]) -> Tensor:
        tags = torch.from_numpy(np.concatenate([part.tags for part in parts])).to(self.device)
        return -(tags * self._logits(states).log_softmax(-1)).sum(-1)

    def _logits(self, states: Sequence[Tensor]) -> Tensor:
        return torch.cat([own.float() for own in states]) @ self.weight.T + self.bias


def _pick(parts: Sequence[PiecePart], states: Sequence[Tensor]) -> list[Tensor]:
    """The states [pieces, width] of each window's pieces."""
    return [own[part.first : part.first + len(part.tags)] for part, own in zip(parts, states, strict=True)]


def _read_parts(windows: Windows, lesson: SoftSet) -> list[list[PiecePart]]:
    """The windows of each text; none of a text without a piece."""
    before, after = windows.frame
    length = window_pieces(windows)
    found = []
    for text, tags, pieces in zip(lesson.texts, lesson.tags, windows.pieces(lesson.texts), strict=True):
        own, count = _of_pieces(text, pieces.offsets, tags, lesson.size), len(pieces.ids)
        starts = [0] if count <= length else [*range(0, count - length, min(STRIDE, length)), count - length]
        parts = []
        for start in starts if count else ():
            end = min(start + length, count)
            ids = [*before, *pieces.ids[start:end], *after]
            parts.append(PiecePart(Window(0, ids, [0] * len(ids)), len(before), own[start:end]))
        found.append(parts)
    return found


def _of_pieces(text: str, offsets: Sequence[tuple[int, int]], tags: Tags, size: int) -> Tags:
    """Of each piece [pieces, size] what its word's tag is; of one without a word none."""
    owners, rows = overlaps(find_words(text), offsets)
    found = np.zeros((len(offsets), size), np.float32)
    found[:, 0] = 1.0
    begun: set[int] = set()
    filled: set[int] = set()
    for word, row in zip(owners, rows, strict=True):
        if row in filled:  # of two words that share a piece the first one says
            continue
        filled.add(row)
        found[row] = tags[word]
        if word in begun:
            found[row, 2::2] += found[row, 1::2]
            found[row, 1::2] = 0.0
        begun.add(word)
    return found
