"""Figures of a span head on texts that it was not fitted on, and what follows from them: calibration and thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from model.span import ScoredSpan, Span
from model.spans.chain.schedule import choose
from model.spans.chain.span_probabilities import Candidate
from model.spans.chain.tags import WordSpan
from model.spans.features.reading import ReadText
from model.spans.head.calibration import HUMBLE, SpanCalibration, fit_calibration
from model.spans.head.head import ShowRules, SpanHead
from model.spans.quality import edits, measure
from model.spans.string_memory import Said
from model.spans.words import to_characters
from model.texts import text_key

RAISED = (0.6, 0.7, 0.8, 0.9, 1.0)
"""Thresholds tried where spans above the usual one cost clicks; at 1 nothing is shown."""

LEAST_F1, MOST_F1, USUAL_F1 = 0.2, 0.45, 0.4
"""Bounds of the threshold for F1, and what it is drawn to."""

PAIRS_FROM = 0.3
"""Probability from which spans held out take part in the calibration."""


@dataclass(frozen=True)
class HeldOut:
    """Candidates of held-out texts, by heads that were not fitted on them. `places`: of the texts."""

    places: tuple[int, ...] = ()
    texts: tuple[ReadText, ...] = field(default=(), repr=False)
    candidates: tuple[list[Candidate], ...] = field(default=(), repr=False)
    heads: tuple[SpanHead, ...] = field(default=(), repr=False)
    drawn: tuple[frozenset[Span], ...] = field(default=(), repr=False)

    def add(
        self, places: NDArray[np.int64], texts: Sequence[ReadText], drawn: Sequence[Sequence[Span]], head: SpanHead
    ) -> HeldOut:
        """With more texts, which this head was not fitted on."""
        return HeldOut(
            self.places + tuple(int(place) for place in places),
            self.texts + tuple(texts),
            self.candidates + tuple(head.candidates(texts)),
            self.heads + (head,) * len(texts),
            self.drawn + tuple(frozenset(spans) for spans in drawn),
        )

    def said(self, threshold: float) -> Mapping[int, Said]:
        """What was said of each text, by its place."""
        rows = zip(self.places, self.heads, self.candidates, strict=True)
        return {place: head.said(own, threshold) for place, head, own in rows}

    def scored(self, threshold: float, calibration: SpanCalibration | None = None) -> list[list[ScoredSpan]]:
        """What would be shown of each text."""
        calibration = calibration or SpanCalibration()
        rows = zip(self.texts, self.heads, self.candidates, strict=True)
        return [
            [_scored(text, head.mark(one), one.probability) for one in calibration.calibrate(choose(own, threshold))]
            for text, head, own in rows
        ]

    @property
    def pairs(self) -> list[tuple[float, bool]]:
        """Probabilities of spans, and whether they were exactly right."""
        rows = zip(self.scored(PAIRS_FROM), self.drawn, strict=True)
        return [(scored.score, scored.span in drawn) for own, drawn in rows for scored in own]


def _scored(text: ReadText, mark: WordSpan, score: float) -> ScoredSpan:
    span = to_characters(text.bounds, mark)
    return ScoredSpan(span.start, span.end, span.label, score)


def fold_texts(texts: Sequence[str], folds: int) -> NDArray[np.int64]:
    """Fold of each text, by its hash alone: equal texts stay together."""
    keys = [text_key((text,)) for text in texts]
    rank = {key: place for place, key in enumerate(sorted(set(keys)))}
    return np.array([rank[key] % folds for key in keys], np.int64)


def calibrate_head(head: SpanHead, held_out: HeldOut) -> SpanHead:
    """The head with calibration, thresholds and figures from texts held out."""
    expected = HUMBLE if head.prior is not None else SpanCalibration()
    if not held_out.texts:
        return replace(head, calibration=expected)
    pairs = held_out.pairs
    calibration = fit_calibration([score for score, _ in pairs], [right for _, right in pairs], expected)
    clicks = _least_edits(held_out, head.rules.clicks)
    found = measure(held_out.scored(clicks, calibration), held_out.drawn)
    figures = {"f1": found.f1, "macro_f1": found.macro_f1, "saved": found.saved, "ece": found.ece}
    details = replace(head.details, held_out={name: round(value, 4) for name, value in figures.items()})
    threshold = float(np.clip((found.f1 / 2 + USUAL_F1) / 2, LEAST_F1, MOST_F1))  # F1 is largest at half of itself
    return replace(head, calibration=calibration, rules=ShowRules(clicks, threshold), details=details)


def _least_edits(held_out: HeldOut, usual: float) -> float:
    """The usual threshold, or the least above it with which suggestions do not cost clicks."""
    nothing = sum(len(drawn) for drawn in held_out.drawn)
    for threshold in (usual, *RAISED):
        shown = held_out.scored(threshold)
        spent = sum(
            edits([scored.span for scored in own], drawn) for own, drawn in zip(shown, held_out.drawn, strict=True)
        )
        if spent <= nothing:
            return threshold
    return RAISED[-1]
