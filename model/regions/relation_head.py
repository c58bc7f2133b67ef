"""Which regions of a text are related, and how: a logistic regression over pairs, with one class for each label and
direction, and one for none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from model.errors import VersionError
from model.labels import key_of, path_of
from model.numerics.arrays import Floats, softmax_rows
from model.numerics.temperature import apply_temperature
from model.region import Region, Relation, ScoredRelation
from model.regions.linear_fit import NEVER
from model.regions.linear_weights import LinearWeights, restore_weights
from model.regions.pair_features import Ends, Pair, dense_pairs, hand_pairs
from model.regions.region_features import hand_matrix
from model.spans.features.reading import ReadText

FORMAT = 1

UNRELATED = ""
"""The class of pairs without a relation."""

FORWARD, BACKWARD, BOTH = ">", "<", "="
"""How the class of a relation begins: from the first to the second in the text, from the second to the first, or both
ways; its labels follow."""

MOST_PAIRS = 4000
"""Pairs of a text that are looked at: those of its first regions."""


class RelationHeadJson(TypedDict):
    """A head without its arrays."""

    format: int
    classes: Sequence[str]
    label_pairs: Sequence[Sequence[str]]
    temperature: float
    threshold: float
    pairs: int
    searched: int
    strength: float
    held_out: Mapping[str, float]


def class_of(relation: Relation, first: Region) -> str:
    """What a relation is called, given which of its regions comes first."""
    labels = key_of(sorted(relation.labels)) if relation.labels else ""
    if relation.both_ways:
        return BOTH + labels
    return (FORWARD if relation.source == first else BACKWARD) + labels


def relation_of(name: str, first: Region, second: Region) -> Relation:
    """Inverse of `class_of`."""
    source, target = (second, first) if name.startswith(BACKWARD) else (first, second)
    return Relation(source, target, path_of(name[1:]), name.startswith(BOTH))


@dataclass(frozen=True)
class RelationHead:
    """Suggests relations. `label_pairs`: of controls and labels between which any was ever drawn (others never are);
    `threshold`: the least probability that is shown; `pairs`: how many it was fitted on, `searched` when its choices
    were made."""

    classes: tuple[str, ...] = ()
    label_pairs: frozenset[tuple[str, str, str, str]] = frozenset()
    weights: LinearWeights | None = field(default=None, repr=False)
    temperature: float = 1.0
    threshold: float = NEVER
    pairs: int = 0
    searched: int = 0
    strength: float = 1.0
    held_out: Mapping[str, float] = field(default_factory=dict)

    def probabilities(self, pairs: Sequence[Pair]) -> Floats:
        """[pairs, classes], calibrated."""
        own = self.weights
        if own is None or not pairs:
            return np.zeros((len(pairs), len(self.classes)))
        logits = own.logits(dense_pairs(pairs, own.scale), hand_matrix(hand_pairs(pairs), own.known))
        return apply_temperature(softmax_rows(logits.astype(np.float64)), self.temperature)

    def relations(
        self, text: ReadText, regions: Sequence[Region], sure: Mapping[Region, float] | None = None
    ) -> list[ScoredRelation]:
        """What to show between these regions of a text; nothing where it is not sure enough. `sure`: how likely each
        region is right, if it is not certain: a relation to a wrong one is wrong, too."""
        if self.weights is None or self.threshold >= NEVER or len(regions) < 2:
            return []
        ends = Ends.of(text, regions)
        pairs = [Pair(ends, *pair) for pair in ends.pairs() if self.may_relate(ends, *pair)][:MOST_PAIRS]
        found = []
        for pair, row in zip(pairs, self.probabilities(pairs), strict=True):
            best, one, other = int(row.argmax()), ends.regions[pair.first], ends.regions[pair.second]
            both = sure[one] * sure[other] if sure is not None else 1.0
            if self.classes[best] != UNRELATED and row[best] * both >= self.threshold:
                found.append(ScoredRelation(relation_of(self.classes[best], one, other), float(row[best])))
        return found

    def may_relate(self, ends: Ends, first: int, second: int) -> bool:
        """Whether regions with these labels, in this order, were ever related."""
        return label_pair(ends, first, second) in self.label_pairs

    def config(self) -> RelationHeadJson:
        """Everything but the arrays, as `restore_relation_head` reads it."""
        return {
            "format": FORMAT,
            "classes": list(self.classes),
            "label_pairs": sorted(self.label_pairs),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "pairs": self.pairs,
            "searched": self.searched,
            "strength": self.strength,
            "held_out": dict(self.held_out),
        }

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name; none before anything was learned."""
        return self.weights.tensors() if self.weights is not None else {}


def label_pair(ends: Ends, first: int, second: int) -> tuple[str, str, str, str]:
    """Controls and labels of two regions."""
    one, other = ends.regions[first], ends.regions[second]
    return one.control, one.label, other.control, other.label


def restore_relation_head(config: RelationHeadJson, tensors: Mapping[str, NDArray[np.generic]]) -> RelationHead:
    """The head that `config()` and `tensors()` describe. Raises VersionError where they do not."""
    try:
        label_pairs = frozenset((str(a), str(b), str(c), str(d)) for a, b, c, d in config["label_pairs"])
        return RelationHead(
            tuple(config["classes"]),
            label_pairs,
            restore_weights(tensors),
            float(config["temperature"]),
            float(config["threshold"]),
            int(config["pairs"]),
            int(config["searched"]),
            float(config["strength"]),
            dict(config["held_out"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VersionError(f"not a head for relations: {error}") from error
