"""prior-LR: which features, how much label-name prior and which regularisation, decided out-of-fold.

The four best candidates by out-of-fold likelihood are averaged (LEARNING, method g9). The search is coarse to fine: all
feature sets at one strength, then other strengths for the best two; with many rows or classes only around the
last winner. What is thinned is said in `plan_search`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.evaluation import log_losses, log_losses_binary
from model.features import Terms, dense_features
from model.head import Choice, Member, Reference
from model.linear import fit_blocks, softmax_rows
from model.spec import Text

Floats = NDArray[np.floating]

DIMENSIONS = 384
"""Directions kept of the joined feature space (the eigenvectors of the Gram matrix)."""

EXACT_ROWS = 800
"""Up to here the Gram matrix is decomposed exactly; beyond, its leading directions are found by random projection."""

LEADING, OVERSAMPLED = 256, 24

MEMBERS = 4


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


@dataclass(frozen=True)
class Candidate:
    """One choice with its out-of-fold probabilities [n, K] and the mean loss they give."""

    choice: Choice
    loss: float
    probabilities: Floats


class Space:
    """One joined feature space, reduced to at most DIMENSIONS directions, with the way back to the features."""

    def __init__(self, data: Data, view: str, words: bool) -> None:
        self.view, self.words = view, words
        self._dense = dense_features(data.pooled, data.reference.mean, view)
        self._sparse = data.terms.transform(data.texts) if words else None
        values, vectors = self._decompose()
        keep = values > 1e-6 * max(float(values.max(initial=0)), 1e-12)
        values, vectors = values[keep][:DIMENSIONS], vectors[:, keep][:, :DIMENSIONS]
        self.rows = vectors * np.sqrt(values)
        self._back = vectors / np.sqrt(values)

    def _decompose(self) -> tuple[Floats, Floats]:
        """Eigenvalues (descending) and vectors [n, r] of the Gram matrix of the rows."""
        gram = self._dense @ self._dense.T
        if self._sparse is not None:
            gram = gram + (self._sparse @ self._sparse.T).toarray()
        if len(gram) <= EXACT_ROWS:
            values, vectors = np.linalg.eigh(gram.astype(np.float64))
            return values[::-1], vectors[:, ::-1]
        return leading_eigenvectors(gram.astype(np.float32), LEADING)

    def primal(self, coefficients: Floats) -> tuple[Floats, Floats | None]:
        """Coefficients [r, K] of the reduced space as coefficients of the dense and the word features."""
        dual = self._back @ coefficients
        words = None if self._sparse is None else np.asarray(self._sparse.T @ dual)
        return self._dense.T @ dual, words


def leading_eigenvectors(gram: Floats, count: int) -> tuple[Floats, Floats]:
    """The `count` largest eigenvalues (descending) and their vectors [n, count] of a Gram matrix [n, n].

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011) with a fixed seed: 0.05 s at 1,000 rows on one
    core, where the exact decomposition takes 0.26 s and one of the features, of which there are more, 0.7 s."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((len(gram), count + OVERSAMPLED)).astype(gram.dtype)
    for _ in range(2):
        basis = np.linalg.qr(gram @ basis)[0]
    values, vectors = np.linalg.eigh(basis.T @ gram @ basis)
    return values[::-1][:count].astype(np.float64), (basis @ vectors[:, ::-1][:, :count]).astype(np.float64)


