"""Suggested answers about regions as results: with the id of the region, after it, at its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backend.labelstudio.label_config.answer_values import shown_score, value_key, write_value
from backend.labelstudio.spans.control import Result, SpanControl
from backend.labelstudio.spans.granularity import snapped
from backend.labelstudio.spans.page import Page
from backend.labelstudio.spans.regions import Regions
from model.region import Region, RegionAnswer
from model.span import ScoredSpan
from model.spec import Control


def answer_results(questions: Sequence[Control], page: Page, regions: Regions) -> Result:
    """What is suggested about each of these regions, all of one object."""
    by_name = {control.name: control for control in questions}
    found: Result = []
    for id_, spans in regions.spans.items():
        value = page.value_of(spans[0].start, spans[0].end)
        for answer in _answers(spans):
            control = by_name.get(answer.control)
            if control is None or value is None or not answer.chosen:
                continue
            place = {name: part for name, part in value.items() if name != "text"}  # which the page fills in
            found.append(
                {
                    "id": id_,
                    "from_name": control.name,
                    "to_name": page.object.name,
                    "type": control.tag.lower(),
                    "value": {**place, value_key(control): write_value(control, answer.chosen)},
                    "score": shown_score(answer.score),
                }
            )
    return found


def region_ids(control: SpanControl, page: Page, spans: Iterable[ScoredSpan], regions: Regions) -> dict[Region, str]:
    """Suggested spans -> ids of the regions that they became, as far as they did."""
    placed = {(one.start, one.end, one.label): id_ for id_, group in regions.spans.items() for one in group}
    found: dict[Region, str] = {}
    for one in spans:
        end = min(one.end, len(page.text))
        place = snapped(page.text, one.start, end, page.object.granularity) if 0 <= one.start < end else None
        id_ = placed.get((*place, control.names.get(one.label, ""))) if place is not None else None
        if id_ is not None:
            found[Region(control.name, one.start, one.end, one.label)] = id_
    return found


def _answers(spans: Sequence[ScoredSpan]) -> list[RegionAnswer]:
    """Of a region with several labels to each question the surest."""
    found: dict[str, RegionAnswer] = {}
    for answer in (one for span in spans for one in span.answers):
        if answer.control not in found or answer.score > found[answer.control].score:
            found[answer.control] = answer
    return list(found.values())
