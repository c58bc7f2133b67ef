"""What is said about marked regions: answers to questions that the page asks of each of them, and their relations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.spec_json import ScopeJson


@dataclass(frozen=True, slots=True)
class RegionScope:
    """Which regions a question is asked of: spans of these `controls`, with one of these `labels` (None: with any)."""

    controls: tuple[str, ...]
    labels: tuple[str, ...] | None = None

    def asks(self, control: str, label: str) -> bool:
        """Whether the page asks it of a region with this label."""
        return control in self.controls and (self.labels is None or label in self.labels)

    def to_json(self) -> ScopeJson:
        """Plain JSON types."""
        return {"controls": self.controls, "labels": self.labels}

    @classmethod
    def from_json(cls, data: ScopeJson) -> RegionScope:
        """Inverse of `to_json`."""
        labels = data["labels"]
        return cls(tuple(data["controls"]), None if labels is None else tuple(labels))


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A marked span by where it is: characters `start` to `end` of the text of a control, and its (first) label."""

    control: str
    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class RegionAnswer:
    """What is suggested for a question about a region: `chosen` holds label keys, `score` is the probability that all
    of it is right."""

    control: str
    chosen: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class RegionSample:
    """A region of a task with what people answered about it: `target` is that of a `Sample`."""

    task: int
    text: str
    region: Region
    target: Mapping[str, float]
    weight: float = 1.0


RegionSamples = Mapping[str, list[RegionSample]]
"""Question about regions -> its samples, by task."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Two regions of one text that belong together: from `source` to `target`, or both ways; with all its labels."""

    source: Region
    target: Region
    labels: tuple[str, ...] = ()
    both_ways: bool = False


@dataclass(frozen=True, slots=True)
class ScoredRelation:
    """A relation that is suggested, where both its regions are right; `score`: the probability that it is, too."""

    relation: Relation
    score: float


@dataclass(frozen=True)
class RelationSample:
    """The regions of a text, and how related they are: a relation's share is that of the people who drew it among those
    who marked both its regions. No relation says that there is none."""

    task: int
    text: str
    regions: tuple[Region, ...]
    relations: Mapping[Relation, float]
    weight: float = 1.0
