"""Fits a head for one question about marked regions, and finds out on regions held out from where it saves clicks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.numerics.arrays import Floats
from model.regions.closed_answers import close_answers
from model.regions.linear_fit import FOLDS, FittedRows, least_clicks
from model.regions.linear_weights import LinearWeights
from model.regions.region_features import RegionPlace, dense_features, hand_features, hand_matrix
from model.regions.region_head import RegionHead, choose
from model.regions.region_space import RegionSpace
from model.spans.features.feature_space import StateScale
from model.spans.features.hand_features import choose_features
from model.spans.head.held_out import fold_texts
from model.spec import NONE

MOST_REGIONS = 3000
"""Regions fitted on: the last ones."""

LEAST_REGIONS = 8
"""Answered regions below which nothing is learned, and nothing is shown."""

ONCE_UP_TO = 500
"""Regions up to which hand features that occur once are kept."""

MOST_CLASSES = 200
"""Labels told apart: the most frequent."""

GROWTH = 1.25
"""Growth in regions after which the choices are searched for again."""


@dataclass(frozen=True)
class RegionExample:
    """A labelled region: `target` maps label key -> weight, as that of a `Sample`."""

    place: RegionPlace
    target: Mapping[str, float]
    weight: float = 1.0


def fit_region_head(
    control: str,
    labels: Sequence[str],
    several: bool,
    examples: Sequence[RegionExample],
    scale: StateScale,
    previous: RegionHead | None = None,
    repeat: bool = False,
) -> RegionHead:
    """The head of these regions, in the order in which they were labelled. `labels`: of the config; empty where any
    text is an answer: then what was answered twice is learned. With `repeat` the choices of `previous` are kept where
    searching them anew would take long; `is_settled` tells whether that is due then."""
    used = list(examples)[-MOST_REGIONS:]
    if not labels:
        used = [replace(one, target=target) for one, target in zip(used, close_answers(_targets(used)), strict=True)]
    names = _names(labels, several, used)
    used = [one for one in used if several or not set(one.target).isdisjoint(names)]
    empty = RegionHead(control, names, several, regions=len(used), searched=len(used))
    if len(used) < LEAST_REGIONS or names in ((), (NONE,)):
        return empty
    usable = previous is not None and previous.weights is not None and previous.several == several
    kept = previous if repeat and usable else None
    return _fit(empty, used, scale, kept)


def is_settled(head: RegionHead) -> bool:
    """Whether the choices of a head were made on about as many regions as it knows."""
    return head.regions < GROWTH * max(1, head.searched)


def _targets(examples: Sequence[RegionExample]) -> list[Mapping[str, float]]:
    return [one.target for one in examples]


def _names(labels: Sequence[str], several: bool, used: Sequence[RegionExample]) -> tuple[str, ...]:
    """What is told apart: labels that somebody gave; for single answers also that there is none, where that occurs or
    there is nothing else to tell apart."""
    counts = Counter(key for target in _targets(used) for key in target)
    given = [label for label in labels or sorted(counts) if counts[label] and label != NONE]
    most = set(sorted(given, key=lambda label: -counts[label])[:MOST_CLASSES])
    known = tuple(label for label in given if label in most)
    return (*known, NONE) if not several and (counts[NONE] or len(known) == 1) else known


def _fit(empty: RegionHead, used: Sequence[RegionExample], scale: StateScale, kept: RegionHead | None) -> RegionHead:
    places = [one.place for one in used]
    said = hand_features(places)
    known = choose_features(said, 1 if len(used) <= ONCE_UP_TO else 2)
    targets = _target_matrix(empty, used)
    space = RegionSpace(dense_features(places, scale), hand_matrix(said, known), targets)
    folds = fold_texts([place.text.source for place in places], FOLDS)
    rows = FittedRows(space, targets, np.array([one.weight for one in used]), folds, empty.several)
    if kept is not None and rows.is_large:
        head = replace(kept, labels=empty.labels, several=empty.several, regions=len(used))
    else:
        head = _search(empty, rows) if rows.can_hold_out else empty
    dense, hand, intercepts = rows.coefficients(head.strength)
    halved = dense.astype(np.float16), hand.astype(np.float16)
    return replace(head, weights=LinearWeights(scale, known, *halved, intercepts.astype(np.float32)))


def _target_matrix(head: RegionHead, used: Sequence[RegionExample]) -> Floats:
    found = np.array([[one.target.get(label, 0.0) for label in head.labels] for one in used])
    return found if head.several else found / found.sum(1, keepdims=True)


def _search(head: RegionHead, rows: FittedRows) -> RegionHead:
    """The head with what regions held out say: the strength of its prior, how sure it may be, what may be shown."""
    strength, temperature, sure = rows.search()
    said, truths = choose(sure, head.labels, head.several), _truths(head, rows.targets)
    right = np.array([set(keys) == truth for (keys, _), truth in zip(said, truths, strict=True)])
    scores = np.array([score if keys else -1.0 for keys, score in said])
    threshold = least_clicks(scores, right)
    shown = scores >= threshold
    answered = sum(map(bool, truths))
    figures = {
        "accuracy": float(right.mean()),
        "shown": float(shown.mean()),
        "precision": float(right[shown].mean()) if shown.any() else 0.0,
        "saved": float((right[shown].sum() - (~right[shown]).sum()) / max(1, answered)),
    }
    return replace(
        head,
        strength=strength,
        temperature=temperature,
        threshold=threshold,
        held_out={name: round(value, 4) for name, value in figures.items()},
    )


def _truths(head: RegionHead, targets: Floats) -> list[set[str]]:
    """What people answered to each; nothing for none of these."""
    if head.several:
        return [{label for label, share in zip(head.labels, row, strict=True) if share >= 0.5} for row in targets]
    return [{head.labels[at]} - {NONE} for at in targets.argmax(1)]
