"""A fine-tuned encoder with one head per control (cosine; of spans a linear one over words), and how its answer is
blended with the refitted head's."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from model.decoding.answers import SetRules, SetRulesJson
from model.numerics.arrays import Floats, normalise, softmax_rows
from model.pretrained_head import PretrainedHead
from model.questions.tuned_answers import TunedAnswers
from model.spans.head.tuned_marks import TunedMarks


class ActivationJson(TypedDict):
    """A head that was imported, without its arrays."""

    activation: str
    epsilon: float


class TunedJson(TypedDict):
    """A `TunedHead` without its arrays."""

    labels: Sequence[str]
    multilabel: bool
    weight: float
    temperature: float
    rules: NotRequired[SetRulesJson]
    trained_on: NotRequired[int]
    taught: NotRequired[ActivationJson]


@dataclass(frozen=True)
class TunedHead:
    """One control: logits = normalise(embedding) @ coefficients.T + bias."""

    labels: tuple[str, ...]
    multilabel: bool
    coefficients: Floats  # [K, width]
    bias: Floats  # [K]
    weight: float  # share in the blend as trained
    temperature: float = 1.0  # of the blend as trained
    rules: SetRules = field(default_factory=SetRules)  # how the blend's sets are chosen: replaces the head's
    trained_on: int = 0  # labels; 0: not known
    taught: PretrainedHead | None = None  # of an imported classifier, in place of coefficients and bias

    def aged(self, count: int) -> TunedHead:
        """This part beside a head of `count` labels: what was trained on half of them has half the share.

        Beside a head refitted on 1,000 labels of banking77 a fine-tune of 256 cost 8 points of accuracy with its whole
        share."""
        if not self.trained_on or count <= self.trained_on:
            return self
        age = self.trained_on / count
        return replace(self, weight=self.weight * age, temperature=self.temperature**age)

    def scores(self, embeddings: Floats) -> Floats:
        """Probabilities [n, K] from last-layer embeddings [n, width]."""
        if self.taught is not None:
            logits = self.taught.logits(embeddings)
        else:
            logits = normalise(embeddings) @ self.coefficients.T + self.bias
        return expit(logits) if self.multilabel else softmax_rows(logits)


@dataclass(frozen=True)
class FineTuned:
    """All controls' heads over the encoder whose weights lie in `encoder_weights`."""

    encoder_weights: Path
    heads: Mapping[str, TunedHead] = field(default_factory=dict)
    marks: Mapping[str, TunedMarks | TunedAnswers] = field(default_factory=dict)
    """Of the controls that mark text."""

    @property
    def has_share(self) -> bool:
        """Whether any control's answer comes from it in part."""
        weights = [part.weight for part in self.heads.values()] + [part.weight for part in self.marks.values()]
        return any(weight > 0 for weight in weights)

    @property
    def reads_words(self) -> bool:
        """Whether it says something of words that are not read with a question."""
        return any(isinstance(part, TunedMarks) for part in self.marks.values())

    def without(self, names: Container[str]) -> FineTuned:
        """Without a share in what these controls answer."""
        heads = {name: replace(part, weight=0.0) if name in names else part for name, part in self.heads.items()}
        marks = {name: replace(part, weight=0.0) if name in names else part for name, part in self.marks.items()}
        return replace(self, heads=heads, marks=marks)

    def config(self) -> dict[str, TunedJson]:
        return {name: _head_config(head) for name, head in self.heads.items()}

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Array state, keyed `<control>.weight` and `<control>.bias`; of an imported head `<control>.taught.…`."""
        arrays = {}
        for name, head in self.heads.items():
            if head.taught is not None:
                own = head.taught.arrays.items()
                arrays.update({f"{name}.taught.{key}": np.ascontiguousarray(x, dtype=np.float32) for key, x in own})
            arrays[f"{name}.weight"] = np.ascontiguousarray(head.coefficients, dtype=np.float32)
            arrays[f"{name}.bias"] = np.ascontiguousarray(head.bias, dtype=np.float32)
        return arrays


def _head_config(head: TunedHead) -> TunedJson:
    found: TunedJson = {
        "labels": list(head.labels),
        "multilabel": head.multilabel,
        "weight": head.weight,
        "temperature": head.temperature,
        "rules": head.rules.to_json(),
        "trained_on": head.trained_on,
    }
    if head.taught is not None:
        found["taught"] = {"activation": head.taught.activation, "epsilon": head.taught.epsilon}
    return found


def _restore_taught(name: str, item: TunedJson, tensors: Mapping[str, Floats]) -> PretrainedHead | None:
    said = item.get("taught")
    if said is None:
        return None
    prefix = f"{name}.taught."
    arrays = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    labels = tuple(item["labels"])
    return PretrainedHead(labels, item["multilabel"], str(said["activation"]), float(said["epsilon"]), arrays)


def restore_finetuned(
    config: Mapping[str, TunedJson], tensors: Mapping[str, Floats], encoder_weights: Path
) -> FineTuned:
    """Inverse of `config()` and `tensors()`. Raises KeyError on foreign data."""
    heads = {
        name: TunedHead(
            tuple(item["labels"]),
            item["multilabel"],
            tensors[f"{name}.weight"],
            tensors[f"{name}.bias"],
            item["weight"],
            item["temperature"],
            SetRules.from_json(item.get("rules", {})),
            int(item.get("trained_on", 0)),
            _restore_taught(name, item, tensors),
        )
        for name, item in config.items()
    }
    return FineTuned(encoder_weights, heads)


def blend_weight(count: int) -> float:
    """Share of the fine-tuned model with `count` labels: (n - 16) / (n + 32), none up to 16 (docs/learning.md)."""
    return max(0.0, (count - 16) / (count + 32))


def blend(head: Floats, tuned: Floats, weight: float, *, multilabel: bool = False) -> Floats:
    """Geometric mean p ∝ tuned^w head^(1-w) of two [n, K] probability matrices; per label when multilabel."""
    if multilabel:
        clipped = [np.clip(p, 1e-6, 1 - 1e-6) for p in (tuned, head)]
        return expit(weight * logit(clipped[0]) + (1 - weight) * logit(clipped[1]))
    logs = weight * np.log(np.maximum(tuned, 1e-12)) + (1 - weight) * np.log(np.maximum(head, 1e-12))
    return softmax_rows(logs)


def align_columns(
    probabilities: Floats, have: tuple[str, ...], want: tuple[str, ...], fallback: Floats, *, multilabel: bool = False
) -> Floats:
    """Columns of `probabilities` in the order of `want`.

    A label that the fine-tuned model does not know takes the head's own value (`fallback` [n, K]), and for
    single-label rows what is left is shared as the fine-tuned model says, so that a new label is not shut out.
    """
    if have == want:
        return probabilities
    column = {label: index for index, label in enumerate(have)}
    known = np.array([label in column for label in want])
    result = fallback.copy()
    if known.any():
        mine = probabilities[:, [column[label] for label in want if label in column]]
        if multilabel:  # independent answers: nothing is shared out
            result[:, known] = mine
            return result
        share = fallback[:, known].sum(1, keepdims=True)
        result[:, known] = mine / np.maximum(mine.sum(1, keepdims=True), 1e-12) * share
    return result
