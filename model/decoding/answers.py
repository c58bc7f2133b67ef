"""From a row of probabilities to an answer with a confidence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from model.decoding.ratings import median_star, smooth_ratings, smoothing_for
from model.decoding.set_confidence import set_confidence
from model.decoding.taxonomy import DESCENT_CONFIDENCE, Tree, keep_apart
from model.labels import LabelledAnswer, key_of, path_of
from model.numerics.arrays import Floats
from model.spec import NONE, Control, Kind, Prediction, TaskSpec
from model.visibility import drop_hidden

THRESHOLD_GRID = np.round(np.arange(0.1, 0.71, 0.02), 2)

PSEUDO_POSITIVES = 5.0
"""Positives that the shared threshold is worth against a label's own (goemotions, 64 to 512 labels: macro-F1 at or
near its best for 5, micro-F1 up to 11 points above none at all)."""


def choose_labels(probabilities: Floats, thresholds: Floats | float, nonempty: bool) -> NDArray[np.bool_]:
    """Which labels of each row [n, K] belong to its set: those over the threshold; with `nonempty` at least the best.

    Where annotators leave no set empty, an answer that does is surely wrong: goemotions, 256 labels, exact match
    .36 -> .41, micro-F1 .53 -> .55."""
    chosen = np.asarray(probabilities >= thresholds)
    if nonempty and probabilities.shape[1]:
        chosen[np.arange(len(chosen)), probabilities.argmax(1)] = True
    return chosen


def fit_threshold(probabilities: Floats, targets: Floats, nonempty: bool = False) -> float:
    """The one threshold with the best micro-F1 on out-of-fold probabilities and targets [n, K]; of equals the lowest,
    or the middle one where sets may be empty: then a text unlike all labelled ones is more likely to have no label.

    .5 costs 9 to 21 points of micro-F1 with few labels."""
    if not (targets >= 0.5).any():
        return 0.5  # every threshold has the same F1, none; the lowest would choose what was never right
    counts = _f1_counts(probabilities, targets >= 0.5, nonempty).sum(-1)
    scores = _f1(counts)
    best = np.flatnonzero(scores >= scores.max())
    return float(THRESHOLD_GRID[best[0] if nonempty else best[len(best) // 2]])


def fit_label_thresholds(probabilities: Floats, targets: Floats, shared: float, nonempty: bool = False) -> Floats:
    """One threshold per label [K] for macro-F1: each label's best, drawn to `shared` the fewer positives it has.

    A label without positives takes `shared`."""
    true = targets >= 0.5
    best = THRESHOLD_GRID[np.argmax(_f1(_f1_counts(probabilities, true, nonempty)), axis=0)]
    positives = true.sum(0)
    return np.asarray((positives * best + PSEUDO_POSITIVES * shared) / (positives + PSEUDO_POSITIVES))


def thresholds_of(rules: AnswerRules, keys: Sequence[str]) -> Floats:
    """The threshold of each label in `keys` [K]."""
    return np.array([rules.thresholds.get(key, rules.threshold) for key in keys], dtype=float)


def _f1_counts(probabilities: Floats, true: NDArray[np.bool_], nonempty: bool) -> Floats:
    """[3, grid, K]: right, wrongly chosen and missed labels at each threshold."""
    chosen = np.stack([choose_labels(probabilities, threshold, nonempty) for threshold in THRESHOLD_GRID])
    right = (chosen & true).sum(1)
    return np.stack([right, chosen.sum(1) - right, true.sum(0) - right]).astype(float)


def _f1(counts: Floats) -> Floats:
    right, wrong, missed = counts
    return np.asarray(2 * right / np.maximum(2 * right + wrong + missed, 1))


class SetRulesJson(TypedDict, total=False):
    """What was fitted of `SetRules`."""

    threshold: float
    nonempty: bool
    thresholds: Mapping[str, float]
    set_confidence: Sequence[float]


@dataclass(frozen=True)
class SetRules:
    """How sets are chosen and believed, as fitted on answers held out; None where that was not fitted."""

    threshold: float | None = None
    nonempty: bool | None = None
    thresholds: Mapping[str, float] | None = None
    set_confidence: tuple[float, ...] | None = None

    def to_json(self) -> SetRulesJson:
        found: SetRulesJson = {}
        self.add_to(found)
        return found

    def add_to(self, data: SetRulesJson) -> None:
        """Write what was fitted among the entries of an object."""
        if self.threshold is not None:
            data["threshold"] = self.threshold
        if self.nonempty is not None:
            data["nonempty"] = self.nonempty
        if self.thresholds is not None:
            data["thresholds"] = dict(self.thresholds)
        if self.set_confidence is not None:
            data["set_confidence"] = list(self.set_confidence)

    @classmethod
    def from_json(cls, data: SetRulesJson) -> SetRules:
        """Inverse of `to_json`; other entries are passed over."""
        threshold, nonempty, thresholds = data.get("threshold"), data.get("nonempty"), data.get("thresholds")
        confidence = data.get("set_confidence")
        return cls(
            None if threshold is None else float(threshold),
            None if nonempty is None else bool(nonempty),
            None if thresholds is None else {str(key): float(value) for key, value in thresholds.items()},
            None if confidence is None else tuple(map(float, confidence)),
        )


@dataclass(frozen=True)
class AnswerRules:
    """`labels` are the columns of a row. `count`: labels that the head was fitted on, None for not known.

    Sets: every label over its own of `thresholds`, else over `threshold`, with `nonempty` the likeliest at least;
    `set_confidence` maps the product to the confidence in the whole set. Stars: `smoothing`, None for as much as
    `count` calls for. Trees: down as long as a node is `sure`; with `ancestors` one may stand with one above it."""

    labels: tuple[str, ...]
    count: int | None = None
    threshold: float = 0.5
    nonempty: bool = False
    thresholds: Mapping[str, float] = field(default_factory=dict)
    set_confidence: tuple[float, ...] | None = None
    smoothing: float | None = None
    ancestors: bool = False
    sure: float = DESCENT_CONFIDENCE

    def with_sets(self, rules: SetRules) -> AnswerRules:
        """These rules with what `rules` says of sets in the place of their own."""
        return replace(
            self,
            threshold=self.threshold if rules.threshold is None else rules.threshold,
            nonempty=self.nonempty if rules.nonempty is None else rules.nonempty,
            thresholds=self.thresholds if rules.thresholds is None else rules.thresholds,
            set_confidence=self.set_confidence if rules.set_confidence is None else rules.set_confidence,
        )


LEFT_BLANK = 0.5
"""Probability over which a rating is left blank: the median of the stars supposes that one is given."""

RUNNERS_UP = 10
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


def carry_over(
    control: Control, own: Prediction | None, known: LabelledAnswer, options: Collection[str] | None = None
) -> Prediction | None:
    """The answer to a text whose duplicates are labelled: theirs, as far as their labels agree, else `own`. None where
    nothing of that can be chosen (of `options`, for choices that the task itself lists)."""
    allowed = frozenset(control.keys() if options is None else options)
    shares = {keys: share for keys, share in known.answers if allowed.issuperset(keys)}
    scores = {keys: known.agreement * share + (1 - known.agreement) * _own(own, keys) for keys, share in shares.items()}
    if not scores:
        return own
    best = max(scores, key=lambda keys: scores[keys])
    if own is not None and (1 - known.agreement) * own.score > scores[best]:
        return own
    mixed: dict[str, float] = {}
    for keys, share in shares.items():
        for key in keys or (() if control.multilabel else (NONE,)):
            mixed[key] = mixed.get(key, 0.0) + known.agreement * share
    for key, probability in own.ranking if own is not None else ():
        mixed[key] = mixed.get(key, 0.0) + (1 - known.agreement) * probability
    ranking = sorted(mixed.items(), key=lambda item: -item[1])[:RUNNERS_UP]
    return Prediction(
        control.name,
        best,
        _clip(scores[best]),
        tuple((key, round(value, 4)) for key, value in ranking),
        _levels_of(control, best, shares, known.agreement) if control.kind is Kind.TAXONOMY else (),
    )


def carry_over_all(
    spec: TaskSpec,
    predictions: Sequence[Prediction],
    known: Mapping[str, LabelledAnswer],
    options: Mapping[str, Sequence[str]] | None = None,
) -> list[Prediction]:
    """The answers to a task with what is `known` of its duplicates, by control; what the page does not ask beside
    those answers is left out."""
    own = {prediction.control: prediction for prediction in predictions}
    found: list[Prediction] = []
    for control in spec.questions:
        answer = own.get(control.name)
        if control.name in known:
            answer = carry_over(control, answer, known[control.name], (options or {}).get(control.name))
        found += [answer] if answer is not None else []
    return drop_hidden(spec, found)


def _own(own: Prediction | None, keys: tuple[str, ...]) -> float:
    """How likely the version holds this answer, as far as it says."""
    if own is None:
        return 0.0
    if own.chosen == keys:
        return own.score
    return dict(own.ranking).get(keys[0] if keys else NONE, 0.0) if len(keys) < 2 else 0.0


def _levels_of(
    control: Control, best: Sequence[str], shares: Mapping[tuple[str, ...], float], agreement: float
) -> tuple[tuple[str, float], ...]:
    """Every node from the root to the one answer; none for a set."""
    if control.multilabel or len(best) != 1:
        return ()
    paths = [(path_of(keys[0]), share) for keys, share in shares.items() if len(keys) == 1]
    whole, found = path_of(best[0]), []
    for depth in range(1, len(whole) + 1):
        node = whole[:depth]
        found.append((key_of(node), _clip(agreement * sum(share for path, share in paths if path[:depth] == node))))
    return tuple(found)


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
    best = np.argsort(-row, kind="stable")[:RUNNERS_UP]
    return tuple((keys[index], round(float(row[index]), 4)) for index in best)


def _clip(value: float) -> float:
    return round(min(max(float(value), 0.0), 1.0), 6)
