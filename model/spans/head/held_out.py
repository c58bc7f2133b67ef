"""Figures of a span head on texts that it was not fitted on, and what follows from them: calibration and thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.span import ScoredSpan, Span
from model.spans.chain.schedule import choose
from model.spans.chain.span_probabilities import LEAST, Candidate, span_probabilities
from model.spans.chain.tags import WordSpan
from model.spans.features.pieces import MOST_SCORES
from model.spans.features.reading import ReadText
from model.spans.head.calibration import FITTED_FROM, SpanCalibration, fit_calibration, humble
from model.spans.head.head import ShowRules, SpanHead
from model.spans.head.prior_share import PriorShare, learned_share
from model.spans.head.text_score import right_as_shown
from model.spans.quality import SpanQuality, edits, measure
from model.spans.string_memory import Said
from model.spans.words import apart, to_characters, word_spans
from model.texts import portions, text_key

RAISED = (0.6, 0.7, 0.8, 0.9, 1.0)
"""Thresholds tried where spans above the usual one cost clicks; at 1 nothing is shown."""

LEAST_F1, MOST_F1, USUAL_F1 = 0.2, 0.45, 0.4
"""Bounds of the threshold for F1, and what it is drawn to."""


@dataclass(frozen=True)
class HeldOut:
    """Candidates of held-out texts, by chains that were not fitted on them and by the prior alone. `places`: of the
    texts; `likelihoods`: log-likelihoods of their tags by either; `share`: how the two are blended."""

    places: tuple[int, ...] = ()
    texts: tuple[ReadText, ...] = field(default=(), repr=False)
    fitted: tuple[list[Candidate], ...] = field(default=(), repr=False)
    alone: tuple[list[Candidate], ...] = field(default=(), repr=False)
    likelihoods: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    heads: tuple[SpanHead, ...] = field(default=(), repr=False)
    drawn: tuple[frozenset[Span], ...] = field(default=(), repr=False)
    share: PriorShare = field(default_factory=PriorShare)

    def add(
        self,
        places: NDArray[np.int64],
        texts: Sequence[ReadText],
        drawn: Sequence[Sequence[Span]],
        head: SpanHead,
        least: float = LEAST,
    ) -> HeldOut:
        """With more texts, which this head was not fitted on. `least`: probability from which a span is a candidate."""
        fitted, alone, likelihoods = both_sides(head, texts, drawn, least)
        return replace(
            self,
            places=self.places + tuple(int(place) for place in places),
            texts=self.texts + tuple(texts),
            fitted=self.fitted + tuple(fitted),
            alone=self.alone + tuple(alone),
            likelihoods=self.likelihoods + tuple(likelihoods),
            heads=self.heads + (head,) * len(texts),
            drawn=self.drawn + tuple(frozenset(spans) for spans in drawn),
        )

    def learn_share(self, expected: PriorShare) -> HeldOut:
        """Blended as the texts say, beside what is expected."""
        ours, theirs = np.array(self.likelihoods).reshape(-1, 2).T
        return replace(self, share=replace(expected, share=learned_share(ours, theirs, expected.share)))

    @cached_property
    def candidates(self) -> tuple[list[Candidate], ...]:
        """Of each text."""
        if not self.share.share:
            return self.fitted
        return tuple(self.share.blend(*pair) for pair in zip(self.fitted, self.alone, strict=True))

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

    def text_pairs(self, threshold: float, calibration: SpanCalibration) -> list[tuple[float, bool]]:
        """How likely each text is right as it would be shown, and whether it was."""
        found = []
        rows = zip(self.heads, self.candidates, self.scored(threshold), self.drawn, strict=True)
        for head, own, shown, drawn in rows:
            likely = {head.mark(one): one.probability for one in calibration.calibrate(own)}
            chosen = {head.mark(one): likely[head.mark(one)] for one in choose(own, threshold)}
            found.append((right_as_shown(chosen, likely), {scored.span for scored in shown} == drawn))
        return found

    @property
    def pairs(self) -> list[tuple[float, bool]]:
        """Probabilities of spans, and whether they were exactly right."""
        rows = zip(self.scored(FITTED_FROM), self.drawn, strict=True)
        return [(scored.score, scored.span in drawn) for own, drawn in rows for scored in own]


Sides = tuple[list[list[Candidate]], list[list[Candidate]], list[tuple[float, float]]]
"""Of each text: candidates by the chain, by the prior alone, and log-likelihoods of what was drawn by either."""


def both_sides(
    head: SpanHead, texts: Sequence[ReadText], drawn: Sequence[Sequence[Span]], least: float = LEAST
) -> Sides:
    """Candidates by the chain of a head and by the prior alone, and how likely each holds what was drawn. As many texts
    at a time as there is room for."""
    if not head.labels:
        return [[] for _ in texts], [[] for _ in texts], [(0.0, 0.0)] * len(texts)
    most = max(1, MOST_SCORES // head.chain.tags.size)
    rows = list(zip(texts, drawn, strict=True))
    fitted, alone, likelihoods = list[list[Candidate]](), list[list[Candidate]](), list[tuple[float, float]]()
    for some in portions(rows, lambda row: len(row[0].bounds), texts=len(rows), characters=most):
        found = _both_sides(head, [text for text, _ in some], [own for _, own in some], least)
        fitted += found[0]
        alone += found[1]
        likelihoods += found[2]
    return fitted, alone, likelihoods


def _both_sides(head: SpanHead, texts: Sequence[ReadText], drawn: Sequence[Sequence[Span]], least: float) -> Sides:
    tags = head.chain.tags
    features = head.space.features(texts, head.prior, head.chain.tags)
    marks = [apart(word_spans(text.bounds, spans)) for text, spans in zip(texts, drawn, strict=True)]
    gold = np.concatenate([tags.encode(len(text.bounds), own) for text, own in zip(texts, marks, strict=True)])
    found, likelihoods = [], []
    for chain, scores in head.sides(features):
        lattice = chain.lattice_of(scores, features.lengths)
        found.append(span_probabilities(lattice, tags, head.details.longest, least))
        likelihoods.append(chain.log_likelihoods(scores, lattice, gold).tolist())
    return found[0], found[-1], list(zip(likelihoods[0], likelihoods[-1], strict=True))


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
    calibration = calibration_of(head, held_out)
    if not held_out.texts:
        return replace(head, calibration=calibration)
    clicks = _least_edits(held_out, head.rules.clicks)
    texts = held_out.text_pairs(clicks, calibration)
    text_calibration = fit_calibration([score for score, _ in texts], [right for _, right in texts])
    found = measure(held_out.scored(clicks, calibration), held_out.drawn)
    details = replace(head.details, held_out=held_out_figures(found))
    threshold = float(np.clip((found.f1 / 2 + USUAL_F1) / 2, LEAST_F1, MOST_F1))  # F1 is largest at half of itself
    return replace(
        head,
        calibration=calibration,
        rules=ShowRules(clicks, threshold),
        details=details,
        text_calibration=text_calibration,
    )


def calibration_of(head: SpanHead, held_out: HeldOut) -> SpanCalibration:
    """What makes probabilities honest, from spans held out; what is expected of the head where they are few."""
    expected = humble(head.alone.share) if head.prior is not None else SpanCalibration()
    pairs = held_out.pairs
    return fit_calibration([score for score, _ in pairs], [right for _, right in pairs], expected)


def held_out_figures(found: SpanQuality) -> dict[str, float]:
    """What is told of a head."""
    figures = {"f1": found.f1, "macro_f1": found.macro_f1, "saved": found.saved, "ece": found.ece}
    return {name: round(value, 4) for name, value in figures.items()}


def _least_edits(held_out: HeldOut, usual: float) -> float:
    """The usual threshold, or the least above it with which suggestions do not cost clicks: surely, for of a few texts
    every other one says so by chance."""
    nothing = sum(len(drawn) for drawn in held_out.drawn)
    for threshold in (usual, *RAISED):
        shown = held_out.scored(threshold)
        spent = sum(
            edits([scored.span for scored in own], drawn) for own, drawn in zip(shown, held_out.drawn, strict=True)
        )
        if spent <= nothing + sum(map(len, shown)) ** 0.5:  # one standard error: each costs a click or saves one
            return threshold
    return RAISED[-1]
