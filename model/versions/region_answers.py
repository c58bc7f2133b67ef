"""Answers about marked regions: a head for each question, fitted on what people marked and asked of suggestions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from model.region import Region, RegionSample, RegionSamples
from model.regions.region_features import RegionPlace
from model.regions.region_fit import RegionExample, fit_region_head
from model.regions.region_head import RegionHead
from model.span import ScoredSpan
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import ReadText, SpanReader
from model.spec import Control, Prediction, TaskSpec
from model.versions.span_answers import SpanTools

RegionHeads = Mapping[str, RegionHead]
"""Question about regions -> its head."""


def fit_region_heads(
    spec: TaskSpec,
    samples: RegionSamples,
    tools: SpanTools,
    previous: RegionHeads | None = None,
    repeat: bool = False,
) -> dict[str, RegionHead]:
    """One head per question of `spec.regions`. With `repeat` the choices of `previous` are kept where searching them
    anew would take long."""
    before = previous or {}
    return {
        control.name: _fit(control, samples.get(control.name, ()), tools.reader, before.get(control.name), repeat)
        for control in spec.regions
    }


def answer_regions(
    spec: TaskSpec, heads: RegionHeads, marked: Sequence[Prediction], read: Sequence[ReadText]
) -> list[Prediction]:
    """The predictions of a control that marks text, each suggested span with what is suggested about it."""
    found = list(marked)
    for control in spec.regions:
        head = heads.get(control.name)
        if head is not None:
            found = [_answer(control, head, one, text) for one, text in zip(found, read, strict=True)]
    return found


def _answer(control: Control, head: RegionHead, marked: Prediction, text: ReadText) -> Prediction:
    asked = [
        at
        for at, span in enumerate(marked.spans)
        if control.scope is not None and control.scope.asks(marked.control, span.label)
    ]
    if not asked:
        return marked
    spans: list[ScoredSpan] = list(marked.spans)
    places = [RegionPlace(text, Region(marked.control, *_place(spans[at]))) for at in asked]
    for at, answer in zip(asked, head.answers(places), strict=True):
        if answer is not None:
            spans[at] = replace(spans[at], answers=(*spans[at].answers, answer))
    return replace(marked, spans=tuple(spans))


def _place(span: ScoredSpan) -> tuple[int, int, str]:
    return span.start, span.end, span.label


def _fit(
    control: Control, samples: Sequence[RegionSample], reader: SpanReader, previous: RegionHead | None, repeat: bool
) -> RegionHead:
    texts = list(dict.fromkeys(sample.text for sample in samples))
    read = dict(zip(texts, reader.read(texts), strict=True))
    examples = [
        RegionExample(RegionPlace(read[sample.text], sample.region), sample.target, sample.weight)
        for sample in samples
        if read[sample.text].bounds
    ]
    scale = StateScale.measure([text for text in read.values() if text.bounds], reader.width)
    return fit_region_head(control.name, control.keys(), control.multilabel, examples, scale, previous, repeat)
