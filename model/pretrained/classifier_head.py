"""What a base model has been taught before: its trained head, matched with the labels of a control. Or what a teacher
has taught us: a layer on top of the answer by label names.

Serves from the first task, then is the offset that the fitted logits start from (`Reference.prior`): as labels arrive
that contradict it, the search gives it less weight or none. To a text of one window this is the model's own answer, to
a longer one the head's answer to the mean of its windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, logit

from model.labels import match_names, plain_text
from model.numerics.arrays import Floats
from model.pretrained_head import PretrainedHead
from model.spec import NONE, Control, Kind, Label

LEAST_COVERED_SHARE = 2 / 3
"""Least share of a control's labels that the trained head must know: below, it answers another question."""

UNKNOWN_SHARE = 0.5
"""Of what uniform guessing would give, for labels that the trained head does not know."""

LARGEST_LOG_ODDS = 12.0
"""Bound of the log-odds of one label: an over-confident head is still outvoted by a few labels."""


class TaughtJson(TypedDict):
    labels: list[str]
    multilabel: bool
    activation: str
    epsilon: float
    columns: list[int]
    on_names: NotRequired[bool]


@dataclass(frozen=True)
class TaughtConfig:
    """A trained head in the columns of one control, without its arrays: what a version keeps of it."""

    labels: tuple[str, ...]
    multilabel: bool
    activation: str
    epsilon: float
    columns: tuple[int, ...]
    on_names: bool = False

    def to_json(self) -> TaughtJson:
        data: TaughtJson = {
            "labels": list(self.labels),
            "multilabel": self.multilabel,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "columns": list(self.columns),
        }
        return {**data, "on_names": True} if self.on_names else data

    @classmethod
    def from_json(cls, data: TaughtJson) -> TaughtConfig:
        """Raises KeyError on foreign data."""
        return cls(
            tuple(data["labels"]),
            bool(data["multilabel"]),
            str(data["activation"]),
            float(data["epsilon"]),
            tuple(map(int, data["columns"])),
            bool(data.get("on_names", False)),
        )


@dataclass(frozen=True)
class TaughtLabels:
    """A trained head in the columns of one control: `columns` [K] are places in `taught.labels`, or -1. `on_names`: its
    logits correct the answer by label names instead of replacing it."""

    taught: PretrainedHead
    columns: tuple[int, ...]
    multilabel: bool
    on_names: bool = False

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which of the control's labels the trained head knows [K]."""
        return np.array(self.columns) >= 0

    def probabilities(self, features: Floats, names: Floats) -> Floats:
        """Probabilities [n, K]: the trained head's for what it knows; a small share by `names` [n, K], the answer by
        label names, for what it does not. Labels that the control lacks are left out of the model's answer."""
        known = self.known
        logits = self.taught.logits(features)
        if self.on_names:
            logits = log_odds_of(names, self.multilabel) + logits
            return expit(logits) if self.multilabel else np.exp(log_softmax(logits, axis=1))
        whole = expit(logits) if self.taught.multilabel else np.exp(log_softmax(logits, axis=1))
        mine = whole[:, [column for column in self.columns if column >= 0]]
        result = UNKNOWN_SHARE * names
        if self.multilabel:
            result[:, known] = mine
            return result
        share = UNKNOWN_SHARE * float(np.mean(~known))
        rest = names[:, ~known]
        result[:, ~known] = share * rest / np.maximum(rest.sum(1, keepdims=True), 1e-12)
        result[:, known] = (1 - share) * mine / np.maximum(mine.sum(1, keepdims=True), 1e-300)
        return result

    def log_odds(self, probabilities: Floats) -> Floats:
        """What `probabilities` [n, K] are as logits [n, K], bounded."""
        return log_odds_of(probabilities, self.multilabel)

    def config(self) -> TaughtConfig:
        """All but the arrays."""
        taught = self.taught
        return TaughtConfig(
            taught.labels, taught.multilabel, taught.activation, taught.epsilon, self.columns, self.on_names
        )

    def tensors(self) -> dict[str, Floats]:
        """Array state; names begin with `taught.`."""
        return {f"taught.{name}": value for name, value in self.taught.arrays.items()}


def restore_taught(config: TaughtConfig | None, tensors: Mapping[str, Floats], multilabel: bool) -> TaughtLabels | None:
    """Inverse of `config()` and `tensors()`; None for no config."""
    if config is None:
        return None
    prefix = "taught."
    arrays = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    taught = PretrainedHead(config.labels, config.multilabel, config.activation, config.epsilon, arrays)
    return TaughtLabels(taught, config.columns, multilabel, config.on_names)


def log_odds_of(probabilities: Floats, multilabel: bool) -> Floats:
    """What `probabilities` [n, K] are as logits [n, K], bounded."""
    if multilabel:
        bound = expit(LARGEST_LOG_ODDS)
        return logit(np.clip(probabilities, 1 - bound, bound))
    logs = np.log(np.maximum(probabilities, np.exp(-LARGEST_LOG_ODDS)))
    return logs - logs.mean(1, keepdims=True)


def match_labels(taught: PretrainedHead | None, control: Control, labels: Sequence[str]) -> TaughtLabels | None:
    """The trained head for these labels of `control`; None without one, or when it knows too few of them.

    Names are compared to the letter, then as words where that leaves no doubt: a label's text (alias or value), the
    last part of its path, and what it shows.
    """
    if taught is None:
        return None
    shown = {label.key: label for label in control.labels}
    ours = [tuple(_names(key, shown.get(key))) if key != NONE else () for key in labels]
    columns = match_names(taught.labels, ours, stars=control.kind is Kind.RATING)
    matched = sum(index >= 0 for index in columns)
    if matched < 2 or matched < LEAST_COVERED_SHARE * sum(key != NONE for key in labels):
        return None
    return TaughtLabels(taught, tuple(columns), control.multilabel)


def _names(key: str, label: Label | None) -> Iterator[str]:
    yield plain_text(key)
    if label is not None:
        words = re.sub(r" \(.*\)$", "", label.words)  # without the hint
        yield from (label.path[-1], words, words.rsplit(" / ", 1)[-1])
