"""A row of a data set: one task with what its annotators agree on, as JSON."""

from __future__ import annotations

from typing import NotRequired, TypedDict

TRAIN, TEST = "train", "test"
"""Names of the two parts."""


class SpanJson(TypedDict):
    """Characters `start` to `end` (code points, the end exclusive) of a text, what they are, and with what share of the
    annotators; `answers`: question about regions -> labels."""

    start: int
    end: int
    label: str
    text: str
    share: NotRequired[float]
    answers: NotRequired[dict[str, list[str]]]


class RelationJson(TypedDict):
    """Two spans of one text, by where they begin and end."""

    source: tuple[int, int]
    target: tuple[int, int]
    labels: list[str]
    both_ways: bool
    share: float


class PredictedJson(TypedDict):
    """What the live version answered before it learned the task's label, and how sure it was."""

    labels: list[str]
    score: float
    correct: bool
    version: str


class AnswerJson(TypedDict):
    """The consensus of one question. `labels`: none for "none of these"; `soft`: label -> share, "" for none of
    these; `weight`: how sure it is; `suspect`: what a model that has not seen the label would have said, where the
    label is probably wrong."""

    labels: list[str]
    soft: dict[str, float]
    weight: float
    ground_truth: bool
    predicted: NotRequired[PredictedJson]
    suspect: NotRequired[str]


class MarkedJson(TypedDict):
    """The consensus of one control that marks text. `input`: the text it marks."""

    input: str
    spans: list[SpanJson]
    ground_truth: bool
    predicted: NotRequired[bool]
    suspects: NotRequired[list[str]]


class AnnotationJson(TypedDict):
    """One annotator's own answer: control -> labels, control -> spans."""

    annotator: str
    ground_truth: bool
    updated_at: str
    answers: dict[str, list[str]]
    spans: NotRequired[dict[str, list[SpanJson]]]


class DatasetRow(TypedDict):
    """`split`: train or test, by the text alone; `texts`: input -> plain text."""

    task: int
    split: str
    texts: dict[str, str]
    answers: dict[str, AnswerJson]
    spans: NotRequired[dict[str, MarkedJson]]
    relations: NotRequired[list[RelationJson]]
    annotations: list[AnnotationJson]


class ControlJson(TypedDict):
    """A question of the project: its name, how it is answered, the inputs it reads, its labels as they are shown;
    `several`: answers are sets; `of_regions`: it is asked of marked regions."""

    name: str
    kind: str
    inputs: list[str]
    labels: list[str]
    several: bool
    of_regions: bool


class DatasetHeader(TypedDict):
    """The first line of a stream. `annotations`: that are stored, skipped and empty ones among them; `seq`: number of
    the last change when it began."""

    project: int
    title: str
    annotations: int
    seq: int
    controls: list[ControlJson]
    relations: bool


class DatasetEnd(TypedDict):
    """The last line: without it the stream was cut off. `damaged`: annotations that could not be read."""

    end: int
    damaged: int
