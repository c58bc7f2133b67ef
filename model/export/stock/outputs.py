"""What a stock classifier's outputs are for one control of a version, and what each of the two answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.decoding.answers import AnswerRules, choose_labels, decide, thresholds_of
from model.export.bundle import ExportError
from model.numerics.arrays import Floats
from model.spec import NONE, Control, Kind, Text
from model.versions.live_model import LiveModel

BLANK = "none of these"
"""What the output is called that stands for a question left blank."""

BELOW = 0.95
"""Of a threshold: what is left out of a set has no more."""


@dataclass(frozen=True)
class Outputs:
    """`keys` of the control's labels that can be answered, what they are called, and their places among the version's
    own columns."""

    control: Control
    rules: AnswerRules
    keys: tuple[str, ...]
    names: tuple[str, ...]
    columns: tuple[int, ...]

    @property
    def several(self) -> bool:
        """Whether answers are sets."""
        return self.control.multilabel

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Of sets: from which probability each label is chosen, by its name."""
        if not self.several:
            return {}
        found = thresholds_of(self.rules, self.keys)
        return {name: round(float(value), 4) for name, value in zip(self.names, found, strict=True)}

    def answers(self, model: LiveModel, texts: Sequence[Text]) -> Floats:
        """The version's probabilities [n, K], as a stock classifier must have them to answer as it does: that answers
        the likeliest, or all labels from their thresholds on. So a version's answer that is not the likeliest label
        (the middle of the stars, a branch that is surer than its leaves) has changed places with that one, and a path
        that a set leaves out beside others is below its threshold."""
        rows = np.asarray(model.scores(self.control.name, texts), dtype=float)
        own = rows[:, self.columns]
        if self.several:
            return np.array([self._kept(whole, row) for whole, row in zip(rows, own, strict=True)]).reshape(own.shape)
        own = own / np.maximum(own.sum(1, keepdims=True), 1e-12)
        for place, row in enumerate(rows):
            found, best = self.keys.index(self.served(row)[0]), int(own[place].argmax())
            own[place, [best, found]] = own[place, [found, best]]
        return own

    def _kept(self, whole: Floats, row: Floats) -> Floats:
        """A row [K] of a set, with what /predict leaves out below its threshold."""
        served = set(self.served(whole))
        left_out = np.array([key not in served for key in self.keys])
        return np.where(left_out, np.minimum(row, BELOW * thresholds_of(self.rules, self.keys)), row)

    def served(self, row: Floats) -> tuple[str, ...]:
        """Keys of what /predict answers, from a row of the version's scores; NONE for a single answer left blank."""
        found = decide(self.control, self.rules, row)
        chosen = found.chosen if found is not None else ()
        return chosen if self.several else chosen or (NONE,)

    def chosen(self, row: Floats) -> tuple[str, ...]:
        """Keys of what a stock classifier answers with these probabilities [K]: the likeliest; of sets all from their
        thresholds on, and the likeliest at least where none may be empty."""
        if not self.several:
            return (self.keys[int(row.argmax())],)
        found = choose_labels(row[None], thresholds_of(self.rules, self.keys), self.rules.nonempty)[0]
        return tuple(key for key, is_chosen in zip(self.keys, found, strict=True) if is_chosen)


def outputs_of(model: LiveModel, name: str) -> Outputs:
    """Raises ExportError."""
    control, rules = model.spec.control(name), model.rules(name)
    _require(control)
    allowed = {*control.keys(), *(() if control.required or control.multilabel else (NONE,))}
    columns = tuple(place for place, label in enumerate(rules.labels) if label in allowed)
    keys = tuple(rules.labels[place] for place in columns)
    shown = {key: control.show(key) for key in keys if key != NONE}
    blank = BLANK if BLANK not in shown.values() else f"{BLANK} (left blank)"
    return Outputs(control, rules, keys, tuple(shown.get(key, blank) for key in keys), columns)


def _require(control: Control) -> None:
    if control.kind is Kind.SPANS:
        raise ExportError(f"{control.name} marks text: this format holds answers to questions about a whole text")
    if control.options_field is not None:
        raise ExportError(f"{control.name}: its choices stand in each task, so that there is no fixed set of labels")
    if len(control.keys()) < 2 and not control.multilabel and control.required:
        raise ExportError(f"{control.name} has one answer only")
