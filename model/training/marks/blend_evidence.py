"""What a fine-tune is worth beside the refitted head: both suggested for held-out texts, and what follows from that is
the share of the fine-tune, its calibration, and the verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.evidence.gate import MarkedSide, Verdict, decide_marked_promotion
from model.numerics.arrays import Floats
from model.span import ScoredSpan, Span
from model.spans.head.calibration import SpanCalibration
from model.spans.head.head import ShowRules
from model.spans.head.held_out import fold_texts
from model.spans.quality import edits
from model.spec import Json

AROUND = (-0.1, -0.05, 0.0, 0.05, 0.1)
"""Edits are a mean over these thresholds around the shown one: which spans are just above it is chance, and the mean
has four fifths of the noise (256 texts of bc5cdr, share .3: a standard error of .026 edits a text instead of .032)."""

FIRST_WEIGHT = 0.3
"""The share by which it is decided early whether there is any hope."""


class Shown(Protocol):
    """How a head shows what it found."""

    @property
    def calibration(self) -> SpanCalibration: ...

    @property
    def text_calibration(self) -> SpanCalibration: ...

    @property
    def rules(self) -> ShowRules: ...


@dataclass(frozen=True)
class Side:
    """`edits` of each text from what is `shown`; `head` as it was calibrated; `figures` of it."""

    edits: Floats
    shown: list[list[ScoredSpan]]
    head: Shown
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Earned:
    """What the fine-tune of one control came to: `weight`: the share that costs the fewest edits; `shown`: a head with
    the calibration and the thresholds of the mean."""

    verdict: Verdict
    weight: float
    shown: Shown


class BlendEvidence(ABC):
    """What head and fine-tuned encoder said of held-out texts of one control that marks text."""

    weights: tuple[float, ...] = (0.0, 0.3, 0.5)
    """Shares that are tried, the least edits win."""

    @property
    @abstractmethod
    def labels(self) -> Sequence[str]:
        """Of the control."""

    @property
    @abstractmethod
    def drawn(self) -> Sequence[Collection[Span]]:
        """What is right in each text so far."""

    @property
    @abstractmethod
    def texts(self) -> Sequence[str]:
        """The texts so far; equal ones are judged together."""

    @abstractmethod
    def add(self, part: int, said: Json) -> None:
        """The texts of a part, by a fine-tuned encoder that has not seen them."""

    @abstractmethod
    def side(self, weight: float) -> Side:
        """What is suggested with this share, 0 being the head alone; calibrated on the same texts as any other, so that
        none has the advantage."""

    @property
    def count(self) -> int:
        """Texts so far."""
        return len(self.texts)

    def is_hopeless(self, min_examples: int, seed: int, hopeless: float) -> bool:
        """Whether the rest of the parts can be spared: even a small share is clearly worse on those so far."""
        if self.count < min_examples:
            return False
        verdict = self._compare(self.side(0.0), self.side(FIRST_WEIGHT), min_examples, seed)
        return verdict.evidence.get("better", 1.0) <= hopeless

    def judge(self, min_examples: int, seed: int) -> Earned | None:
        """The gate's verdict on the share that costs the fewest edits, which is chosen for one half of the texts on the
        other: nothing is judged by what it was chosen by. None without a held-out text."""
        if not self.count:
            return None
        sides = {weight: self.side(weight) for weight in self.weights}
        half = fold_texts(self.texts, 2)
        chosen = np.zeros(self.count)
        for part in (0, 1):
            chosen[half == part] = _least_edits(sides, half != part)
        best = _least_edits(sides, np.ones(self.count, bool))
        weight = best or FIRST_WEIGHT
        challenger = replace(_pick(sides, chosen), figures=sides[weight].figures)
        verdict = self._compare(sides[0.0], challenger, min_examples, seed)
        if verdict.accepted and not best:
            verdict = replace(verdict, accepted=False, decided=False, reason=f"no share is better; {verdict.reason}")
        return Earned(verdict, weight, sides[weight].head)

    def _compare(self, champion: Side, challenger: Side, min_examples: int, seed: int) -> Verdict:
        labels, drawn = self.labels, self.drawn

        def table(spans: Sequence[Collection[Span]]) -> NDArray[np.bool_]:
            rows = [[any(span.label == label for span in own) for label in labels] for own in spans]
            return np.array(rows, bool).reshape(len(drawn), len(labels))

        def hits(side: Side) -> MarkedSide:
            found = [{one.span for one in own} & set(true) for own, true in zip(side.shown, drawn, strict=True)]
            return MarkedSide(side.edits, table(found), side.figures)

        given = hits(champion), hits(challenger), table(drawn)
        return decide_marked_promotion(*given, min_examples=min_examples, seed=seed)


def edits_of(shown: Sequence[Sequence[ScoredSpan]], drawn: Sequence[Collection[Span]]) -> Floats:
    """Of each text, from what is shown to what is right."""
    rows = zip(shown, drawn, strict=True)
    return np.array([edits({one.span for one in own}, true) for own, true in rows], float)


def _least_edits(sides: Mapping[float, Side], rows: NDArray[np.bool_]) -> float:
    """The share that costs the fewest edits on these texts, of equal ones the smallest."""
    return min(sides, key=lambda weight: (float(sides[weight].edits[rows].sum()), weight))


def _pick(sides: Mapping[float, Side], chosen: Floats) -> Side:
    """Of each text what the share says that was chosen for it."""
    shares = chosen.tolist()
    spent = np.array([sides[weight].edits[row] for row, weight in enumerate(shares)])
    return replace(sides[0.0], edits=spent, shown=[sides[weight].shown[row] for row, weight in enumerate(shares)])
