"""What a fitted head is worth, by answers held out: share of the zero-shot answer, temperature, rules of sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from model.decoding.answers import SetRules, choose_labels, fit_label_thresholds, fit_threshold
from model.decoding.set_confidence import SET_CONFIDENCE_FROM, fit_set_confidence
from model.head.head_config import HeadDetails
from model.head.linear_head import LinearHead, OutOfFold, blend_zero_shot
from model.head.search import Data
from model.numerics.arrays import Floats
from model.numerics.metrics import evaluate, evaluate_multilabel, log_losses
from model.numerics.temperature import apply_temperature, fit_temperature

PRIOR_BONUS = 2.0
"""Nats in favour of a label-name prior."""

LEAST_SHARE = 0.05

PSEUDO_LABELS = 16.0
"""Labels that the zero-shot answer is worth before there is evidence. 8 to 24 were tried with pulls of 10 to 60 on
sst2, AG News, SMS spam and banking77, 2 or 3 orders, 16 to 256 labels: mean log-loss .5085 for 16 with 30, .5116
for 8 with 10."""

PRIOR_PULL_NATS = 30.0
"""Nats that moving the zero-shot share by 1 away from its prior has to win on the labelled rows."""

ROUNDING_ERROR = 1e-9

ZERO_SHOT_SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0)


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
        (float((weights * log_losses(blend_zero_shot(fitted, base, share), targets)).sum()), share)
        for share in ZERO_SHOT_SHARES
    ]
    allowed = [
        (cost + PRIOR_PULL_NATS * (share - usual) ** 2, share)
        for cost, share in costs[:-1]
        if cost <= alone * (1 + ROUNDING_ERROR)
    ]
    return min(allowed)[1] if allowed else 1.0


SETS_FROM = 64
"""Labels from which a temperature is fitted for sets: below, T = 1 had the lower calibration error."""

SURENESS_SLOPE, SURENESS_STRENGTH = -0.175, 24.0
"""Log-temperature by how sure the names are, and the strength of that belief against answers held out. Half of the
slope that 44 tasks of 12 sources asked for: texts in ten languages want none (docs/decisions/0081)."""

SURER_FROM = 64
"""Labels from which answers held out may make a head surer than it is and than it is expected to be. They are luckier
than others, since choices were made on them: of 16 texts in 77 classes they asked for a confidence .09 too high."""

USUAL_SURENESS, SURENESS_RANGE = 1.0, (0.0, 1.6)
"""Log-odds at which no temperature is expected, and those within which it moves: a confidence of .5 to .83. Up to .9
the error is the same, and where the names are wrong and sure it is worse."""

CLASSES_SLOPE, USUAL_CLASSES, MOST_CLASSES = 0.15, 6, 80
"""What the log of the number of classes adds to those log-odds (to be as sure among more says more), where it adds
nothing, and above how many nothing was measured."""


def expected_log_temperature(zero_shot: Floats) -> float:
    """The log-temperature to expect of a head whose names answer unlabelled texts so [n, K]; 0 without texts.

    Names that leave texts undecided say little about these classes, and what starts from them is over-confident; where
    they are sure it is too humble. It is known before any label, and better than what a few labels tell."""
    classes = zero_shot.shape[1]
    if len(zero_shot) == 0 or not 2 <= classes <= MOST_CLASSES:
        return 0.0
    sureness = float(logit(np.clip(zero_shot.max(1).mean(), 0.01, 0.99)))
    sureness += CLASSES_SLOPE * float(np.log(classes / USUAL_CLASSES))
    return SURENESS_SLOPE * (float(np.clip(sureness, *SURENESS_RANGE)) - USUAL_SURENESS)


def calibrate_head(
    head: LinearHead,
    data: Data,
    held_out: Floats,
    rows: NDArray[np.int64],
    tasks: Sequence[int],
    per_label: bool,
) -> LinearHead:
    """Share of the zero-shot answer, temperature and threshold, by the answers [m, K] held out at `rows`.

    The temperature that `head` came with is the one to expect."""
    count, targets, weights = len(data.texts), data.targets[rows], data.weights[rows]
    multilabel = data.multilabel
    share = 0.0 if multilabel else zero_shot_share(held_out, data.zero_shot[rows], targets, weights)
    if not multilabel:
        held_out = blend_zero_shot(held_out, data.zero_shot[rows], share)
    temperature = 1.0
    if count >= SETS_FROM or not multilabel:
        strength, centre = (2.0, 0.0) if multilabel else (SURENESS_STRENGTH, float(np.log(head.temperature)))
        temperature = fit_temperature(held_out, targets, prior_strength=strength, centre=centre, multilabel=multilabel)
        if count < SURER_FROM:
            temperature = max(temperature, min(1.0, head.temperature))
        held_out = apply_temperature(held_out, temperature, multilabel=multilabel)
    rules = set_rules(held_out, targets, head.labels if per_label else ()) if multilabel else SetRules()
    threshold = 0.5 if rules.threshold is None else rules.threshold
    measures = evaluate_multilabel(held_out, targets, threshold) if multilabel else evaluate(held_out, targets)
    return replace(
        head,
        temperature=temperature,
        zero_share=share,
        threshold=threshold,
        details=HeadDetails(
            count,
            searched=count,
            held_out={key: round(float(value), 4) for key, value in measures.items()},
            sets=replace(rules, threshold=None),
        ),
        out_of_fold=OutOfFold(tuple(tasks[row] for row in rows), held_out, targets),
    )


def set_rules(held_out: Floats, targets: Floats, per_label: Sequence[str]) -> SetRules:
    """How sets are chosen and believed, from answers held out [m, K] and their targets; `per_label`: the labels when
    each gets a threshold of its own."""
    nonempty = bool((targets >= 0.5).any(1).all())
    threshold = fit_threshold(held_out, targets, nonempty)
    rules = SetRules(threshold, nonempty)
    cuts: Floats | float = threshold
    if per_label:
        cuts = fit_label_thresholds(held_out, targets, threshold, nonempty)
        own = {key: round(float(cut), 3) for key, cut in zip(per_label, cuts, strict=True)}
        rules = replace(rules, thresholds=own)
    if len(targets) >= SET_CONFIDENCE_FROM:
        believed = fit_set_confidence(held_out, targets, choose_labels(held_out, cuts, nonempty))
        rules = replace(rules, set_confidence=tuple(believed))
    return rules
