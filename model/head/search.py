"""prior-LR: which features, how much label-name prior and which regularisation, decided out-of-fold.

The best candidates by out-of-fold likelihood are averaged. The search is coarse to fine: all
feature spaces at one strength, then other strengths for the best of them. `model/head/search.py` says what is
tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from model.features.tfidf import Terms
from model.head.feature_space import SPACE_DIMENSIONS, Space, choose_landmarks
from model.head.head_config import Choice, MemberConfig
from model.head.linear_head import Member, Reference
from model.numerics.arrays import Floats, softmax_rows
from model.numerics.logistic import VERY_MANY, fit_blocks
from model.numerics.metrics import log_losses, log_losses_binary
from model.spec import Text

SEARCH_ROWS = 1000
"""Most rows that choices are made on."""

SEARCH_SIZE = 20_000_000
"""Rows x dimensions x classes of one fit of the search: a tenth of a second on one core."""

FULL_SIZE = 10_000_000
"""Rows x dimensions x classes up to which all folds of all candidates are fitted."""

SEARCH_WORK = 150_000_000
"""Rows x dimensions x classes of all fits of a search together, above which it is lightened: one to two seconds on one
core. Banking77, 128 to 256 labels, 2 orders: accuracy .696 against .697, log-loss 1.109 against 1.107, in 57 % of the
time; 100 labels of 1,000 classes: in a sixth."""

HUGE_SIZE = 150_000_000
"""From here on one member is fitted instead of the average of a few."""

FULL_ROWS = 600

STRENGTHS_TRIED = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)

MANY_CLASSES = 16
"""Above this many classes weaker regularisation wins: with 77 and 1,000 labels 100 is best, with 2 it is 3."""

FEW_STRENGTHS, MANY_STRENGTHS = (10.0, 3.0, 30.0, 1.0, 100.0), (100.0, 30.0, 300.0, 10.0)

PRIOR_STRENGTHS = (0.0, 10.0, 20.0)

FEATURE_SPACES = tuple((view, words) for view in ("last", "layers") for words in (False, True))


@dataclass(frozen=True)
class SearchPlan:
    """`spaces` (view, words), `priors` and `strengths` to try; the first strength goes to every space, the others only
    to the best `deep` of them. `folds`: how many parts the rows are dealt to, `scored`: how many of these are held
    out in turn. `rows`: how many rows the choices are made on. `members`: how many candidates are averaged."""

    spaces: tuple[tuple[str, bool], ...]
    priors: tuple[float, ...]
    strengths: tuple[float, ...]
    folds: int
    scored: int
    rows: int
    members: int = 4
    deep: int = 2
    iterations: int = 60

    @property
    def whole(self) -> bool:
        """Whether every row is answered out-of-fold during the search."""
        return self.scored == self.folds

    @property
    def fits(self) -> int:
        """How many problems the search solves."""
        return self.scored * len(self.priors) * (len(self.spaces) + self.deep * (len(self.strengths) - 1))


def plan_search(rows: int, classes: int, previous: Sequence[MemberConfig] = ()) -> SearchPlan:
    """Up to FULL_ROWS and FULL_SIZE every row is answered out-of-fold, in 5 folds, 3 above 128 rows; all spaces and
    priors are tried, and all strengths unless `previous`, the members of the last head, had one that can be started
    from, above 128 rows; with many classes only as much of this as SEARCH_WORK allows (see `_lighten`).

    Thinned above that: one fold in five is held out; choices are made on fewer rows, the fewer the more classes; only
    the last winner's two spaces are tried, two strengths beside its own, two priors; two members are averaged, one
    above HUGE_SIZE. Above VERY_MANY classes only strength and prior are chosen."""
    strengths = MANY_STRENGTHS if classes > MANY_CLASSES else FEW_STRENGTHS + ((0.3,) if rows <= 32 else ())
    priors = PRIOR_STRENGTHS[1:] if classes > 50 and rows >= 256 else PRIOR_STRENGTHS
    choices = [member.choice for member in previous] if rows > 128 else []
    if choices:
        own = choices[0].strength
        strengths = (own, *_neighbours(own))
    if classes > VERY_MANY:
        # All layers would be a head of 46 MB at 6,000 classes, words another 97: one member on the last layer.
        folds = min(5, max(2, rows))
        return SearchPlan(
            (("last", False),), priors[-2:], strengths[:2], folds, 1, min(rows, 300), 1, 1, 30 if rows <= 1000 else 12
        )
    size = rows * min(rows, SPACE_DIMENSIONS) * classes
    if size <= FULL_SIZE and rows <= FULL_ROWS:
        folds = 3 if rows > 128 else 5
        return _lighten(
            SearchPlan(FEATURE_SPACES, priors, strengths, folds, folds, rows, deep=1 if choices else 2), size
        )
    best = tuple(dict.fromkeys((choice.view, choice.words) for choice in choices))[:2]
    limit = max(300, min(SEARCH_ROWS, SEARCH_SIZE // (SPACE_DIMENSIONS * classes)))
    return SearchPlan(
        best or FEATURE_SPACES,
        priors[-2:],
        strengths[:3],
        5,
        1,
        min(rows, limit),
        members=1 if size > HUGE_SIZE else 2,
        deep=1,
        iterations=30,
    )


def _lighten(plan: SearchPlan, size: int) -> SearchPlan:
    """Less of what matters least, one thing after the other, while all fits together are too much work: strengths in
    the second-best space, folds, strengths, the middle prior. The spaces stay: leaving one out costs a point
    (banking77, 256 labels); so does the prior of 0, where there is one: the names may mislead."""
    less: tuple[Callable[[SearchPlan], SearchPlan], ...] = (
        lambda plan: replace(plan, deep=1),
        lambda plan: replace(plan, folds=3, scored=3),
        lambda plan: replace(plan, strengths=plan.strengths[:2]),
        lambda plan: replace(plan, priors=(plan.priors[0], plan.priors[-1])),
    )
    for lighten in less:
        if plan.fits * size <= SEARCH_WORK:
            break
        plan = lighten(plan)
    return plan


def _neighbours(strength: float) -> tuple[float, ...]:
    """The next smaller and the next larger one of the ladder."""
    below = [s for s in STRENGTHS_TRIED if s < strength]
    above = [s for s in STRENGTHS_TRIED if s > strength]
    return (*below[-1:], *above[:1])


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
