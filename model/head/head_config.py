"""What a head is besides its arrays, read once: `heads.json` of a version holds one for each control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NotRequired, TypedDict

from model.decoding.answers import SetRules, SetRulesJson
from model.head.zero_shot import UNIFORM_SHARE
from model.pretrained.classifier_head import TaughtConfig, TaughtJson


class MemberJson(TypedDict):
    view: str
    words: bool
    prior: float
    strength: float
    weight: float
    has_words: bool


class DetailsJson(SetRulesJson, total=False):
    """`HeadDetails`, among the entries of a head's config; the names are those of every release."""

    n: int
    searched: int
    oof: Mapping[str, float]
    smoothing: float
    ancestors: bool
    served_temperature: float


class HeadJson(DetailsJson):
    """A `HeadConfig` as it lies on disk."""

    kind: NotRequired[str]
    labels: Sequence[str]
    multilabel: bool
    temperature: float
    zero_share: float
    humility: NotRequired[float]
    centred: NotRequired[bool]
    members: Sequence[MemberJson]
    vocabulary: Sequence[str]
    taught: NotRequired[TaughtJson]


@dataclass(frozen=True)
class Choice:
    """What one member uses: the encoder view, words or not, the share of the label-name prior, the regularisation."""

    view: str  # last | layers
    words: bool
    prior: float
    strength: float


@dataclass(frozen=True)
class MemberConfig:
    """One linear model without its coefficients."""

    choice: Choice
    weight: float
    has_words: bool

    def to_json(self) -> MemberJson:
        choice = self.choice
        return {
            "view": choice.view,
            "words": choice.words,
            "prior": choice.prior,
            "strength": choice.strength,
            "weight": self.weight,
            "has_words": self.has_words,
        }

    @classmethod
    def from_json(cls, data: MemberJson) -> MemberConfig:
        """Raises KeyError on foreign data."""
        choice = Choice(str(data["view"]), bool(data["words"]), data["prior"], data["strength"])
        return cls(choice, float(data["weight"]), bool(data["has_words"]))


@dataclass(frozen=True)
class HeadDetails:
    """What a fit found out. None: it did not, or this head was made before that was looked for."""

    count: int | None = None
    """Labels that it was fitted on."""
    searched: int | None = None
    """Labels that its choices were searched for on."""
    held_out: Mapping[str, float] | None = None
    """Measures of the answers out-of-fold."""
    sets: SetRules = field(default_factory=SetRules)
    """All but the one threshold, which is the head's."""
    smoothing: float | None = None
    """What stars pass on to their neighbours."""
    ancestors: bool | None = None
    """Whether people give a node along with one above it."""
    served_temperature: float | None = None
    """Of the served answer, set by the learner from answers that were corrected; never for sets (decision 0008)."""

    def add_to(self, data: DetailsJson) -> None:
        """Write what is known among the entries of a head's config."""
        if self.count is not None:
            data["n"] = self.count
        if self.searched is not None:
            data["searched"] = self.searched
        if self.held_out is not None:
            data["oof"] = dict(self.held_out)
        self.sets.add_to(data)
        if self.smoothing is not None:
            data["smoothing"] = self.smoothing
        if self.ancestors is not None:
            data["ancestors"] = self.ancestors
        if self.served_temperature is not None:
            data["served_temperature"] = self.served_temperature

    @classmethod
    def from_json(cls, data: DetailsJson) -> HeadDetails:
        """From a head's config."""
        count, searched, held_out = data.get("n"), data.get("searched"), data.get("oof")
        smoothing, ancestors, served = data.get("smoothing"), data.get("ancestors"), data.get("served_temperature")
        return cls(
            None if count is None else int(count),
            None if searched is None else int(searched),
            None if held_out is None else {str(name): float(value) for name, value in held_out.items()},
            replace(SetRules.from_json(data), threshold=None),
            None if smoothing is None else float(smoothing),
            None if ancestors is None else bool(ancestors),
            None if served is None else float(served),
        )


@dataclass(frozen=True)
class HeadConfig:
    """One control's head without its arrays."""

    labels: tuple[str, ...]
    multilabel: bool
    temperature: float
    zero_share: float
    threshold: float
    members: tuple[MemberConfig, ...] = ()
    vocabulary: tuple[str, ...] = ()
    uniform_share: float = UNIFORM_SHARE
    centred: bool = False
    taught: TaughtConfig | None = None
    details: HeadDetails = field(default_factory=HeadDetails)

    @property
    def searched(self) -> int:
        """Labels that the choices were searched for on; for all that is known those that it was fitted on."""
        return self.details.searched if self.details.searched is not None else self.details.count or 0

    def to_json(self) -> HeadJson:
        """As it lies on disk. What is called the uniform share here has always been `humility` there."""
        data: HeadJson = {
            "kind": "linear",
            "labels": list(self.labels),
            "multilabel": self.multilabel,
            "temperature": self.temperature,
            "zero_share": self.zero_share,
            "humility": self.uniform_share,
            "threshold": self.threshold,
            "members": [member.to_json() for member in self.members],
            "vocabulary": list(self.vocabulary),
        }
        if self.centred:
            data["centred"] = True
        if self.taught is not None:
            data["taught"] = self.taught.to_json()
        self.details.add_to(data)
        return data

    @classmethod
    def from_json(cls, data: HeadJson) -> HeadConfig:
        """Inverse of `to_json`. Raises KeyError, TypeError, ValueError or AttributeError on foreign data."""
        taught = data.get("taught")
        return cls(
            labels=tuple(data["labels"]),
            multilabel=bool(data["multilabel"]),
            temperature=float(data["temperature"]),
            zero_share=float(data["zero_share"]),
            threshold=float(data["threshold"]),
            members=tuple(map(MemberConfig.from_json, data["members"])),
            vocabulary=tuple(data["vocabulary"]),
            uniform_share=float(data.get("humility", UNIFORM_SHARE)),
            centred=bool(data.get("centred", False)),
            taught=None if taught is None else TaughtConfig.from_json(taught),
            details=HeadDetails.from_json(data),
        )
