"""prior-LR: which features, how much label-name prior and which regularisation, decided out-of-fold.

The best candidates by out-of-fold likelihood are averaged. The search is coarse to fine: all
feature spaces at one strength, then other strengths for the best of them. `model/head/search_plan.py` says what is
tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from model.features.tfidf import Terms
from model.head.feature_space import Space, choose_landmarks
from model.head.head_config import Choice
from model.head.linear_head import Member, Reference
from model.head.search_plan import SearchPlan
from model.numerics.arrays import Floats, softmax_rows
from model.numerics.logistic import fit_blocks
from model.numerics.metrics import log_losses, log_losses_binary
from model.spec import Text


@dataclass(frozen=True)
class Data:
    """The labelled rows of one control: texts, pooled features [n, depth, width], targets [n, K], weights [n]."""

    texts: Sequence[Text]
    pooled: Floats
    targets: Floats
    weights: Floats
    multilabel: bool
    reference: Reference
    terms: Terms
    folds: NDArray[np.int64]  # [n]; all zeros when there are too few rows for folds

    def take(self, rows: NDArray[np.int64]) -> Data:
        """Some of the rows."""
        texts = [self.texts[row] for row in rows]
        return replace(
            self,
            texts=texts,
            pooled=self.pooled[rows],
            targets=self.targets[rows],
            weights=self.weights[rows],
            folds=self.folds[rows],
        )

    @cached_property
    def zero_shot(self) -> Floats:
        """The answers without labels [n, K]."""
        return self.reference.zero_shot(self.pooled)


@dataclass(frozen=True)
class Candidate:
    """One choice with its out-of-fold probabilities on the scored rows [m, K], and their losses [m]."""

    choice: Choice
    probabilities: Floats
    losses: Floats
    loss: float  # weighted mean


class Search:
    """Fits and scores candidates on one control's rows."""

    def __init__(self, data: Data, iterations: int = 60) -> None:
        self.data, self.iterations = data, iterations
        self._prior = data.reference.prior(data.pooled)
        self._spaces: dict[tuple[str, bool], Space] = {}
        self._landmarks = choose_landmarks(data.targets, 0)
        self._loss = log_losses_binary if data.multilabel else log_losses

    def space(self, view: str, words: bool) -> Space:
        """The feature space of this view, made once."""
        if (view, words) not in self._spaces:
            data = self.data
            terms = data.terms if words else None
            self._spaces[view, words] = Space(
                data.texts, data.pooled, data.reference.mean, terms, view, self._landmarks
            )
        return self._spaces[view, words]

    def scored_rows(self, scored: int) -> NDArray[np.int64]:
        """The rows of the first `scored` folds."""
        return np.flatnonzero(self.data.folds < scored)

    def score(self, view: str, words: bool, priors: Sequence[float], strength: float, scored: int) -> list[Candidate]:
        """Candidates for several prior shares at once, answered on the rows of the first `scored` folds by models
        that were fitted without the row's fold."""
        data, space = self.data, self.space(view, words)
        scored = min(scored, int(data.folds.max()) + 1)
        pairs = [(prior, fold) for prior in priors for fold in range(scored)]
        weights = np.stack([data.weights * (data.folds != fold) for _, fold in pairs])
        offsets = np.stack([prior * self._prior for prior, _ in pairs])
        logits = self._logits(space, weights, offsets, strength)
        rows = self.scored_rows(scored)
        return [
            self._candidate(
                Choice(view, words, prior, strength),
                logits[index * scored : (index + 1) * scored][data.folds[rows], rows],
                rows,
            )
            for index, prior in enumerate(priors)
        ]

    def cross_fit(self, choices: Sequence[Choice], shares: Sequence[float], scored: int) -> Floats:
        """What the average of `choices` answers on the rows of the first `scored` folds [m, K], fitted without them."""
        parts = [
            share * self.score(c.view, c.words, [c.prior], c.strength, scored)[0].probabilities
            for c, share in zip(choices, shares, strict=True)
        ]
        return np.sum(parts, axis=0)

    def fit(self, choices: Sequence[Choice], shares: Sequence[float]) -> tuple[Member, ...]:
        """The chosen members, fitted on all rows."""
        members = []
        for choice, share in zip(choices, shares, strict=True):
            space = self.space(choice.view, choice.words)
            coefficients, intercepts = fit_blocks(
                space.rows,
                self.data.targets,
                self.data.weights[None],
                choice.prior * self._prior[None],
                choice.strength,
                multilabel=self.data.multilabel,
                iterations=self.iterations,
            )
            dense, words = space.primal(coefficients[0])
            members.append(Member(choice, float(share), dense, intercepts[0], words))
        return tuple(members)

    def _logits(self, space: Space, weights: Floats, offsets: Floats, strength: float) -> Floats:
        data = self.data
        coefficients, intercepts = fit_blocks(
            space.rows,
            data.targets,
            weights,
            offsets,
            strength,
            multilabel=data.multilabel,
            iterations=self.iterations,
        )
        return space.rows @ coefficients + intercepts[:, None] + offsets

    def _candidate(self, choice: Choice, logits: Floats, rows: NDArray[np.int64]) -> Candidate:
        probabilities = expit(logits) if self.data.multilabel else softmax_rows(logits)
        losses = self._loss(probabilities, self.data.targets[rows])
        return Candidate(choice, probabilities, losses, float(np.average(losses, weights=self.data.weights[rows])))


def search(runner: Search, plan: SearchPlan) -> list[Candidate]:
    """All scored candidates of the plan."""
    first, *others = plan.strengths
    candidates = [c for view, words in plan.spaces for c in runner.score(view, words, plan.priors, first, plan.scored)]
    best = sorted(plan.spaces, key=lambda s: min(c.loss for c in candidates if (c.choice.view, c.choice.words) == s))
    for view, words in best[: plan.deep]:
        for strength in others:
            candidates += runner.score(view, words, plan.priors, strength, plan.scored)
    return candidates
