"""Spans that overlap: dealt out to the layers that learn them, and put together again from what layers suggest."""

from __future__ import annotations

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
    kept: list[ScoredSpan] = []
    for one in sorted((one for own in layers for one in own), key=lambda one: (-one.score, one.span)):
        said = (relate(one.span, other.span) for other in kept)
        if all(own is None or own in overlaps for own in said) and all(one.span != other.span for other in kept):
            kept.append(one)
    return tuple(sorted(kept, key=lambda one: one.span))
