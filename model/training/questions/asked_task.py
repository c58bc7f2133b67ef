"""The loss of a fine-tune on questions: minus the log-likelihood of what answers them, over all runs of words of the
window and no answer.

A token's scores as an answer's first and last = dropout(x) W' + b; a word's are those of the best of its tokens, and no
answer is both of the window's first token, as `transformers` has it. W starts from the base model's own head, or from
zero. A window that holds no answer has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from model.encoder.windows import Window, Windows
from model.pretrained.answering_head import AnsweringHead
from model.questions.tuned_answers import AnswerScorer
from model.training.layers.packed_layer import Noise
from model.training.marks.drawn import Drawn
from model.training.marks.marked_set import draw_texts
from model.training.questions.asked_set import AskedPart, AskedSet, read_asked

IMPOSSIBLE = -1e9

States = Callable[[Sequence[Window]], list[Tensor]]
"""Last-layer outputs [length, width] of each window."""


class AskedTask(nn.Module):
    """One control's heads on pairs of passages and questions, in training."""

    def __init__(self, lesson: AskedSet, windows: Windows, width: int, dropout: float, device: torch.device) -> None:
        super().__init__()
        self.lesson, self.dropout, self.device = lesson, dropout, device
        self.parts = read_asked(windows, lesson.pairs)
        self.used = [row for row, own in enumerate(self.parts) if own]
        weight, bias = lesson.start or (np.zeros((2, width), np.float32), np.zeros(2, np.float32))
        count = len(lesson.labels)
        self.weight = nn.Parameter(torch.tensor(np.tile(weight, (count, 1)), device=device))
        self.bias = torch.tensor(np.tile(bias, count), device=device)  # all candidates have it: nothing to be learned
        self.noise = Noise()

    def drawn(self, seed: int, step: int, size: int) -> Drawn:
        """The batch of a step, the `step`th of this task: some questions, and a window of each."""
        rows = [self.used[place] for place in draw_texts(len(self.used), seed, step, size)]
        generator = np.random.default_rng([seed, step])
        parts = [self.parts[row][int(generator.integers(len(self.parts[row])))] for row in rows]
        return Drawn(
            [part.window for part in parts],
            [part.count for part in parts],
            lambda places, states: self.states([parts[place] for place in places], states),
            lambda own, noise: self.loss(rows, parts, own, noise),
        )

    def states(self, parts: Sequence[AskedPart], states: Sequence[Tensor]) -> list[Tensor]:
        """Of each window the states that are looked at [tokens, width]."""
        return [own[torch.from_numpy(part.rows).to(own.device)] for part, own in zip(parts, states, strict=True)]

    def loss(
        self, rows: Sequence[int], parts: Sequence[AskedPart], own: Sequence[Tensor], seed: Sequence[int]
    ) -> Tensor:
        """Of a batch, by the weights of its questions; dropout drawn from `seed`."""
        self.noise.begin(seed)
        losses, weights = self._losses(self.lesson, rows, parts, [self.noise.drop(one, self.dropout) for one in own])
        return (losses * weights).sum() / weights.sum()

    @torch.no_grad()
    def held_out_loss(self, held: AskedTask, states: States, size: int) -> float:
        """Mean loss of a question of `held`, by these heads as they are now; of the first windows."""
        total = weight = 0.0
        for start in range(0, len(held.used), size):
            rows = held.used[start : start + size]
            parts = [held.parts[row][0] for row in rows]
            own = self.states(parts, states([part.window for part in parts]))
            losses, weights = self._losses(held.lesson, rows, parts, own)
            total += float((losses * weights).sum())
            weight += float(weights.sum())
        return total / weight if weight else 0.0

    def scorer(self) -> AnswerScorer:
        """What is served."""
        weight, bias = (own.detach().cpu().numpy().copy() for own in (self.weight, self.bias))
        heads = [AnsweringHead(weight[at : at + 2], bias[at : at + 2]) for at in range(0, len(bias), 2)]
        return AnswerScorer(self.lesson.labels, tuple(heads))

    def _losses(
        self, lesson: AskedSet, rows: Sequence[int], parts: Sequence[AskedPart], own: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Of each question over all labels, and its weight."""
        losses = [
            sum((_loss(lesson, row, part, label, scores) for label, scores in enumerate(self._scores(states))), start=0)
            for row, part, states in zip(rows, parts, own, strict=True)
        ]
        weights = torch.tensor([lesson.weights[row] for row in rows], dtype=torch.float32, device=self.device)
        return torch.stack([torch.as_tensor(one, device=self.device) for one in losses]), weights

    def _scores(self, states: Tensor) -> Sequence[Tensor]:
        """Of tokens [tokens, 2] for each label."""
        return (states.float() @ self.weight.T + self.bias).split(2, dim=1)


def _loss(lesson: AskedSet, row: int, part: AskedPart, label: int, tokens: Tensor) -> Tensor:
    """Of one window and one label, from the scores of its tokens [tokens, 2]."""
    count, device = len(part.words), tokens.device
    owners, places = (torch.from_numpy(own).to(device) for own in (part.owners, part.tokens))
    words = tokens.new_full((count, 2), IMPOSSIBLE).scatter_reduce(
        0, owners[:, None].expand(-1, 2), tokens[places], "amax", include_self=False
    )
    longest = min(lesson.longest, count)
    first = torch.arange(count, device=device)[:, None]
    last = first + torch.arange(longest, device=device)[None]
    inside = (last < count).cpu().numpy()
    scores = words[:, :1] + words[last.clamp(max=count - 1), 1]
    none = tokens[0].sum()
    right = _right(lesson.answers[row][label], part, inside)
    scores = scores.masked_fill(~torch.from_numpy(inside).to(device), IMPOSSIBLE)
    total = torch.cat([scores.flatten(), none[None]]).logsumexp(0)
    if right is None:
        return total - none
    return total - scores[torch.from_numpy(right).to(device)].logsumexp(0)


def _right(answers: Sequence[tuple[int, int]], part: AskedPart, inside: np.ndarray) -> np.ndarray | None:
    """Which runs of words are right [words, sizes]; None where no answer lies in the window."""
    found = np.zeros(inside.shape, bool)
    for first, last in answers:
        begin = int(np.searchsorted(part.words, first))
        end = begin + last - first
        whole = end < len(part.words) and part.words[begin] == first and part.words[end] == last
        if whole and last - first < inside.shape[1]:
            found[begin, last - first] = True
    return found if found.any() else None
