"""What is told of a project's labelled texts that are there again, control by control."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from backend.record_json import ControlDuplicates


@dataclass(frozen=True)
class ControlFacts:
    """Of one control: `exact` and `near`, how often the labels of such duplicates agree (0 to 1, smoothed), and the
    texts that this was seen on; groups of two texts or more; whether near-duplicates take over a label; and how many
    tasks have another label than their duplicates."""

    name: str
    exact: float
    near: float
    exact_texts: int
    near_texts: int
    exact_groups: int
    near_groups: int
    carries_near: bool
    disagreeing: int

    def seen(self, *, near: bool) -> tuple[float, int, int]:
        """Agreement of exact duplicates, or of near ones, and of how many texts in how many groups."""
        if near:
            return self.near, self.near_texts, self.near_groups
        return self.exact, self.exact_texts, self.exact_groups

    def describe(self) -> ControlDuplicates:
        """What status and page show of it."""
        return {
            "exact_groups": self.exact_groups,
            "near_groups": self.near_groups,
            "disagreeing": self.disagreeing,
            "exact": self.exact,
            "near": self.near,
            "carries_near": self.carries_near,
        }


@dataclass(frozen=True)
class LabelledFacts:
    """`seq`: of the labels that it was made of; `at`: epoch seconds. An answer names its control by its place here."""

    seq: int
    at: float
    controls: tuple[ControlFacts, ...]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Control -> its place."""
        return {own.name: place for place, own in enumerate(self.controls)}

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LabelledFacts:
        """Raises KeyError, TypeError or ValueError on foreign data."""
        data = json.loads(text)
        controls = tuple(
            ControlFacts(
                str(own["name"]),
                float(own["exact"]),
                float(own["near"]),
                int(own["exact_texts"]),
                int(own["near_texts"]),
                int(own["exact_groups"]),
                int(own["near_groups"]),
                bool(own["carries_near"]),
                int(own["disagreeing"]),
            )
            for own in data["controls"]
        )
        return cls(int(data["seq"]), float(data["at"]), controls)
