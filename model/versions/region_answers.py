"""What is said about marked regions: heads fitted on what people marked, and asked of what is suggested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from model.region import Region, RegionSample, RegionSamples, RelationSample
from model.regions.region_features import RegionPlace
from model.regions.region_fit import RegionExample, fit_region_head, is_settled
from model.regions.region_head import RegionHead
from model.regions.region_heads import RegionHeads
from model.regions.region_reading import read_regions
from model.regions.relation_fit import RelationExample, fit_relation_head
from model.regions.relation_fit import is_settled as is_relation_head_settled
from model.regions.relation_head import RelationHead
from model.span import ScoredSpan
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import ReadText, SpanReader
from model.spec import Control, Document, Prediction, TaskSpec
from model.versions.span_answers import SpanTools


def fit_region_heads(
    spec: TaskSpec,
    samples: RegionSamples,
    relations: Sequence[RelationSample],
    tools: SpanTools,
    previous: RegionHeads | None = None,
    repeat: bool = False,
) -> RegionHeads:
    """One head per question of `spec.regions`, and one for relations where the page draws such. With `repeat` the
    choices of `previous` are kept where searching them anew would take long."""
    before, reader = previous or RegionHeads(), tools.reader
    questions = {
        control.name: _fit(control, samples.get(control.name, ()), reader, before.questions.get(control.name), repeat)
        for control in spec.regions
    }
    if spec.relations is None:
        return RegionHeads(questions)
    return RegionHeads(questions, _fit_relations(relations, reader, before.relations, repeat))


def are_settled(heads: RegionHeads) -> bool:
    """Whether the choices of heads were made on about as much as they know."""
    related = heads.relations is None or is_relation_head_settled(heads.relations)
    return related and all(is_settled(head) for head in heads.questions.values())


def answer_regions(
    spec: TaskSpec, heads: RegionHeads, marked: Sequence[Prediction], read: Sequence[ReadText]
) -> list[Prediction]:
    """The predictions of a control that marks text, each suggested span with what is suggested about it."""
    found = list(marked)
    for control in spec.regions:
        head = heads.questions.get(control.name)
        if head is not None:
            found = [_answer(control, head, one, text) for one, text in zip(found, read, strict=True)]
    return found


def relate_regions(
    spec: TaskSpec, head: RelationHead, marked: Sequence[Prediction], document: Document, reader: SpanReader
) -> list[Prediction]:
    """The predictions for one document, each with the relations that begin at one of its spans."""
    found = {one.control: one for one in marked}
    for name in dict.fromkeys(control.inputs[0] for control in spec.spans):
        own = [control.name for control in spec.spans if control.inputs[0] == name]
        spans = [(one, span) for one in marked if one.control in own for span in one.spans]
        if len(spans) < 2:
            continue
        sure = {Region(one.control, *_place(span)): span.score for one, span in spans}
        for relation in head.relations(reader.read([document[name]])[0], list(sure), sure):
            source = relation.relation.source.control
            found[source] = replace(found[source], relations=(*found[source].relations, relation))
    return list(found.values())


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


def _fit_relations(
    samples: Sequence[RelationSample], reader: SpanReader, previous: RelationHead | None, repeat: bool
) -> RelationHead:
    read = reader.read([sample.text for sample in samples])
    examples = [
        RelationExample(text, sample.regions, sample.relations, sample.weight)
        for text, sample in zip(read, samples, strict=True)
        if text.bounds
    ]
    scale = StateScale.measure([one.text for one in examples], reader.width)
    return fit_relation_head(examples, scale, previous, repeat)


def _fit(
    control: Control, samples: Sequence[RegionSample], reader: SpanReader, previous: RegionHead | None, repeat: bool
) -> RegionHead:
    places = read_regions(reader, [(sample.text, sample.region) for sample in samples])
    examples = [
        RegionExample(place, sample.target, sample.weight)
        for place, sample in zip(places, samples, strict=True)
        if place is not None
    ]
    read = {id(example.place.text): example.place.text for example in examples}
    scale = StateScale.measure(list(read.values()), reader.width)
    return fit_region_head(control.name, control.keys(), control.multilabel, examples, scale, previous, repeat)
