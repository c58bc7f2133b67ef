"""What a label config says about spans: controls that mark, the objects marked, and what belongs to a region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from backend.labelstudio.label_config.region_controls import RegionCondition
from model.spec import Control

TEXT, HYPERTEXT, PARAGRAPHS = "Text", "HyperText", "Paragraphs"
"""Object tags whose text can be marked."""

Foreign = Mapping[str, Any]
"""An object of Label Studio's JSON, in which nothing is sure to be there, or of any type."""

Value = dict[str, Any]
"""An object that we make."""

Result = list[Value]
"""Regions and answers as Label Studio's `result` lists them."""


@dataclass(frozen=True, slots=True)
class SpanLabel:
    """`name` is what a result carries (the alias where there is one); `value` is what the page shows, also accepted in
    annotations. `most`: how many regions of a task may bear it (None: any number)."""

    name: str
    value: str
    most: int | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class SpanObject:
    """A tag with a text to mark, with what decides how the page counts in it."""

    name: str
    tag: str  # TEXT | HYPERTEXT | PARAGRAPHS
    value: str  # as in the config: "$text", "Say: $text"
    encoding: str = "none"  # none | base64 | base64unicode
    granularity: str = "symbol"  # symbol | word | sentence | paragraph
    inline: bool = False
    save_text: bool = True
    name_key: str = "author"
    text_key: str = "text"
    by_time: bool = False  # contextscroll: the page sorts the turns


@dataclass(frozen=True)
class SpanControl:
    """A tag that marks spans of one object. `options_field` is set when labels are in the task data."""

    name: str
    object: SpanObject
    tag: str  # Labels | HyperTextLabels | ParagraphLabels
    labels: tuple[SpanLabel, ...]
    options_field: str | None = None
    multiple: bool = False
    allow_empty: bool = False
    smart: bool = True

    @property
    def key(self) -> str:
        """The type of its results, and the key of their labels."""
        return self.tag.lower()

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Alias or value of a label -> the name that results carry. The page takes the first label that answers."""
        found: dict[str, str] = {}
        for label in self.labels:
            found.setdefault(label.name, label.name)
            found.setdefault(label.value, label.name)
        return found

    @cached_property
    def most(self) -> Mapping[str, int]:
        """Label name -> how many regions may bear it; only those with a limit."""
        return {label.name: label.most for label in self.labels if label.most is not None}


@dataclass(frozen=True, slots=True)
class RegionQuestion:
    """A control that is answered per region. `when_label`: only regions with one of these labels (None: all); `above`:
    what the Views that hold it ask for besides. `asked`: its answers, None where they are not learned."""

    name: str
    tag: str
    to_name: str
    when_tag: str = ""
    when_label: tuple[str, ...] | None = None
    above: tuple[RegionCondition, ...] = field(default=(), compare=False)
    asked: Control | None = field(default=None, compare=False)

    @property
    def conditions(self) -> tuple[RegionCondition, ...]:
        """All of them hold for a region that it is asked of."""
        return (RegionCondition(self.when_tag, self.when_label), *self.above)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a tag is left out: `code` is stable, `reason` one short ASCII line."""

    code: str
    reason: str


@dataclass(frozen=True)
class SpanConfig:
    """All that a label config says about spans. `others`: the tag of every other named control, and what it names.
    `shown`: the control of the deciding words, which is filled and never learned."""

    controls: tuple[SpanControl, ...] = ()
    questions: tuple[RegionQuestion, ...] = ()
    relations: tuple[str, ...] | None = None  # labels of relations; None without a Relations tag
    others: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    shown: SpanControl | None = None

    @cached_property
    def by_name(self) -> Mapping[str, SpanControl]:
        """Span controls by their names."""
        return {control.name: control for control in self.controls}

    @cached_property
    def questions_by_name(self) -> Mapping[str, RegionQuestion]:
        """Controls that are answered per region, by their names."""
        return {question.name: question for question in self.questions}

    @cached_property
    def objects(self) -> tuple[SpanObject, ...]:
        """Every object that a control marks, once."""
        return tuple({control.object.name: control.object for control in self.controls}.values())
