"""What a fitted head is worth, by answers held out: share of the zero-shot answer, temperature, rules of sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.decoding.answer_rules import SetRules
from model.decoding.set_confidence import SET_CONFIDENCE_FROM, fit_set_confidence
from model.decoding.thresholds import choose_labels, fit_label_thresholds, fit_threshold
from model.head.ensemble import zero_shot_share
from model.head.head_config import HeadDetails
from model.head.linear_head import LinearHead, OutOfFold, blend_zero_shot
from model.head.search import Data
from model.numerics.arrays import Floats
from model.numerics.metrics import evaluate, evaluate_multilabel
from model.numerics.temperature import HUMBLE, HUMBLE_STRENGTH, apply_temperature, fit_temperature

TEMPERATURE_FROM = 64
"""Labels from which a temperature is fitted: below, T = 1 had the lower calibration error."""


def calibrate_head(
    head: LinearHead,
    data: Data,
    held_out: Floats,
    rows: NDArray[np.int64],
    tasks: Sequence[int],
    per_label: bool,
) -> LinearHead:
    """Share of the zero-shot answer, temperature and threshold, by the answers [m, K] held out at `rows`."""
    count, targets, weights = len(data.texts), data.targets[rows], data.weights[rows]
    multilabel = data.multilabel
    share = 0.0 if multilabel else zero_shot_share(held_out, data.zero_shot[rows], targets, weights)
    if not multilabel:
        held_out = blend_zero_shot(held_out, data.zero_shot[rows], share)
    temperature = 1.0
    if count >= TEMPERATURE_FROM:
        strength, centre = (2.0, 0.0) if multilabel else (HUMBLE_STRENGTH, HUMBLE)
        temperature = fit_temperature(held_out, targets, prior_strength=strength, centre=centre, multilabel=multilabel)
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
