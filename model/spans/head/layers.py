"""Spans that overlap: dealt out to the layers that learn them, and put together again from what layers suggest."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Sequence

from model.span import ScoredSpan, Span
from model.spans.chain.tags import WordSpan
from model.spans.overlaps import Layer, Relation, relate
from model.spans.string_memory import covered_words
from model.spans.words import Bounds, apart, to_words


def spans_of(layer: Layer, bounds: Bounds, spans: Collection[Span]) -> tuple[Span, ...]:
    """Those of a text's spans that a layer learns."""
    own = [(mark, span) for span in spans if span.label in layer.labels and (mark := to_words(bounds, span))]
    if layer.yielding:
        taken = covered_words(mark for mark, _ in own if mark.label not in layer.yielding)
        own = [(mark, span) for mark, span in own if mark.label not in layer.yielding or _is_free(mark, taken)]
    for _ in range(layer.depth):
        longest = _longest(own)
        own = [(mark, span) for mark, span in own if mark not in longest]
    longest = _longest(own)
    return tuple(span for mark, span in own if mark in longest)


def _is_free(mark: WordSpan, taken: Collection[int]) -> bool:
    return not any(word in taken for word in range(mark.first, mark.last + 1))


def _longest(own: Sequence[tuple[WordSpan, Span]]) -> set[WordSpan]:
    return set(apart(mark for mark, _ in own))


def put_together(layers: Sequence[Sequence[ScoredSpan]], overlaps: Collection[Relation]) -> tuple[ScoredSpan, ...]:
    """The suggestions of all layers for a text, in its order: the surest of those that overlap in a way in which
    annotators draw none, the surer of two that say the same."""
    spans = [one for own in layers for one in own]
    longest = max((one.span.end - one.span.start for one in spans), default=0)
    kept: list[ScoredSpan] = []  # by where they start: few of a long text can overlap any one
    for one in sorted(spans, key=lambda one: (-one.score, one.span)):
        first = bisect_right(kept, one.span.start - longest, key=_start)
        near = kept[first : bisect_left(kept, one.span.end, key=_start)]
        said = (relate(one.span, other.span) for other in near)
        if all(own is None or own in overlaps for own in said) and all(one.span != other.span for other in near):
            insort(kept, one, key=_start)
    return tuple(sorted(kept, key=lambda one: one.span))


def _start(one: ScoredSpan) -> int:
    return one.span.start
