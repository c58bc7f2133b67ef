"""Reads a Label Studio label config into a `TaskSpec`: which controls can be learned, from which inputs."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from backend.errors import UnsupportedConfig
from backend.labelstudio.label_config.config import checked, of_regions, read_choices
from backend.labelstudio.questions.recognise import find_question
from backend.labelstudio.regions.questions import region_controls
from backend.labelstudio.spans.config import read_span_config
from backend.labelstudio.spans.control import SpanConfig, SpanControl, SpanObject
from model.spec import Control, Input, Json, Kind, Label, PageRules, TaskSpec

LARGE_BYTES, LARGE_KEPT = 64 * 1024, 6
"""Configs from this size on are parsed aside: their specs take 10 MB and more, so that only the last few are kept."""

_MARKS = re.compile("labels", re.IGNORECASE)
"""In the tag of every control that marks text."""


def parse_label_config(xml: Json) -> TaskSpec:
    """What can be learned from this label config. Equal texts give the same object (cached).

    Raises BadRequest when it is no XML, holds a DTD, or is too large; UnsupportedConfig when no control can be
    learned: its message is one short ASCII line, fit for an HTTP status line."""
    spec, skipped = _read(checked(xml))
    if spec.questions:
        return spec
    reason = skipped[0] if skipped else "no Choices, Taxonomy, Rating, Pairwise or Labels in the label config"
    raise UnsupportedConfig(reason, skipped=list(skipped))


def skipped_controls(xml: Json) -> tuple[str, ...]:
    """One reason for each control of a supported kind that is left out. Raises BadRequest as above."""
    return _read(checked(xml))[1]


def span_config_of(spec: TaskSpec) -> SpanConfig:
    """All that the label config of this spec says of spans; nothing where the spec is not straight from one. Of what
    answers a question the page takes one region a label: Label Studio's own template says so, to no effect."""
    if not spec.source or not spec.spans:
        return SpanConfig()
    config = read_span_config(spec.source)
    asking = {control.name for control in spec.spans if control.question is not None}
    if not asking:
        return config
    controls = (_with_one_answer(one) if one.name in asking else one for one in config.controls)
    return replace(config, controls=tuple(controls))


def _with_one_answer(control: SpanControl) -> SpanControl:
    return replace(control, labels=tuple(replace(label, most=1) for label in control.labels))


def object_of(item: Input) -> SpanObject:
    """The object whose text this input is, as far as reading it goes. Raises ValueError for one that is not marked."""
    if item.page is None:
        raise ValueError(f"{item.name} is not read as the page counts")
    rules = item.page
    return SpanObject(
        rules.object,
        item.tag,
        item.value,
        rules.encoding,
        inline=rules.inline,
        name_key=item.name_key,
        text_key=item.text_key,
        by_time=rules.by_time,
    )


def count_cached() -> tuple[int, int]:
    """Hits and misses of the cache of parsed configs below LARGE_BYTES: it keeps at most 64."""
    found = _read_small.cache_info()
    return found.hits, found.misses


def _read(xml: str) -> tuple[TaskSpec, tuple[str, ...]]:
    return _read_large(xml) if len(xml) >= LARGE_BYTES else _read_small(xml)


@lru_cache(maxsize=64)
def _read_small(xml: str) -> tuple[TaskSpec, tuple[str, ...]]:
    return _read_anew(xml)


@lru_cache(maxsize=LARGE_KEPT)
def _read_large(xml: str) -> tuple[TaskSpec, tuple[str, ...]]:
    return _read_anew(xml)


def _read_anew(xml: str) -> tuple[TaskSpec, tuple[str, ...]]:
    spec, skipped = read_choices(xml)
    if not _MARKS.search(xml):
        return spec, skipped
    config = read_span_config(xml)
    skipped = (*skipped, *(refusal.reason for refusal in config.refusals))
    if not config.controls:
        return spec, skipped
    taken = {item.name for item in spec.inputs}
    inputs = {item.name: _input(item, taken) for item in config.objects}
    known = {item.name: item for item in (*spec.inputs, *inputs.values())}
    spans: list[Control] = []
    for control in config.controls:
        asked = find_question(xml, config, control)
        question = None if asked is None else known.setdefault(asked.name, asked)
        spans.append(_control(control, inputs[control.object.name], question))
    regions = region_controls(config, inputs)
    learned = {of_regions(control.tag, control.name) for control in regions}
    skipped = tuple(reason for reason in skipped if reason not in learned)
    spec = replace(spec, inputs=tuple(known.values()), spans=tuple(spans), source=xml, regions=regions)
    return replace(spec, relations=config.relations), skipped


def _input(item: SpanObject, taken: set[str]) -> Input:
    """The text of an object as the page counts in it: not what a question about the same object reads."""
    name = f"{item.name}.page"
    while name in taken:
        name += ".page"
    rules = PageRules(item.name, item.encoding, item.inline, item.by_time)
    return Input(name, item.tag, item.value, item.name_key, item.text_key, rules)


def _control(control: SpanControl, item: Input, question: Input | None) -> Control:
    asked = () if question is None else (question.name,)
    labels = tuple(Label((one.name,), f"{one.value} {one.hint}".strip()) for one in control.labels)
    return Control(control.name, Kind.SPANS, (item.name, *asked), labels, control.tag, control.options_field)
