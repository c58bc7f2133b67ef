"""Fits a span head to texts whose spans may overlap: one chain for each layer of labels, over the same word states.

Where nothing overlaps there is one layer, and that is the head of `fit.py` itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from model.span import ScoredSpan
from model.spans.head import fit
from model.spans.head.calibration import fit_calibration
from model.spans.head.fit import MANY_LABELS, Basis, SpanExample, fit_and_hold_out, fit_span_head
from model.spans.head.head import SpanHead
from model.spans.head.held_out import HeldOut, held_out_figures
from model.spans.head.layers import put_together, spans_of
from model.spans.overlaps import Layer, Relation, find_overlaps, plan_layers
from model.spans.quality import measure


def fit_layered_head(
    basis: Basis,
    examples: Sequence[SpanExample],
    previous: SpanHead | None = None,
    *,
    calibrate: bool = True,
    repeat: bool = False,
) -> SpanHead:
    """As `fit_span_head`, for spans that may overlap. `previous` is gone on from while labels overlap as they did."""
    overlaps, layers = _plan(basis, examples)
    if len(layers) < 2:
        alone = previous if previous is None or not previous.inner else None
        return fit_span_head(basis, examples, alone, calibrate=calibrate, repeat=repeat)
    before: Sequence[SpanHead | None] = [None] * len(layers)
    if previous is not None and previous.layers == layers:
        before = [previous, *previous.inner]
    own = replace(basis, fit_seconds=basis.fit_seconds / len(layers))
    found = [
        fit_and_hold_out(_only(own, layer), _share(layer, examples), known, calibrate=calibrate, repeat=repeat)
        for layer, known in zip(layers, before, strict=True)
    ]
    outer, *inner = (head for head, _ in found)
    outer = replace(outer, inner=tuple(inner), layers=layers, overlaps=overlaps)
    return _with_figures(outer, [held_out for _, held_out in found], examples)


def _plan(basis: Basis, examples: Sequence[SpanExample]) -> tuple[frozenset[Relation], tuple[Layer, ...]]:
    """How labels overlap, and the layers that follow; none where nothing does."""
    overlaps = find_overlaps([example.spans for example in examples])
    return overlaps, plan_layers(_looked_for(basis, examples), overlaps) if overlaps else ()


def first_layer(basis: Basis, examples: Sequence[SpanExample]) -> tuple[Basis, list[SpanExample]]:
    """What the first layer of a head looks for and learns of the texts; all of it where nothing overlaps."""
    layers = _plan(basis, examples)[1]
    return (_only(basis, layers[0]), _share(layers[0], examples)) if len(layers) > 1 else (basis, list(examples))


def _with_figures(head: SpanHead, held_out: Sequence[HeldOut], examples: Sequence[SpanExample]) -> SpanHead:
    """With figures of all layers together on the texts that each of them held out, and with what makes the score of a
    text honest; as before at a warm fit."""
    layers = [_said(layer, own) for layer, own in zip((head, *head.inner), held_out, strict=True)]
    drawn = {example.text.text: frozenset(example.spans) for example in examples}
    texts = [text for text in drawn if all(text in own for own in layers)]
    if not texts:
        return head
    found = [put_together([own[text][0] for own in layers], head.overlaps) for text in texts]
    right = [{one.span for one in own} == drawn[text] for own, text in zip(found, texts, strict=True)]
    whole = fit_calibration([prod(own[text][1] for own in layers) for text in texts], right)
    figures = held_out_figures(measure(found, [drawn[text] for text in texts]))
    return replace(head, whole=whole, details=replace(head.details, held_out=figures))


def _said(layer: SpanHead, held_out: HeldOut) -> dict[str, tuple[list[ScoredSpan], float]]:
    """By text that a layer held out: what it would show, and how likely that is right."""
    clicks, calibration = layer.rules.clicks, layer.calibration
    scores = np.array([score for score, _ in held_out.text_pairs(clicks, calibration)])
    rows = zip(
        held_out.texts, held_out.scored(clicks, calibration), layer.text_calibration.sigmoid(scores), strict=True
    )
    return {text.text: (shown, float(score)) for text, shown, score in rows}


def is_settled(head: SpanHead) -> bool:
    """Whether all layers were fitted from nothing on about as many texts as they know."""
    return fit.is_settled(head) and all(map(fit.is_settled, head.inner))


def parts_of(
    head: SpanHead, basis: Basis, examples: Sequence[SpanExample]
) -> list[tuple[SpanHead, Basis, list[SpanExample]]]:
    """A head by its layers: each with its labels, and with what it learns of the texts."""
    if not head.inner:
        return [(head, basis, list(examples))]
    rows = zip((head, *head.inner), head.layers, strict=True)
    return [(own, _only(basis, layer), _share(layer, examples)) for own, layer in rows]


def _looked_for(basis: Basis, examples: Sequence[SpanExample]) -> tuple[str, ...]:
    """All labels; where they are many those that occur, as in `fit.py`."""
    if len(basis.labels) <= MANY_LABELS:
        return basis.labels
    seen = {span.label for example in examples for span in example.spans}
    return tuple(label for label in basis.labels if label in seen)


def _only(basis: Basis, layer: Layer) -> Basis:
    """What is known of a layer's labels."""
    places = [basis.labels.index(label) for label in layer.labels]
    names = basis.names[places] if len(basis.names) else np.zeros((0, basis.names.shape[1]), np.float32)
    return replace(basis, labels=layer.labels, names=names)


def _share(layer: Layer, examples: Sequence[SpanExample]) -> list[SpanExample]:
    """The texts with what a layer learns of them."""
    return [
        replace(
            example,
            spans=spans_of(layer, example.text.all_bounds, example.spans),
            removed=tuple(span for span in example.removed if span.label in layer.labels),
        )
        for example in examples
    ]
