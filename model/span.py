"""A marked part of a text, with its label: what annotators draw and the head answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from model.region import RegionAnswer


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters `start` to `end` of a document's text, in code points (Python slices), the end exclusive."""

    start: int
    end: int
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span must hold 0 <= start < end, not {self.start} and {self.end}")

    def overlaps(self, other: Span) -> bool:
        """Whether a character belongs to both."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """A span that is suggested: `score` is the probability that it is exactly right, `reason` what speaks for it;
    `answers`: what is suggested for the questions about it."""

    start: int
    end: int
    label: str
    score: float
    reason: str = ""
    answers: tuple[RegionAnswer, ...] = ()

    @property
    def span(self) -> Span:
        """Where and what, without how sure."""
        return Span(self.start, self.end, self.label)


@dataclass(frozen=True, slots=True)
class SpanDocument:
    """A labelled text. No spans says that there are none, which is a label like any other. `question`: what they
    answer, any of them being right; None where nothing is asked."""

    text: str
    spans: tuple[Span, ...] = ()
    question: str | None = None

    def __post_init__(self) -> None:
        for span in self.spans:
            if span.end > len(self.text):
                raise ValueError(f"a span ends at {span.end} in a text of {len(self.text)} characters")


class SpanSampleJson(TypedDict):
    """A `SpanSample`; each span is start, end, label."""

    task: int
    text: str
    spans: Sequence[tuple[int, int, str]]
    removed: Sequence[tuple[int, int, str]]
    weight: float
    ground_truth: bool
    annotations: Sequence[int]
    question: NotRequired[str]


@dataclass(frozen=True)
class SpanSample:
    """A task's spans of one control, as one answer has them (a text whose annotators disagree gives several, whose
    weights are shares). `removed`: suggestions that its annotator took away; `question`: what the spans answer."""

    task: int
    text: str
    spans: tuple[Span, ...] = ()
    removed: tuple[Span, ...] = ()
    weight: float = 1.0
    ground_truth: bool = False
    annotations: tuple[int, ...] = ()
    question: str | None = None

    @property
    def content(self) -> tuple[str, str | None]:
        """What makes it the same example in another task: a text with another question is another one."""
        return self.text, self.question

    def to_json(self) -> SpanSampleJson:
        """Plain types, as `from_json` reads them."""
        asked: SpanSampleJson = {
            "task": self.task,
            "text": self.text,
            "spans": [(span.start, span.end, span.label) for span in self.spans],
            "removed": [(span.start, span.end, span.label) for span in self.removed],
            "weight": self.weight,
            "ground_truth": self.ground_truth,
            "annotations": self.annotations,
        }
        if self.question is not None:
            asked["question"] = self.question
        return asked

    @classmethod
    def from_json(cls, data: SpanSampleJson) -> SpanSample:
        """Raises KeyError, TypeError or ValueError on foreign data."""
        return cls(
            int(data["task"]),
            str(data["text"]),
            tuple(Span(*span) for span in data["spans"]),
            tuple(Span(*span) for span in data["removed"]),
            float(data["weight"]),
            bool(data["ground_truth"]),
            tuple(data["annotations"]),
            data.get("question"),
        )


SpanSamples = Mapping[str, Sequence[SpanSample]]
"""Control that marks text -> its samples, in the order in which they were labelled."""


def sorted_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Each span once, in the order of the text."""
    return tuple(sorted(set(spans)))
