"""Figures of a head for questions on passages that it was not fitted on, and what follows: calibration, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from model.questions.asked import AnsweredText
from model.questions.head import BestAnswer, QuestionHead
from model.span import ScoredSpan, Span
from model.spans.head.calibration import SpanCalibration, fit_calibration
from model.spans.head.head import ShowRules
from model.spans.quality import edits, measure
from model.spans.words import to_characters

HUMBLE = SpanCalibration(0.9, -0.2)
"""What is expected before anything can be fitted: a little less than is said."""

RAISED = (0.6, 0.7, 0.8, 0.9, 1.0)
"""Thresholds tried where answers above the usual one cost clicks; at 1 nothing is shown."""

LEAST_F1, MOST_F1 = 0.2, 0.45
"""Bounds of the threshold for F1, which is largest at half of itself."""

LIKELY = 0.05
"""Probability from which answers take part in a calibration."""


@dataclass(frozen=True)
class HeldOut:
    """Answered questions that were held out, and the likeliest answers to each by a head that has not seen them."""

    examples: tuple[AnsweredText, ...] = field(default=(), repr=False)
    found: tuple[Sequence[BestAnswer], ...] = field(default=(), repr=False)

    def add(self, examples: Sequence[AnsweredText], found: Sequence[Sequence[BestAnswer]]) -> HeldOut:
        """With more of them."""
        return HeldOut(self.examples + tuple(examples), self.found + tuple(found))

    @property
    def pairs(self) -> list[tuple[float, bool]]:
        """Probabilities of the likeliest answers, and whether they were exactly right."""
        return [
            (own.probability, _place(one, own) in set(one.spans))
            for one, found in zip(self.examples, self.found, strict=True)
            for own in found
            if own.probability >= LIKELY
        ]

    def shown(self, head: QuestionHead, threshold: float) -> list[list[ScoredSpan]]:
        """What would be shown of each."""
        rows = []
        for one, found in zip(self.examples, self.found, strict=True):
            rows.append(
                [
                    ScoredSpan(place.start, place.end, place.label, score)
                    for own in found
                    if (score := head.honest(own.probability)) >= threshold and own.probability > own.none
                    for place in [_place(one, own)]
                ]
            )
        return rows

    def text_pairs(self, head: QuestionHead, threshold: float) -> list[tuple[float, bool]]:
        """How likely each is right as it would be shown, and whether it was."""
        rows = []
        for one, found, shown in zip(self.examples, self.found, self.shown(head, threshold), strict=True):
            right, labels = 1.0, {span.label for span in shown}
            for own in found:
                right *= own.probability if own.span.label in labels else own.none
            rows.append((right, {span.span for span in shown} == set(one.spans)))
        return rows


def calibrate_head(head: QuestionHead, held_out: HeldOut) -> QuestionHead:
    """The head with calibration, thresholds and figures from what was held out."""
    if not held_out.examples:
        return replace(head, calibration=HUMBLE)
    pairs = held_out.pairs
    calibrated = fit_calibration([score for score, _ in pairs], [right for _, right in pairs], HUMBLE)
    head = replace(head, calibration=calibrated)
    drawn = [one.spans for one in held_out.examples]
    clicks = _least_edits(head, held_out, head.rules.clicks)
    texts = held_out.text_pairs(head, clicks)
    text_calibration = fit_calibration([score for score, _ in texts], [right for _, right in texts])
    found = measure(held_out.shown(head, clicks), drawn)
    figures = {"f1": found.f1, "macro_f1": found.macro_f1, "saved": found.saved, "ece": found.ece}
    details = replace(head.details, held_out={name: round(value, 4) for name, value in figures.items()})
    threshold = min(max(found.f1 / 2, LEAST_F1), MOST_F1)
    return replace(head, rules=ShowRules(clicks, threshold), details=details, text_calibration=text_calibration)


def _least_edits(head: QuestionHead, held_out: HeldOut, usual: float) -> float:
    """The usual threshold, or the least above it with which suggestions do not cost clicks: surely, for of a few texts
    every other one says so by chance."""
    drawn = [one.spans for one in held_out.examples]
    nothing = sum(map(len, drawn))
    for threshold in (usual, *RAISED):
        shown = held_out.shown(head, threshold)
        spent = sum(edits([one.span for one in own], spans) for own, spans in zip(shown, drawn, strict=True))
        if spent <= nothing + sum(map(len, shown)) ** 0.5:
            return threshold
    return RAISED[-1]


def _place(one: AnsweredText, own: BestAnswer) -> Span:
    return to_characters(one.asked.passage.bounds, own.span)
