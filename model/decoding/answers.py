"""From a row of probabilities to an answer with a confidence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.decoding.answer_rules import AnswerRules
from model.decoding.ratings import median_star, smooth_ratings, smoothing_for
from model.decoding.set_confidence import set_confidence
from model.decoding.taxonomy import Tree, keep_apart
from model.decoding.thresholds import choose_labels, thresholds_of
from model.label_key import key_of, path_of
from model.numerics.arrays import Floats
from model.spec import NONE, Control, Kind, Prediction

LEFT_BLANK = 0.5
"""Probability over which a rating is left blank: the median of the stars supposes that one is given."""

RANKED = 10
"""Most runners-up listed in a prediction."""


def decide(
    control: Control, rules: AnswerRules, probabilities: Floats, options: Sequence[str] | None = None
) -> Prediction | None:
    """The answer for one task from its probabilities [K] in the column order of `rules.labels`.

    Labels outside the control (or outside `options`, for choices that the task itself lists) are never
    chosen; None when nothing remains. Where NONE is one of the labels, nothing may be chosen: when it is likelier than
    any label, or than any whole branch of a tree, or than all stars together.
    Single: the likeliest. Taxonomy: the deepest node that is sure
    (`rules.sure`); of sets as many as the control takes, none along with its own parent unless people do so
    (`rules.ancestors`). Rating: the median, since its error is a distance, smoothed over the neighbours while
    labels are few (`rules.count`). Multiple: every label over its
    threshold (of `rules.thresholds`, else `rules.threshold`; the likeliest at least with `rules.nonempty`),
    with the confidence in the whole set (mapped by `rules.set_confidence`).
    """
    allowed = (*(options if options is not None else control.keys()), *(() if control.required else (NONE,)))
    columns, keys = _columns(rules.labels, allowed)
    if not keys:
        return None
    row = np.asarray(probabilities, dtype=float)[columns]
    if control.multilabel:
        return _decide_set(control, keys, row, rules)
    row = row / row.sum() if row.sum() > 0 else np.full(len(row), 1 / len(row))
    if control.kind is Kind.TAXONOMY:
        return _decide_node(control, keys, row, rules.sure)
    if control.kind is Kind.RATING:
        return _decide_stars(control, keys, row, rules)
    best = int(row.argmax())
    chosen = () if keys[best] == NONE else (keys[best],)
    return Prediction(control.name, chosen, _clip(row[best]), _rank(keys, row))


@lru_cache(maxsize=64)
def _columns(labels: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Places and names of the labels that are allowed; made once a head, since there may be thousands."""
    known = set(allowed)
    places = [index for index, label in enumerate(labels) if label in known]
    return np.array(places, dtype=np.int64), tuple(labels[index] for index in places)


@lru_cache(maxsize=64)
def _tree(keys: tuple[str, ...]) -> Tree:
    return Tree([path_of(key) for key in keys])


def _decide_node(control: Control, keys: Sequence[str], row: Floats, sure: float) -> Prediction:
    named = [index for index, key in enumerate(keys) if key != NONE]
    blank = float(row.sum() - row[named].sum()) if len(named) < len(keys) else 0.0
    levels = _tree(tuple(keys[index] for index in named)).descend(row[named], sure) if named else []
    if not levels or blank > levels[0][1]:
        return Prediction(control.name, (), _clip(blank), _rank(keys, row))
    shown = tuple((key_of(path), _clip(confidence)) for path, confidence in levels)
    return Prediction(control.name, (shown[-1][0],), shown[-1][1], _rank(keys, row), shown)


def _decide_set(control: Control, keys: Sequence[str], row: Floats, rules: AnswerRules) -> Prediction:
    chosen = choose_labels(row[None], thresholds_of(rules, keys), rules.nonempty)[0]
    if control.kind is Kind.TAXONOMY:
        paths = _tree(tuple(keys)).paths
        chosen = keep_apart(paths, row, chosen, control.most, rules.ancestors)
    names = tuple(key for key, is_chosen in zip(keys, chosen, strict=True) if is_chosen)
    confidence = set_confidence(row, chosen, rules.set_confidence)
    return Prediction(control.name, names, _clip(confidence), _rank(keys, row))


def _decide_stars(control: Control, keys: Sequence[str], row: Floats, rules: AnswerRules) -> Prediction:
    order = sorted((index for index, key in enumerate(keys) if key != NONE), key=lambda index: int(keys[index]))
    stars = [keys[index] for index in order]
    blank = max(0.0, 1 - float(row[order].sum())) if len(order) < len(keys) else 0.0
    if not stars or blank > LEFT_BLANK:
        return Prediction(control.name, (), _clip(blank), _rank(keys, row))
    usual = smoothing_for(rules.count) if rules.count is not None else 0.0
    smooth = smooth_ratings(row[order], usual if rules.smoothing is None else rules.smoothing)
    best = median_star(smooth)
    ranked = _rank([*stars, NONE], np.append(smooth, blank)) if len(order) < len(keys) else _rank(stars, smooth)
    return Prediction(control.name, (stars[best],), _clip(smooth[best]), ranked)


def _rank(keys: Sequence[str], row: Floats) -> tuple[tuple[str, float], ...]:
    best = np.argsort(-row, kind="stable")[:RANKED]
    return tuple((keys[index], round(float(row[index]), 4)) for index in best)


def _clip(value: float) -> float:
    return round(min(max(float(value), 0.0), 1.0), 6)
