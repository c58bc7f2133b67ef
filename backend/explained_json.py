"""What the admin API answers when it is asked why: an answer, and what decided for it."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from backend.admin_json import MarkedSpan


class DecidingWord(TypedDict):
    """A word that decided for `label`, in the text of `input`."""

    label: str
    input: str
    start: int
    end: int
    text: str
    weight: float
    log_odds: float


class RunnerUp(TypedDict, total=False):
    """The answer that comes second; {} where there is none."""

    label: str
    score: float


class SpanRival(TypedDict):
    """What would stand in a span's place; with the label "" and no place: nothing."""

    label: str
    probability: float
    start: NotRequired[int]
    end: NotRequired[int]
    text: NotRequired[str]


class SpanGroup(TypedDict):
    """What a group of features adds to the score over the runner-up's."""

    group: str
    score: float


class SpanFeature(SpanGroup):
    """The same of one named feature of the word at `start`."""

    what: str
    text: str
    start: int
    end: int


class SpanPart(TypedDict):
    """A part of the model, its share in the probability, and how likely it holds the span by itself."""

    part: str
    share: float
    probability: float


class NearSpan(MarkedSpan):
    """An annotated span that is like it: where, its words, and those around it. `link`: to its task."""

    task: int
    text: str
    around: str
    similarity: float
    question: NotRequired[str]
    link: NotRequired[str]


class SpanWhy(TypedDict):
    """Why a span is shown, or is not. `probability`: before calibration; shown from `threshold` on. `without_finetune`:
    the score by the head alone. `chain` of `chains`, where labels overlap."""

    shown: bool
    verdict: str
    probability: float
    threshold: float
    parts: list[SpanPart]
    nearest: list[NearSpan]
    runner_up: NotRequired[SpanRival]
    difference: NotRequired[float]
    groups: NotRequired[list[SpanGroup]]
    features: NotRequired[list[SpanFeature]]
    without_finetune: NotRequired[float]
    chain: NotRequired[int]
    chains: NotRequired[int]


class ExplainedSpan(MarkedSpan):
    """A suggested span, how sure it is, and what speaks for it; or any other that was asked for."""

    text: str
    score: float
    reason: str
    why: NotRequired[SpanWhy]


class ComparedSpans(TypedDict):
    """Annotated spans that were looked at for near ones: those of `texts`, of the newest `known` ones with spans."""

    spans: int
    texts: int
    known: int


class CarriedOver(TypedDict):
    """What a task is answered with instead of the version's own answer, since duplicates of its text are labelled: one
    of them is `task`, `near` where no exact one is. `agreement`: how often labels of such duplicates agree."""

    labels: list[str]
    score: float
    task: int
    near: bool
    agreement: float


class ExplainedAnswer(TypedDict):
    """The version's own answer, and the words that decided; of a control that marks text, its `spans`, and the one that
    was `asked` for."""

    version: str
    control: str
    label: str
    labels: list[str]
    score: float
    runner_up: RunnerUp
    texts: dict[str, str]
    words: list[DecidingWord]
    carried_over: NotRequired[CarriedOver]
    spans: NotRequired[list[ExplainedSpan]]
    asked: NotRequired[ExplainedSpan]
    compared: NotRequired[ComparedSpans]


class Explanation(ExplainedAnswer):
    """That of one task."""

    project: int
    task: int
