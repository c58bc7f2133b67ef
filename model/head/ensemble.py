"""Which candidates are averaged, how much of the zero-shot answer stays, and what of it all can be believed. Pure.

Whatever is chosen on the rows it is judged on looks better than it is: `nested_answers` chooses anew for every fold on
the other folds' rows, which costs no fit (bias-corrected cross-validation, Tsamardinos et al. 2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.head.linear_head import blend_zero_shot
from model.numerics.arrays import Floats
from model.numerics.metrics import log_losses

PRIOR_BONUS = 2.0
"""Nats in favour of a label-name prior."""

LEAST_SHARE = 0.05

PSEUDO_LABELS = 16.0
"""Labels that the zero-shot answer is worth before there is evidence. 8 to 24 were tried with pulls of 10 to 60 on
sst2, AG News, SMS spam and banking77, 2 or 3 orders, 16 to 256 labels: mean log-loss .5085 for 16 with 30, .5116
for 8 with 10."""

PULL = 30.0
"""Nats that moving the zero-shot share by 1 away from its prior has to win on the labelled rows."""

ROUNDING = 1e-9

SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0)


def member_shares(losses: Floats, with_prior: NDArray[np.bool_], count: int, members: int) -> tuple[Floats, Floats]:
    """(indices, shares) of the candidates to average, best first, by mean out-of-fold loss [c].

    Shares are exp(-.5 min(n, 100) Δloss); those under 5 % are dropped."""
    corrected = losses - np.where(with_prior, PRIOR_BONUS / count, 0.0)
    order = np.argsort(corrected, kind="stable")[:members]
    shares = np.exp(-0.5 * min(count, 100) * (corrected[order] - corrected[order[0]]))
    shares /= shares.sum()
    kept = shares >= LEAST_SHARE
    return order[kept], shares[kept] / shares[kept].sum()


def nested_answers(
    probabilities: Floats,
    losses: Floats,
    with_prior: NDArray[np.bool_],
    weights: Floats,
    folds: NDArray[np.int64],
    members: int,
) -> Floats:
    """Out-of-fold answers [n, K] of the averaged candidates, each fold's chosen on the rows of the others.

    `probabilities` [c, n, K] and `losses` [c, n] are the candidates' out-of-fold answers."""
    answers = np.zeros(probabilities.shape[1:])
    for fold in np.unique(folds):
        mine = folds == fold
        rest = ~mine
        if not rest.any():
            rest = mine
        mean = np.average(losses[:, rest], axis=1, weights=weights[rest])
        chosen, shares = member_shares(mean, with_prior, len(folds), members)
        answers[mine] = np.tensordot(shares, probabilities[chosen][:, mine], 1)
    return answers


def zero_shot_share(fitted: Floats, base: Floats, targets: Floats, weights: Floats) -> float:
    """How much of the zero-shot answer [n, K] to keep in the geometric mean with the fitted one (out-of-fold).

    The share with the least loss, pulled towards m / (n + m): what m pseudo-labels are worth; towards 0 when the
    zero-shot answer is worse than a uniform guess on the labels seen. Only shares with which the labels seen cost no
    more than with the zero-shot answer alone: 1 when they have not taught anything better yet."""
    count, classes = targets.shape
    alone = float((weights * log_losses(base, targets)).sum())
    usual = PSEUDO_LABELS / (count + PSEUDO_LABELS) if alone < weights.sum() * np.log(classes) else 0.0
    costs = [
        (float((weights * log_losses(blend_zero_shot(fitted, base, share), targets)).sum()), share) for share in SHARES
    ]
    allowed = [
        (cost + PULL * (share - usual) ** 2, share) for cost, share in costs[:-1] if cost <= alone * (1 + ROUNDING)
    ]
    return min(allowed)[1] if allowed else 1.0
