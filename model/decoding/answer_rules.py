"""How a row of probabilities becomes an answer: what a fit found out, and what is usual without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from model.decoding.taxonomy import SURE


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
        """What was fitted."""
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
