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
from model.regions.region_features import RegionPlace, dense_features, hand_features, hand_matrix
from model.spans.features.feature_space import StateScale
from model.spans.features.hand_features import Codes
from model.spec import NONE

FORMAT = 1

NEVER = 2.0
"""A threshold that no probability reaches."""


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
class RegionWeights:
    """Coefficients of dense columns [D, K] and of `known` hand features [V, K], halved, and intercepts [K]."""

    scale: StateScale = field(repr=False)
    known: Codes = field(repr=False)
    dense: NDArray[np.float16] = field(repr=False)
    hand: NDArray[np.float16] = field(repr=False)
    intercepts: NDArray[np.float32] = field(repr=False)

    def logits(self, places: Sequence[RegionPlace]) -> NDArray[np.float32]:
        """[places, K]."""
        found: NDArray[np.float32] = dense_features(places, self.scale) @ self.dense.astype(np.float32)
        if len(self.known):
            found += np.asarray(hand_matrix(hand_features(places), self.known) @ self.hand.astype(np.float32))
        return found + self.intercepts


@dataclass(frozen=True)
class RegionHead:
    """Suggestions for one question. `labels`: what is told apart, NONE where a question may be left blank; `several`:
    answers are sets; `threshold`: the least probability that is shown; `regions`: how many it was fitted on;
    `searched`: when its choices were made."""

    control: str
    labels: tuple[str, ...] = ()
    several: bool = False
    weights: RegionWeights | None = field(default=None, repr=False)
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
        logits = self.weights.logits(places).astype(np.float64)
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
        own = self.weights
        if own is None:
            return {}
        arrays: dict[str, NDArray[np.generic]] = {
            "scale.mean": own.scale.mean,
            "scale.spread": own.scale.spread,
            "known": own.known,
            "dense": own.dense,
            "hand": own.hand,
            "intercepts": own.intercepts,
        }
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


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
        weights = None
        if tensors:
            scale = StateScale(
                *(tensors[f"scale.{part}"].astype(np.float32, copy=False) for part in ("mean", "spread"))
            )
            weights = RegionWeights(
                scale,
                tensors["known"].astype(np.uint64, copy=False),
                tensors["dense"].astype(np.float16, copy=False),
                tensors["hand"].astype(np.float16, copy=False),
                tensors["intercepts"].astype(np.float32, copy=False),
            )
        return RegionHead(
            str(config["control"]),
            tuple(config["labels"]),
            bool(config["several"]),
            weights,
            float(config["temperature"]),
            float(config["threshold"]),
            int(config["regions"]),
            int(config["searched"]),
            float(config["strength"]),
            dict(config["held_out"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VersionError(f"not a head for regions: {error}") from error
