"""Why a span is suggested, and why another one is not: how likely each part of the model holds it, against what, and by
what features.

The probability of a span is a mean: of the fitted chain, of what the prior says alone, of a fine-tuned encoder, each by
its share. What decided is told of the chain, whose score is a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from model.explain.mark_contrast import Contrast, ScoredText
from model.explain.nearest_spans import span_vector
from model.numerics.arrays import Floats
from model.span import ScoredSpan, Span
from model.spans.chain.lattice import Lattice
from model.spans.chain.schedule import choose
from model.spans.chain.span_probabilities import Candidate, label_probabilities
from model.spans.chain.tags import TagSet, WordSpan
from model.spans.features.pieces import piece_around
from model.spans.features.reading import ReadText
from model.spans.head.head import SpanHead, Suggestions
from model.spans.words import Bounds, to_characters, to_words
from model.versions.span_answers import SpanAnswerer

CHAIN, PRIOR, FINETUNED = "chain", "label names", "fine-tuned encoder"
"""Whose probabilities are averaged."""


@dataclass(frozen=True)
class Side:
    """One part of the model, its share in the probability, and how likely it holds the span by itself."""

    name: str
    share: float
    probability: float


@dataclass(frozen=True)
class Rival:
    """What would stand in the span's place: another span, or nothing (None)."""

    span: Span | None
    probability: float


@dataclass(frozen=True)
class SpanReason:
    """Why a span is shown, or is not. `score`: calibrated; `probability`: before that, to be compared with `threshold`;
    `without`: the score by the head alone, where a fine-tuned encoder has a share; `layer` of `layers` chains, of
    labels that overlap. Without `rival` and `contrast` where no chain has read the words."""

    span: Span
    is_shown: bool
    verdict: str
    score: float
    probability: float = 0.0
    threshold: float = 0.0
    rival: Rival | None = None
    contrast: Contrast | None = field(default=None, repr=False)
    sides: tuple[Side, ...] = ()
    without: float | None = None
    layer: int = 1
    layers: int = 1


@dataclass(frozen=True)
class _Part:
    """One part of the model, with its share, and what it makes of the text."""

    name: str
    share: float
    lattice: Lattice
    tags: TagSet
    longest: int

    def side(self, mark: WordSpan) -> Side:
        """How likely it holds just this."""
        known = mark.label in self.tags.labels and mark.last - mark.first < self.longest
        if not known:
            return Side(self.name, self.share, 0.0)
        said = label_probabilities(self.lattice, self.tags, mark.first, mark.last)
        return Side(self.name, self.share, float(said[self.tags.labels.index(mark.label)]))


@dataclass(frozen=True)
class _Layer:
    """A chain with what it holds possible in the text, or in some words of a long one, among which its places are then.
    `shown_by`: the head as it shows, with a fine-tune's thresholds and calibration where that has a share."""

    number: int
    shown_by: SpanHead
    candidates: Sequence[Candidate]
    scored: ScoredText
    tuned: _Part | None = None

    @property
    def head(self) -> SpanHead:
        """The head itself."""
        return self.scored.head

    @cached_property
    def parts(self) -> tuple[_Part, ...]:
        """The chain and, where it has a say, the prior alone."""
        head, lengths = self.head, [len(self.scored.text.bounds)]
        sides = head.sides(self.scored.features) if head.alone.share else head.sides(self.scored.features)[:1]
        shares = (1 - head.alone.share, head.alone.share) if len(sides) > 1 else (1.0,)
        return tuple(
            _Part(name, share, chain.lattice_of(scores, lengths), head.chain.tags, head.details.longest)
            for name, share, (chain, scores) in zip((CHAIN, PRIOR), shares, sides, strict=False)
        )

    def sides(self, mark: WordSpan) -> tuple[Side, ...]:
        """How likely each part of the model holds just this, the shares adding up to 1."""
        own = [part.side(mark) for part in self.parts]
        if self.tuned is None or mark.label not in self.tuned.tags.labels:
            return tuple(own)
        rest = 1 - self.tuned.share
        return (*(Side(one.name, rest * one.share, one.probability) for one in own), self.tuned.side(mark))

    def probability(self, mark: WordSpan) -> float:
        """By all of them."""
        return sum(side.share * side.probability for side in self.sides(mark))

    def rival(self, mark: WordSpan, probability: float) -> tuple[WordSpan | None, float]:
        """The likeliest span that stands in the way, or nothing (None) if that is likelier."""
        others = [
            own
            for own in self.candidates
            if own.first <= mark.last and mark.first <= own.last and self.head.mark(own) != mark
        ]
        nothing = max(0.0, 1 - probability - sum(own.probability for own in others))
        best = max(others, key=lambda own: (own.probability, own), default=None)
        if best is None or best.probability <= nothing:
            return None, nothing
        return self.head.mark(best), best.probability


