"""A `TaskSpec` and a `Sample` as JSON: what versions, training requests and the store keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class LabelJson(TypedDict):
    path: Sequence[str]
    words: str


class PageRulesJson(TypedDict):
    object: str
    encoding: str
    inline: bool
    by_time: bool


class InputJson(TypedDict):
    name: str
    tag: str
    value: str
    name_key: str
    text_key: str
    page: NotRequired[PageRulesJson]


class ChosenJson(TypedDict):
    control: str
    paths: Sequence[Sequence[str]] | None
    by_name: bool


class ConditionJson(TypedDict):
    chosen: ChosenJson
    unless: bool


class ScopeJson(TypedDict):
    controls: Sequence[str]
    labels: Sequence[str] | None


class ControlJson(TypedDict):
    """A `Control`. What came later is left out where it says nothing: a spec keeps its digest."""

    name: str
    kind: str
    inputs: Sequence[str]
    labels: Sequence[LabelJson]
    tag: str
    options_field: str | None
    nested: NotRequired[bool]
    conditions: NotRequired[Sequence[ConditionJson]]
    required: NotRequired[bool]
    most: NotRequired[int | None]
    several: NotRequired[bool]
    templates: NotRequired[Sequence[Sequence[str]]]
    scope: NotRequired[ScopeJson]


class SpecJson(TypedDict):
    inputs: Sequence[InputJson]
    controls: Sequence[ControlJson]
    spans: NotRequired[Sequence[ControlJson]]
    regions: NotRequired[Sequence[ControlJson]]
    relations: NotRequired[Sequence[str]]


class SampleJson(TypedDict):
    task: int
    text: Sequence[str]
    target: Mapping[str, float]
    weight: float
    ground_truth: bool
    annotations: Sequence[int]