class Search:
    """Fits and scores candidates on one control's rows."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self._prior = data.reference.prior(data.pooled)
        self._spaces: dict[tuple[str, bool], Space] = {}
        self._loss = log_losses_binary if data.multilabel else log_losses

    def space(self, view: str, words: bool) -> Space:
        """The feature space of this view, made once."""
        if (view, words) not in self._spaces:
            self._spaces[view, words] = Space(self.data, view, words)
        return self._spaces[view, words]

    def score(self, view: str, words: bool, priors: Sequence[float], strength: float) -> list[Candidate]:
        """Out-of-fold candidates for several prior shares at once."""
        data, space = self.data, self.space(view, words)
        folds = range(int(data.folds.max()) + 1)
        pairs = [(prior, fold) for prior in priors for fold in folds]
        weights = np.stack([data.weights * (data.folds != fold) for _, fold in pairs])
        offsets = np.stack([prior * self._prior for prior, _ in pairs])
        coefficients, intercepts = fit_blocks(
            space.rows, data.targets, weights, offsets, strength, multilabel=data.multilabel
        )
        logits = space.rows @ coefficients + intercepts[:, None] + offsets
        candidates = []
        for index, prior in enumerate(priors):
            mine = logits[index * len(folds) : (index + 1) * len(folds)]
            held_out = mine[data.folds, np.arange(len(data.folds))]
            probabilities = self._link(held_out)
            loss = float(np.average(self._loss(probabilities, data.targets), weights=data.weights))
            candidates.append(Candidate(Choice(view, words, prior, strength), loss, probabilities))
        return candidates

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
            )
            dense, words = space.primal(coefficients[0])
            members.append(Member(choice, float(share), dense, intercepts[0], words))
        return tuple(members)

    def _link(self, logits: Floats) -> Floats:
        return 1 / (1 + np.exp(-logits)) if self.data.multilabel else softmax_rows(logits)


def select_members(candidates: Sequence[Candidate], count: int) -> tuple[list[Candidate], list[float]]:
    """The best candidates and their shares.

    Two nats in favour of a label-name prior; weights exp(-.5 min(n, 100) Δloss); members under 5 % are dropped.
    """
    losses = np.array([c.loss - (2 / count if c.choice.prior > 0 else 0) for c in candidates])
    order = np.argsort(losses, kind="stable")[:MEMBERS]
    shares = np.exp(-0.5 * min(count, 100) * (losses[order] - losses[order[0]]))
    shares /= shares.sum()
    kept = shares >= 0.05
    return [candidates[i] for i in order[kept]], list(shares[kept] / shares[kept].sum())


def search(data: Data, previous: Mapping[str, Any] | None = None) -> tuple[Search, list[Candidate]]:
    """All scored candidates of the plan for this amount of data."""
    runner = Search(data)
    spaces, priors, strengths = plan_search(len(data.texts), data.targets.shape[1], previous)
    candidates = [c for view, words in spaces for c in runner.score(view, words, priors, strengths[0])]
    best = sorted(spaces, key=lambda s: min(c.loss for c in candidates if (c.choice.view, c.choice.words) == s))
    for view, words in best[:2]:
        for strength in strengths[1:]:
            candidates += runner.score(view, words, priors, strength)
    return runner, candidates


def plan_search(
    rows: int, classes: int, previous: Mapping[str, Any] | None
) -> tuple[list[tuple[str, bool]], list[float], list[float]]:
    """(feature spaces, prior shares, strengths; the first strength is tried on every space).

    Thinned: above 50 classes two prior shares; above 150 000 row-class-dimension units only the last winner's
    two spaces; above 2 million one strength beside its own.
    """
    spaces = [(view, words) for view in ("last", "layers") for words in (False, True)]
    priors = [10.0, 20.0] if classes > 50 and rows >= 256 else [0.0, 10.0, 20.0]
    strengths = [30.0, 3.0, 300.0] + ([0.3] if rows <= 32 else [])
    size = rows * min(rows, DIMENSIONS) * classes
    members = list(previous.get("members", ())) if previous else []
    if size > 150_000 and members:
        spaces = list(dict.fromkeys((m["view"], m["words"]) for m in members))[:2]
        strengths = sorted({30.0, members[0]["strength"]}, key=lambda s: s != members[0]["strength"])
    elif size > 2_000_000:
        spaces = [("last", True), ("layers", True)]
        strengths = [30.0, 300.0]
    if size > 2_000_000:
        priors, strengths = priors[-2:], strengths[:2]
    return spaces, priors, strengths
