"""A row of test-then-train evidence: how a label was answered before it was learned (decision 0001)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

Slip = tuple[str, str, bool]
"""A span that was not drawn as it was shown: the label that was drawn, the one that was shown, "" for none, and whether
both are of just the same characters."""


class KeptAnswerJson(TypedDict):
    logs: list[float]
    targets: list[float]
    rest: int


class JudgementJson(TypedDict):
    confidence: float
    correct: bool
    log_loss: float


class AboutJson(TypedDict):
    """An `About`."""

    counts: list[int]
    labels: dict[str, list[int]]


class MarkedJson(TypedDict):
    """A `Marked`."""

    shown: list[tuple[str, float, bool]]
    drawn: list[str]
    edits: int
    edits_alone: NotRequired[int]
    expected: NotRequired[float]
    about: NotRequired[dict[str, AboutJson]]
    slips: NotRequired[list[Slip]]


class HeadAnswerJson(JudgementJson, KeptAnswerJson):
    """A `HeadAnswer`, in one object."""


class EvidenceRowJson(JudgementJson):
    """An `EvidenceRow`. Rows of earlier releases lack more than what may be left out today."""

    version: NotRequired[str]
    tuned: NotRequired[str | None]
    control: str
    annotation: NotRequired[int]
    labels: NotRequired[int]
    served: NotRequired[KeptAnswerJson]
    at: NotRequired[float]
    blind: NotRequired[bool]
    explore: NotRequired[bool]
    hunted: NotRequired[bool]
    alone: NotRequired[HeadAnswerJson]
    marked: NotRequired[MarkedJson]
    task: NotRequired[int]
    given: NotRequired[list[str]]
    said: NotRequired[list[str]]


def read_number(value: float) -> float:
    """Raises TypeError or ValueError for what is none, infinity and NaN among it."""
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{found} where a number is needed")
    return found


def read_share(value: float) -> float:
    """A number in [0, 1]. Raises TypeError or ValueError for what is none."""
    found = read_number(value)
    if not 0 <= found <= 1:
        raise ValueError(f"{found} where a probability is needed")
    return found


def read_count(value: float) -> int:
    """Raises TypeError or ValueError for what is no number of things."""
    found = int(value)
    if not 0 <= found < MOST:
        raise ValueError(f"{found} where a number of things is needed")
    return found


MOST = 2**63
"""Above it is no number of things: ids of Label Studio are the largest, and end there."""


@dataclass(frozen=True)
class KeptAnswer:
    """What is kept of an answer's probabilities and of the label [M] each, to calibrate again: `logs` of those kept,
    `targets`, and `rest`, how many classes were not kept."""

    logs: tuple[float, ...]
    targets: tuple[float, ...]
    rest: int

    def to_json(self) -> KeptAnswerJson:
        return {"logs": list(self.logs), "targets": list(self.targets), "rest": self.rest}

    @classmethod
    def from_json(cls, data: KeptAnswerJson) -> KeptAnswer:
        logs, targets = tuple(map(read_number, data["logs"])), tuple(map(read_share, data["targets"]))
        if len(logs) != len(targets):
            raise ValueError(f"{len(logs)} probabilities of {len(targets)} labels")
        return cls(logs, targets, read_count(data["rest"]))


@dataclass(frozen=True)
class Judgement:
    """How sure an answer was, whether it was right, and its log-loss."""

    confidence: float
    correct: bool
    log_loss: float

    def to_json(self) -> JudgementJson:
        return {"confidence": self.confidence, "correct": self.correct, "log_loss": self.log_loss}

    @classmethod
    def from_json(cls, data: JudgementJson) -> Judgement:
        return cls(read_share(data["confidence"]), bool(data["correct"]), read_number(data["log_loss"]))


@dataclass(frozen=True)
class HeadAnswer:
    """What the head alone said where a fine-tuned encoder has a share in the answer that was served."""

    judged: Judgement
    kept: KeptAnswer

    def to_json(self) -> HeadAnswerJson:
        return {**self.judged.to_json(), **self.kept.to_json()}

    @classmethod
    def from_json(cls, data: HeadAnswerJson) -> HeadAnswer:
        return cls(Judgement.from_json(data), KeptAnswer.from_json(data))


@dataclass(frozen=True)
class About:
    """What one question about the regions that people marked, or their relations, came to: `count` answers that people
    gave, of which `right` were the likeliest; `shown` would have been suggested, `hits` of them right. `labels`: of
    each how often it was given, was said, and both."""

    count: int
    right: int
    shown: int
    hits: int
    labels: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    def to_json(self) -> AboutJson:
        labels = {label: list(counts) for label, counts in self.labels.items()}
        return {"counts": [self.count, self.right, self.shown, self.hits], "labels": labels}

    @classmethod
    def from_json(cls, data: AboutJson) -> About:
        given, right, shown, hits = map(read_count, data["counts"])
        labels = {str(label): tuple(map(read_count, counts)) for label, counts in data["labels"].items()}
        if any(len(counts) != 3 for counts in labels.values()):
            raise ValueError("three numbers are kept of each label")
        return cls(given, right, shown, hits, {label: (one[0], one[1], one[2]) for label, one in labels.items()})


@dataclass(frozen=True)
class Marked:
    """What was suggested in a text and what was drawn. `shown`: label, score and whether just this was drawn, of each
    span; `drawn`: the labels of the right ones; `edits`: clicks from the one to the other; `edits_alone`: from what the
    head alone would have shown, where a fine-tuned encoder has a share; `expected`: how many spans the version thought
    there were (a sum of probabilities); `about`: by question about the spans that were drawn; `slips`: what was wrong,
    span by span."""

    shown: tuple[tuple[str, float, bool], ...]
    drawn: tuple[str, ...]
    edits: int
    edits_alone: int | None = None
    expected: float | None = None  # rows of earlier releases have none
    about: Mapping[str, About] = field(default_factory=dict)
    slips: tuple[Slip, ...] | None = None  # rows of earlier releases have none

    def to_json(self) -> MarkedJson:
        row: MarkedJson = {"shown": list(self.shown), "drawn": list(self.drawn), "edits": self.edits}
        if self.edits_alone is not None:
            row["edits_alone"] = self.edits_alone
        if self.expected is not None:
            row["expected"] = self.expected
        if self.about:
            row["about"] = {name: own.to_json() for name, own in self.about.items()}
        if self.slips is not None:
            row["slips"] = list(self.slips)
        return row

    @classmethod
    def from_json(cls, data: MarkedJson) -> Marked:
        shown = tuple((str(label), read_share(score), bool(right)) for label, score, right in data["shown"])
        alone, expected = data.get("edits_alone"), data.get("expected")
        drawn, clicks = tuple(map(str, data["drawn"])), read_count(data["edits"])
        told = None if expected is None else read_number(expected)
        about = {str(name): About.from_json(own) for name, own in data.get("about", {}).items()}
        kept = data.get("slips")
        slips = None if kept is None else tuple((str(own), str(said), bool(same)) for own, said, same in kept)
        return cls(shown, drawn, clicks, None if alone is None else read_count(alone), told, about, slips)


@dataclass(frozen=True)
class EvidenceRow:
    """How `version`, which had learned `labels` labels of `control`, answered a task before it learned its label.

    `judged` is the answer as it was shown; `served` the one before any correction. `tuned`: the version that holds the
    fine-tuned encoder, if one had a share in it. `blind`: the queue drew the task at random, and it was shown without a
    pre-label; `explore`: drawn at random, and shown with one; `hunted`: chosen as a likely member of a scarce class, so
    that it says nothing of other tasks. `marked`, of a control that marks text: its spans; then right is a text that
    was right as it was shown. `given`, `said`: keys of the labels that the annotator of `task` chose, and of those that
    were answered; empty for "none of these", and of marked text."""

    control: str
    judged: Judgement
    version: str = ""
    tuned: str | None = None
    annotation: int = 0
    labels: int = 0
    served: KeptAnswer | None = None  # rows of earlier releases have none
    alone: HeadAnswer | None = None
    at: float | None = None
    blind: bool = False
    explore: bool = False
    marked: Marked | None = None
    task: int = 0  # of rows of earlier releases, which have no labels either
    given: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    hunted: bool = False

    @property
    def confidence(self) -> float:
        """Of the answer that was shown."""
        return self.judged.confidence

    @property
    def correct(self) -> bool:
        """Whether the answer that was shown is what the annotator said."""
        return self.judged.correct

    @property
    def log_loss(self) -> float:
        """Of the answer that was shown."""
        return self.judged.log_loss

    def to_json(self) -> EvidenceRowJson:
        """Plain types; what a row does not have is left out."""
        row: EvidenceRowJson = {
            "version": self.version,
            "tuned": self.tuned,
            "control": self.control,
            "annotation": self.annotation,
            "labels": self.labels,
            "confidence": self.confidence,
            "correct": self.correct,
            "log_loss": self.log_loss,
        }
        if self.served is not None:
            row["served"] = self.served.to_json()
        if self.at is not None:
            row["at"] = self.at
        if self.blind:
            row["blind"] = True
        if self.explore:
            row["explore"] = True
        if self.hunted:
            row["hunted"] = True
        if self.alone is not None:
            row["alone"] = self.alone.to_json()
        if self.marked is not None:
            row["marked"] = self.marked.to_json()
        if self.task:
            row |= {"task": self.task, "given": list(self.given), "said": list(self.said)}
        return row

    @classmethod
    def from_json(cls, data: EvidenceRowJson) -> EvidenceRow:
        """The other way round; of rows of earlier releases, too, which lack `tuned`, `served`, `alone` and `task`.
        Raises AttributeError, KeyError, TypeError or ValueError on foreign data."""
        served, alone, at, marked = data.get("served"), data.get("alone"), data.get("at"), data.get("marked")
        tuned = data.get("tuned")
        return cls(
            control=str(data["control"]),
            judged=Judgement.from_json(data),
            version=str(data.get("version", "")),
            tuned=None if tuned is None else str(tuned),
            annotation=read_count(data.get("annotation", 0)),
            labels=read_count(data.get("labels", 0)),
            served=KeptAnswer.from_json(served) if served else None,
            alone=HeadAnswer.from_json(alone) if alone else None,
            at=read_number(at) if at is not None else None,
            blind=bool(data.get("blind")),
            explore=bool(data.get("explore")),
            marked=Marked.from_json(marked) if marked else None,
            task=read_count(data.get("task", 0)),
            given=tuple(map(str, data.get("given", ()))),
            said=tuple(map(str, data.get("said", ()))),
            hunted=bool(data.get("hunted")),
        )
