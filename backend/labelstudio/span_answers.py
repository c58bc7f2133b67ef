"""What a task's annotation marks, as it is stored; and suggested spans as a prediction's results."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backend.errors import Undecidable
from backend.labelstudio.documents import read_text
from backend.labelstudio.records import SpanRow, SpanTargets
from backend.labelstudio.regions.answers import MarkedRegions, read_answers
from backend.labelstudio.regions.relations import read_relations, relation_results
from backend.labelstudio.regions.results import answer_results, region_ids
from backend.labelstudio.regions.rows import RegionTargets, RelationRow
from backend.labelstudio.spans.annotations import read_feedback, read_spans, spans_by_id
from backend.labelstudio.spans.config import with_all_task_labels
from backend.labelstudio.spans.control import SpanConfig
from backend.labelstudio.spans.page import Page, read_pages
from backend.labelstudio.spans.regions import SentSpan, to_regions
from backend.labelstudio.spans.validator import check_result
from backend.labelstudio.task_spec import span_config_of
from model.region import Region
from model.span import Span
from model.spec import Control, Json, JsonObject, Prediction, TaskSpec

RELATIONS = "<Relations>"
"""What relations are called among the questions that a page asks: no control can have this name."""

Suggested = Mapping[str, Sequence[SentSpan]]
"""Version -> what it suggested for one task, the last version last."""


@dataclass(frozen=True)
class Marks:
    """What one annotation marks. `texts`: of the inputs that were marked; `ignored`: regions that teach nothing, by the
    reason; `wrong`: those of a control that has no other."""

    texts: dict[str, str] = field(default_factory=dict)
    spans: SpanTargets = field(default_factory=dict)
    removed: SpanTargets = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)
    answers: RegionTargets = field(default_factory=dict)
    relations: list[RelationRow] | None = None


def read_marks(
    spec: TaskSpec,
    annotation: JsonObject,
    data: Json,
    max_chars: int,
    blank: Iterable[str],
    suggested: Suggested,
    asked: Collection[str] = (),
) -> Marks:
    """What an annotation that is no skip marks. `blank`: controls of which no region says that there is nothing;
    `asked`: questions about regions that the page asked, and RELATIONS, so that no answer says that one was left
    blank."""
    result = annotation.get("result")
    if not spec.spans or not isinstance(result, list):
        return Marks()
    config = with_all_task_labels(span_config_of(spec), data)
    pages, _ = read_pages(config, data)
    sent = _started_from(annotation, suggested)
    answer = read_spans(config, pages, annotation, sent)
    feedback = read_feedback(config, pages, annotation, sent)
    marked, nothing = _marked_controls(annotation), set(blank)
    texts: dict[str, str] = {}
    spans: SpanTargets = {}
    removed: SpanTargets = {}
    for control in spec.spans:
        name = control.name
        found = answer.spans.get(name)
        if found is None or not (found or (name not in marked and name in nothing)):
            continue
        text = pages[config.by_name[name].object.name].text[:max_chars]
        texts[control.inputs[0]] = text
        texts |= _question(spec, control, data, max_chars)
        spans[name] = _rows(found, len(text))
        if gone := [one.span for one in feedback.rejected if one.control == name]:
            removed[name] = _rows(gone, len(text))
    if not spans or not (spec.regions or spec.relations is not None):
        return Marks(texts, spans, removed, answer.ignored)
    regions = _learned(spans_by_id(config, pages, result, sent), spans)
    given = [read_answers([control], regions, result, control.name in asked) for control in spec.regions]
    answers = {name: rows for found in given for name, rows in found.items()}
    relations = None if spec.relations is None else read_relations(spec.relations, regions, result)
    drawn = relations or (relations if RELATIONS in asked else None)
    return Marks(texts, spans, removed, answer.ignored, answers, drawn)


def _learned(marks: MarkedRegions, spans: SpanTargets) -> MarkedRegions:
    """The regions of the spans that are learned."""
    learned = {(name, *row) for name, rows in spans.items() for row in rows}
    return {
        id_: [(name, span) for name, span in own if (name, span.start, span.end, span.label) in learned]
        for id_, own in marks.items()
    }


def _question(spec: TaskSpec, control: Control, data: Json, max_chars: int) -> dict[str, str]:
    """The text of the input that a control asks, by name; nothing where it asks none or the task lacks it."""
    item = next((one for one in spec.inputs if one.name == control.question), None)
    try:
        return {} if item is None else {item.name: read_text(item, data, max_chars)}
    except Undecidable:
        return {}


def count_ignored(spec: TaskSpec, annotation: JsonObject, data: Json) -> Mapping[str, int]:
    """How many regions of an annotation teach nothing, by the reason."""
    config = with_all_task_labels(span_config_of(spec), data)
    return read_spans(config, read_pages(config, data)[0], annotation).ignored


def with_spans(
    spec: TaskSpec, data: Json, predictions: Sequence[Prediction], version: str, result: Sequence[dict[str, Json]]
) -> tuple[list[dict[str, Json]], list[SentSpan], Mapping[str, int]]:
    """(`result`, of choices, and the regions of the spans that are predicted, without what would harm the page; which
    spans these are; how many were dropped for which reason)."""
    if not spec.spans:
        return list(result), [], {}
    config = with_all_task_labels(span_config_of(spec), data)
    pages, _ = read_pages(config, data)
    found: list[dict[str, Json]] = list(result)
    sent: list[SentSpan] = []
    ids: dict[Region, str] = {}
    for prediction in predictions:
        control = config.by_name.get(prediction.control)
        page = pages.get(control.object.name) if control is not None else None
        if control is not None and page is not None and prediction.spans:
            taken = {str(one.get("id")) for one in found}
            regions = to_regions(control, page, prediction.spans, salt=version, taken_ids=taken)
            found += [*regions.result, *answer_results(spec.regions, page, regions)]
            sent += regions.sent
            ids |= region_ids(control, page, prediction.spans, regions)
    found += relation_results([one for prediction in predictions for one in prediction.relations], ids)
    return _checked(config, pages, found, sent)


def _checked(
    config: SpanConfig, pages: Mapping[str, Page], found: list[dict[str, Json]], sent: list[SentSpan]
) -> tuple[list[dict[str, Json]], list[SentSpan], Mapping[str, int]]:
    checked = check_result(config, pages, found)
    left = {one.get("id") for one in checked.result}
    return checked.result, [one for one in sent if one.id in left], checked.dropped


def _started_from(annotation: JsonObject, suggested: Suggested) -> Sequence[SentSpan]:
    """The suggestions that this annotation began with: of the version whose regions it still has. Where it has none of
    any, all may have been removed: then what every version suggested, since nobody knows which one was shown."""
    if annotation.get("parent_prediction") is None or not suggested:
        return ()
    result = annotation.get("result")
    items = [item for item in result if isinstance(item, Mapping)] if isinstance(result, list) else []
    there = {id_ for item in items if isinstance(id_ := item.get("id"), str)}
    for sent in reversed(list(suggested.values())):
        if any(one.id in there for one in sent):
            return sent
    *before, last = suggested.values()
    return [one for one in last if all(any(_is_same(one, other) for other in sent) for sent in before)]


def _is_same(one: SentSpan, other: SentSpan) -> bool:
    return (one.control, one.span) == (other.control, other.span)


def _marked_controls(annotation: JsonObject) -> set[str]:
    """The controls of which there is any result."""
    result = annotation.get("result")
    names = (item.get("from_name") for item in result if isinstance(item, Mapping)) if isinstance(result, list) else ()
    return {name for name in names if isinstance(name, str)}


def _rows(spans: Iterable[Span], length: int) -> list[SpanRow]:
    """Of a text that was cut at `length`."""
    return [(span.start, span.end, span.label) for span in sorted(set(spans)) if span.end <= length]
