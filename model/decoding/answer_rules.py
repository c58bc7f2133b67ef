"""How a row of probabilities becomes an answer: what a fit found out, and what is usual without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model.decoding.taxonomy import SURE


@dataclass(frozen=True)
class SetRules:
    """How sets are chosen and believed, as fitted on answers held out; None where that was not fitted."""

    threshold: float | None = None
    nonempty: bool | None = None
    thresholds: Mapping[str, float] | None = None
    set_confidence: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """What was fitted."""
        found = {
            "threshold": self.threshold,
            "nonempty": self.nonempty,
            "thresholds": None if self.thresholds is None else dict(self.thresholds),
            "set_confidence": None if self.set_confidence is None else list(self.set_confidence),
        }
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SetRules:
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
    sure: float = SURE

    def with_sets(self, rules: SetRules) -> AnswerRules:
        """These rules with what `rules` says of sets in the place of their own."""
        return replace(
            self,
            threshold=self.threshold if rules.threshold is None else rules.threshold,
            nonempty=self.nonempty if rules.nonempty is None else rules.nonempty,
            thresholds=self.thresholds if rules.thresholds is None else rules.thresholds,
            set_confidence=self.set_confidence if rules.set_confidence is None else rules.set_confidence,
        )
