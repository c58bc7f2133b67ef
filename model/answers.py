"""From a row of probabilities to an answer with a confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.label_key import key_of, path_of
from model.ordinal import median_star, smooth_ratings, smoothing_for
from model.set_confidence import set_confidence
from model.spec import Control, Kind, Prediction
from model.taxonomy import SURE, descend
from model.thresholds import choose_labels, thresholds_of

Floats = NDArray[np.floating]

RANKED = 10
"""Most runners-up listed in a prediction."""


def decide(
    control: Control, head_config: Mapping[str, Any], probabilities: Floats, options: Sequence[str] | None = None
) -> Prediction | None:
    """The answer for one task from its probabilities [K] in the column order of `head_config["labels"]`.

    Labels outside the control (or outside `options`, for choices that the task itself lists) are never
    chosen; None when nothing remains. Single: the likeliest. Taxonomy: the deepest node that is sure
    (`head_config["sure"]`). Rating: the median, since its error is a distance, smoothed over the neighbours while
    labels are few (`head_config["n"]`). Multiple: every label over its
    threshold (`head_config["thresholds"]` by label, else `["threshold"]`; the likeliest at least with `["nonempty"]`),
    with the confidence in the whole set (mapped by `["set_confidence"]`).
    """
    labels = head_config["labels"]
    allowed = set(options) if options is not None else set(control.keys())
    columns = [index for index, label in enumerate(labels) if label in allowed]
    if not columns:
        return None
    keys = [labels[index] for index in columns]
    row = np.asarray(probabilities, dtype=float)[columns]
    if control.kind is Kind.MULTIPLE:
        return _decide_set(control, keys, row, head_config)
    row = row / row.sum() if row.sum() > 0 else np.full(len(row), 1 / len(row))
    if control.kind is Kind.TAXONOMY:
        return _decide_node(control, keys, row, float(head_config.get("sure", SURE)))
    if control.kind is Kind.RATING:
        return _decide_stars(control, keys, row, head_config)
    best = int(row.argmax())
    return Prediction(control.name, (keys[best],), _clip(row[best]), _rank(keys, row))


def _decide_node(control: Control, keys: Sequence[str], row: Floats, sure: float) -> Prediction:
    levels = descend([path_of(key) for key in keys], row, sure)
    named = tuple((key_of(path), _clip(confidence)) for path, confidence in levels)
    return Prediction(control.name, (named[-1][0],), named[-1][1], _rank(keys, row), named)


def _decide_set(control: Control, keys: Sequence[str], row: Floats, head_config: Mapping[str, Any]) -> Prediction:
    chosen = choose_labels(row[None], thresholds_of(head_config, keys), bool(head_config.get("nonempty")))[0]
    names = tuple(key for key, is_chosen in zip(keys, chosen, strict=True) if is_chosen)
    confidence = set_confidence(row, chosen, head_config.get("set_confidence"))
    return Prediction(control.name, names, _clip(confidence), _rank(keys, row))


def _decide_stars(control: Control, keys: Sequence[str], row: Floats, head_config: Mapping[str, Any]) -> Prediction:
    order = sorted(range(len(keys)), key=lambda index: int(keys[index]))
    stars = [keys[index] for index in order]
    usual = smoothing_for(int(head_config["n"])) if "n" in head_config else 0.0
    row = smooth_ratings(row[order], float(head_config.get("smoothing", usual)))
    best = median_star(row)
    return Prediction(control.name, (stars[best],), _clip(row[best]), _rank(stars, row))


def _rank(keys: Sequence[str], row: Floats) -> tuple[tuple[str, float], ...]:
    best = np.argsort(-row, kind="stable")[:RANKED]
    return tuple((keys[index], round(float(row[index]), 4)) for index in best)


def _clip(value: float) -> float:
    return round(min(max(float(value), 0.0), 1.0), 6)