class SpanReasons:
    """Of one text, as one control's head and its fine-tune answer it."""

    def __init__(self, answerer: SpanAnswerer, text: ReadText) -> None:
        self._aim = answerer.tools.aim
        self._looked: dict[tuple[int, int], list[_Layer]] = {}
        self._answerer, self.text = answerer, text
        if answerer.is_blend and answerer.tuned is not None:
            again = answerer.tuned.read([text.text])[0]
            self.text = text.upto(len(again.bounds))
            self._again: ReadText | None = again.upto(len(self.text.bounds))
        else:
            self._again = None

    @cached_property
    def suggested(self) -> Suggestions:
        """What is shown of the text."""
        return self._answerer.suggest([self.text])[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """What any chain looks for, or the memory of strings knows."""
        heads = (self._answerer.head, *self._answerer.head.inner)
        return tuple(dict.fromkeys(label for head in heads for label in (*head.labels, *sorted(head.memory.labels))))

    @property
    def bounds(self) -> Bounds:
        """Of the words that were read."""
        return self.text.bounds

    def vector(self, span: Span) -> Floats | None:
        """What a span is compared with others by."""
        return span_vector(self.text, span, self._answerer.head.space.scale)

    def likeliest_label(self, span: Span) -> str:
        """The label that these words are likeliest to have; "" where nothing is known of any."""
        mark = self._mark(span)
        found: dict[str, float] = {}
        if mark is not None:
            begin, layers = self._layers(mark)
            for layer in layers:
                for label in layer.head.labels:
                    p = layer.probability(_moved(mark, -begin)._replace(label=label))
                    found[label] = max(found.get(label, 0.0), p)
        if not found:
            return next(iter(self.labels), "")
        return max(sorted(found), key=lambda label: found[label])

    def explain(self, span: Span) -> SpanReason:
        """Of a span that is shown, or of any other: of the whole words that it touches."""
        shown = next((one for one in self.suggested.spans if one.span == span), None)
        mark = self._mark(span)
        if mark is None:
            return SpanReason(span, shown is not None, _unread(shown), shown.score if shown else 0.0)
        begin, layers = self._layers(mark)
        own = [layer for layer in layers if span.label in layer.head.labels]
        if not own:
            verdict = "marked before" if shown else f"no chain looks for {span.label}"
            return SpanReason(span, shown is not None, verdict, shown.score if shown else 0.0)
        there = _moved(mark, -begin)
        layer = max(own, key=lambda layer: (layer.probability(there), -layer.number))
        reason = self._in_layer(layer, to_characters(self.text.bounds, mark), there, shown, begin)
        return replace(reason, layers=len(layers))

    def _mark(self, span: Span) -> WordSpan | None:
        """The words of a span; None where any of them was not read."""
        mark = to_words(self.text.all_bounds, span)
        return mark if mark is not None and mark.last < len(self.text.bounds) else None

    def _layers(self, mark: WordSpan) -> tuple[int, list[_Layer]]:
        """The word that what was looked at begins with, and what each chain makes of it."""
        begin, end = piece_around(self.text, mark.first, mark.last + 1)
        if (begin, end) not in self._looked:
            self._looked[begin, end] = self._look(begin, end)
        return begin, self._looked[begin, end]

    def _look(self, begin: int, end: int) -> list[_Layer]:
        head, text = self._answerer.head, self.text.part(begin, end)
        candidates, shown_by, tuned = head.candidates([text])[0], head, None
        if self._again is not None and self._answerer.marks is not None and head.labels:
            marks, read = self._answerer.marks, [self._again.part(begin, end)]
            blend = marks.blend(head, [candidates], marks.candidates([text], read))
            shown_by, candidates = blend.head, blend.candidates[0]
            chain, share = marks.scorer.chain, marks.aged(head.details.texts).weight
            lattice = chain.lattice_of(marks.scorer.log_scores([text], read), [len(text.bounds)])
            tuned = _Part(FINETUNED, share, lattice, chain.tags, marks.longest)
        found = [_Layer(1, shown_by, candidates, ScoredText(head, text), tuned)]
        for number, inner in enumerate(head.inner, start=2):
            found.append(_Layer(number, inner, inner.candidates([text])[0], ScoredText(inner, text)))
        return found

    def _in_layer(self, layer: _Layer, span: Span, mark: WordSpan, shown: ScoredSpan | None, begin: int) -> SpanReason:
        """`mark`: in the words that the layer has looked at, which begin with that one of the text."""
        sides = layer.sides(mark)
        probability = sum(side.share * side.probability for side in sides)
        score = shown.score if shown else float(layer.shown_by.calibration.apply(np.array(probability)))
        threshold = layer.shown_by.rules.of(self._aim)
        contender, against = layer.rival(mark, probability)
        stands = to_characters(self.text.bounds, _moved(contender, begin)) if contender else None
        return SpanReason(
            span,
            shown is not None,
            self._verdict(layer, mark, probability, threshold, shown),
            score,
            probability,
            threshold,
            Rival(stands, against),
            layer.scored.contrast(mark, contender).moved(begin),
            sides,
            self._without(layer, sides),
            layer.number,
        )

    def _without(self, layer: _Layer, sides: Sequence[Side]) -> float | None:
        """The score by the head alone."""
        if layer.tuned is None:
            return None
        own = [side for side in sides if side.name != FINETUNED]
        total = sum(side.share for side in own)
        p = sum(side.share * side.probability for side in own) / total if total else 0.0
        return float(layer.head.calibration.apply(np.array(p)))

    def _verdict(
        self, layer: _Layer, mark: WordSpan, probability: float, threshold: float, shown: ScoredSpan | None
    ) -> str:
        head, own = layer.shown_by, layer.scored.text.words[mark.first : mark.last + 1]
        if shown is not None:
            return "likely enough" if probability > threshold else "marked before"
        if head.memory.is_removed(own, mark.label):
            return "annotators took it away elsewhere"
        if mark.last - mark.first >= layer.head.details.longest:
            return f"longer than the {layer.head.details.longest} words that are looked for"
        if probability <= threshold:
            return "not likely enough"
        chosen = [head.mark(one) for one in choose(layer.candidates, threshold)]
        if any(one.first <= mark.last and mark.first <= one.last and one != mark for one in chosen):
            return "what overlaps it is likelier"
        return "another chain's span stands there"


def _moved(mark: WordSpan, words: int) -> WordSpan:
    return mark._replace(first=mark.first + words, last=mark.last + words)


def _unread(shown: ScoredSpan | None) -> str:
    return "marked before, in a part of the text that was not read yet" if shown else "not read yet: ask again"
