"""Fits the head of relations on the pairs of regions that people marked, related or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.region import Region, Relation
from model.regions.linear_fit import FOLDS, FittedRows, least_clicks
from model.regions.linear_weights import LinearWeights
from model.regions.pair_features import Ends, Pair, dense_pairs, hand_pairs
from model.regions.region_features import hand_matrix
from model.regions.region_fit import GROWTH
from model.regions.region_space import RegionSpace
from model.regions.relation_head import UNRELATED, RelationHead, class_of, label_pair
from model.spans.features.feature_space import StateScale
from model.spans.features.hand_features import choose_features
from model.spans.features.reading import ReadText
from model.spans.head.held_out import fold_texts

LEAST_RELATIONS = 8
"""Relations below which nothing is learned, and nothing is shown."""

MOST_PAIRS = 3000
"""Pairs fitted on: the last ones."""

MOST_CLASSES = 60
"""Kinds of relations told apart: the most frequent."""

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
FEW_STRENGTHS = (3.0, 30.0)
"""Variances of the coefficients' prior that are tried, and those of many cells: larger ones than of answers, since what
tells that a pair is related is said by few of its features."""

ONCE_UP_TO = 800
"""Pairs up to which hand features that occur once are kept."""


@dataclass(frozen=True)
class RelationExample:
    """A text with its regions and their relations, each with its share."""

    text: ReadText
    regions: tuple[Region, ...]
    relations: Mapping[Relation, float]
    weight: float = 1.0


@dataclass(frozen=True)
class _Row:
    """A pair, and the shares of what it is."""

    pair: Pair
    target: Mapping[str, float]
    weight: float


def fit_relation_head(
    examples: Sequence[RelationExample],
    scale: StateScale,
    previous: RelationHead | None = None,
    repeat: bool = False,
) -> RelationHead:
    """The head of these texts, in the order in which they were labelled. Only pairs whose labels were ever related are
    told apart. With `repeat` the choices of `previous` are kept where searching them anew would take long."""
    rows = [row for example in examples for row in _rows(example)]
    related = frozenset(_labels(row.pair) for row in rows if any(name != UNRELATED for name in row.target))
    rows = [row for row in rows if _labels(row.pair) in related][-MOST_PAIRS:]
    counts = Counter(name for row in rows for name in row.target if name != UNRELATED)
    if counts.total() < LEAST_RELATIONS:
        return RelationHead(label_pairs=related, pairs=len(rows), searched=len(rows))
    classes = (UNRELATED, *sorted(name for name, _ in counts.most_common(MOST_CLASSES)))
    kept = previous if repeat and previous is not None and previous.weights is not None else None
    return _fit(RelationHead(classes, related, pairs=len(rows), searched=len(rows)), rows, scale, kept)


def is_settled(head: RelationHead) -> bool:
    """Whether the choices of a head were made on about as many pairs as it knows."""
    return head.pairs < GROWTH * max(1, head.searched)


def _rows(example: RelationExample) -> list[_Row]:
    ends = Ends.of(example.text, example.regions)
    drawn: dict[frozenset[Region], dict[str, float]] = {}
    for relation, share in example.relations.items():
        first = min(relation.source, relation.target, key=lambda one: (one.start, one.end, one.control, one.label))
        known = drawn.setdefault(frozenset((relation.source, relation.target)), {})
        name = class_of(relation, first)
        known[name] = known.get(name, 0.0) + share
    rows = []
    for one, other in ends.pairs():
        said = drawn.get(frozenset((ends.regions[one], ends.regions[other])), {})
        whole = sum(said.values())
        # Two relations of one pair share it: one of them can be suggested.
        shares = {name: share / max(1.0, whole) for name, share in said.items()}
        rest = 1 - sum(shares.values())
        target = {**shares, UNRELATED: rest} if rest > 1e-9 else shares
        rows.append(_Row(Pair(ends, one, other), target, example.weight))
    return rows


def _labels(pair: Pair) -> tuple[str, str, str, str]:
    return label_pair(pair.ends, pair.first, pair.second)


def _fit(empty: RelationHead, rows: Sequence[_Row], scale: StateScale, kept: RelationHead | None) -> RelationHead:
    pairs = [row.pair for row in rows]
    said = hand_pairs(pairs)
    known = choose_features(said, 1 if len(pairs) <= ONCE_UP_TO else 2)
    targets = np.array([[row.target.get(name, 0.0) for name in empty.classes] for row in rows])
    whole = targets.sum(1)
    targets /= np.maximum(whole, 1e-12)[:, None]
    space = RegionSpace(dense_pairs(pairs, scale), hand_matrix(said, known), targets)
    folds = fold_texts([pair.ends.text.text for pair in pairs], FOLDS)
    fitted = FittedRows(space, targets, np.array([row.weight for row in rows]) * (whole > 0), folds)
    if kept is not None and fitted.is_large:
        head = replace(kept, classes=empty.classes, label_pairs=empty.label_pairs, pairs=empty.pairs)
    else:
        head = _search(empty, fitted) if fitted.can_hold_out else empty
    dense, hand, intercepts = fitted.coefficients(head.strength)
    halved = dense.astype(np.float16), hand.astype(np.float16)
    return replace(head, weights=LinearWeights(scale, known, *halved, intercepts.astype(np.float32)))


def _search(head: RelationHead, rows: FittedRows) -> RelationHead:
    """The head with what texts held out say."""
    strength, temperature, sure = rows.search(STRENGTHS, FEW_STRENGTHS)
    best, truth = sure.argmax(1), rows.targets.argmax(1)
    scores = np.where(best > 0, sure.max(1), -1.0)  # the first class is none
    right = best == truth
    threshold = least_clicks(scores, right)
    shown = scores >= threshold
    hits, wanted = int(right[shown].sum()), int((truth > 0).sum())
    figures = {
        "precision": hits / max(1, int(shown.sum())),
        "recall": hits / max(1, wanted),
        "saved": (2 * hits - int(shown.sum())) / max(1, wanted),
    }
    return replace(
        head,
        strength=strength,
        temperature=temperature,
        threshold=threshold,
        held_out={name: round(value, 4) for name, value in figures.items()},
    )
