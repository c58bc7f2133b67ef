"""Answers one question about marked regions: a logistic regression over what each looks like, calibrated.

Everything a reply needs is numpy. `config()` and `tensors()` are all of its state, in JSON and arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from model.errors import VersionError
from model.numerics.arrays import Floats, softmax_rows
from model.numerics.temperature import apply_temperature
from model.region import RegionAnswer
from model.regions.linear_fit import NEVER
from model.regions.linear_weights import LinearWeights, restore_weights
from model.regions.region_features import RegionPlace, dense_features, hand_features, hand_matrix
from model.spec import NONE

FORMAT = 1


class RegionHeadJson(TypedDict):
    """A head without its arrays."""

    format: int
    control: str
    labels: Sequence[str]
    several: bool
    temperature: float
    threshold: float
    regions: int
    searched: int
    strength: float
    held_out: Mapping[str, float]


@dataclass(frozen=True)
class RegionHead:
    """Suggestions for one question. `labels`: what is told apart, NONE where a question may be left blank; `several`:
    answers are sets; `threshold`: the least probability that is shown; `regions`: how many it was fitted on;
    `searched`: when its choices were made."""

    control: str
    labels: tuple[str, ...] = ()
    several: bool = False
    weights: LinearWeights | None = field(default=None, repr=False)
    temperature: float = 1.0
    threshold: float = NEVER
    regions: int = 0
    searched: int = 0
    strength: float = 1.0
    held_out: Mapping[str, float] = field(default_factory=dict)

    def probabilities(self, places: Sequence[RegionPlace]) -> Floats:
        """[places, K], calibrated; of sets each label by itself."""
        if self.weights is None or not places:
            return np.zeros((len(places), len(self.labels)))
        own = self.weights
        hand = hand_matrix(hand_features(places), own.known)
        logits = own.logits(dense_features(places, own.scale), hand).astype(np.float64)
        raw = expit(logits) if self.several else softmax_rows(logits)
        return apply_temperature(raw, self.temperature, multilabel=self.several)

    def answers(self, places: Sequence[RegionPlace]) -> list[RegionAnswer | None]:
        """What to show of each; None where it is not sure enough, or the answer is none of these."""
        if self.weights is None or self.threshold >= NEVER:
            return [None] * len(places)
        chosen = choose(self.probabilities(places), self.labels, self.several)
        return [
            RegionAnswer(self.control, keys, score) if keys and score >= self.threshold else None
            for keys, score in chosen
        ]

    def config(self) -> RegionHeadJson:
        """Everything but the arrays, as `restore_region_head` reads it."""
        return {
            "format": FORMAT,
            "control": self.control,
            "labels": list(self.labels),
            "several": self.several,
            "temperature": self.temperature,
            "threshold": self.threshold,
            "regions": self.regions,
            "searched": self.searched,
            "strength": self.strength,
            "held_out": dict(self.held_out),
        }

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name; none before anything was learned."""
        return self.weights.tensors() if self.weights is not None else {}


def choose(probabilities: Floats, labels: Sequence[str], several: bool) -> list[tuple[tuple[str, ...], float]]:
    """The likeliest answer of each row and how likely all of it is right; no key says none of these."""
    if several:
        sure = np.maximum(probabilities, 1 - probabilities).prod(1)
        return [
            (tuple(label for label, own in zip(labels, row, strict=True) if own >= 0.5), float(score))
            for row, score in zip(probabilities, sure, strict=True)
        ]
    best = probabilities.argmax(1)
    return [
        (() if labels[at] == NONE else (labels[at],), float(row[at]))
        for at, row in zip(best, probabilities, strict=True)
    ]


def restore_region_head(config: RegionHeadJson, tensors: Mapping[str, NDArray[np.generic]]) -> RegionHead:
    """The head that `config()` and `tensors()` describe. Raises VersionError where they do not."""
    try:
        return RegionHead(
            str(config["control"]),
            tuple(config["labels"]),
            bool(config["several"]),
            restore_weights(tensors),
            float(config["temperature"]),
            float(config["threshold"]),
            int(config["regions"]),
            int(config["searched"]),
            float(config["strength"]),
            dict(config["held_out"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VersionError(f"not a head for regions: {error}") from error
