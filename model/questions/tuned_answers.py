"""What an encoder that was fine-tuned on questions says, and how that is averaged with what the refitted head says.

The encoder reads question and passage as one pair; a head on its last layer scores each word as an answer's first and
last, and no answer by the first token. The probability of an answer is the mean of both sides', by a share that
held-out texts chose; the mean has a calibration of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from model.errors import VersionError
from model.pretrained.answering_head import AnsweringHead
from model.questions.answer_model import END, START, Band, Floats32
from model.questions.asked import AskedText, TaughtWords
from model.questions.head import BestAnswer, QuestionHead, in_portions, pick_best
from model.spans.head.calibration import CalibrationJson, SpanCalibration
from model.spans.head.head import RulesJson, ShowRules

KIND = "question answering"


class TunedAnswersJson(TypedDict):
    """TunedAnswers without its arrays."""

    kind: str
    labels: Sequence[str]
    weight: float
    trained_on: int
    calibration: CalibrationJson
    text_calibration: CalibrationJson
    rules: RulesJson


@dataclass(frozen=True)
class AnswerScorer:
    """A head for each of `labels`."""

    labels: tuple[str, ...]
    heads: tuple[AnsweringHead, ...] = field(repr=False)


@dataclass(frozen=True)
class TunedAnswers:
    """The fine-tuned side of one control. `weight`: its share in the probability of an answer, as trained on
    `trained_on` questions; calibrations and thresholds are those of the mean."""

    scorer: AnswerScorer
    weight: float
    trained_on: int = 0
    calibration: SpanCalibration = field(default_factory=SpanCalibration)
    text_calibration: SpanCalibration = field(default_factory=SpanCalibration)
    rules: ShowRules = field(default_factory=ShowRules)

    def aged(self, questions: int) -> TunedAnswers:
        """This part beside a head of so many questions: what was trained on half of them has half the share."""
        if not self.trained_on or questions <= self.trained_on:
            return self
        return replace(self, weight=self.weight * self.trained_on / questions)

    def shown_by(self, head: QuestionHead) -> QuestionHead:
        """The head with the calibration and the thresholds of the mean: between its own and those at training, as far
        as this side still has its share."""
        part = self.aged(head.details.texts)
        share = part.weight / self.weight if self.weight else 0.0
        rules = ShowRules(*(own + share * (other - own) for own, other in zip(head.rules, self.rules, strict=True)))
        return replace(
            head,
            rules=rules,
            calibration=_between(head.calibration, self.calibration, share),
            text_calibration=_between(head.text_calibration, self.text_calibration, share),
        )

    def best(
        self, head: QuestionHead, texts: Sequence[AskedText], said: Sequence[Sequence[TaughtWords]]
    ) -> list[list[BestAnswer]]:
        """The likeliest answers by both sides, not calibrated."""
        return mix_answers(head, self.scorer, texts, said, self.aged(head.details.texts).weight)

    def config(self) -> TunedAnswersJson:
        """Everything but the arrays."""
        return {
            "kind": KIND,
            "labels": list(self.scorer.labels),
            "weight": self.weight,
            "trained_on": self.trained_on,
            "calibration": self.calibration.to_json(),
            "text_calibration": self.text_calibration.to_json(),
            "rules": {"clicks": self.rules.clicks, "f1": self.rules.f1},
        }

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Arrays by name."""
        arrays: dict[str, NDArray[np.float32]] = {}
        for place, head in enumerate(self.scorer.heads):
            arrays |= {f"{place}.weight": head.weight, f"{place}.bias": head.bias}
        return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}


def _between(own: SpanCalibration, other: SpanCalibration, share: float) -> SpanCalibration:
    return SpanCalibration(own.slope + share * (other.slope - own.slope), own.shift + share * (other.shift - own.shift))


def mix_answers(
    head: QuestionHead,
    scorer: AnswerScorer,
    texts: Sequence[AskedText],
    said: Sequence[Sequence[TaughtWords]],
    weight: float,
) -> list[list[BestAnswer]]:
    """The likeliest answers with averaged probabilities. `said`: of each text what each head of `scorer` says. A label
    that it does not know keeps what the refitted head says."""
    found: list[list[BestAnswer]] = []
    rest = iter(said)
    for portion in in_portions(texts):
        heard = [own for _, own in zip(portion, rest, strict=False)]
        found += _mix(head, scorer, portion, heard, weight)
    return found


def _mix(
    head: QuestionHead,
    scorer: AnswerScorer,
    texts: Sequence[AskedText],
    said: Sequence[Sequence[TaughtWords]],
    weight: float,
) -> list[list[BestAnswer]]:
    questions = head.put_together(texts)
    band = questions.band
    shares = []
    for label, weights in zip(head.labels, head.weights, strict=True):
        mixed = band.shares(*questions.scores(weights))
        if label in scorer.labels and weight:
            place = scorer.labels.index(label)
            tuned = band.shares(*_sum_up(band, [own[place] for own in said]))
            mixed = (1 - weight) * mixed[0] + weight * tuned[0], (1 - weight) * mixed[1] + weight * tuned[1]
        shares.append(mixed)
    return pick_best(band, head.labels, shares)


def _sum_up(band: Band, said: Sequence[TaughtWords]) -> tuple[Floats32, Floats32]:
    """The scores of all candidates and of none."""
    words = np.zeros((len(band.text), 3), np.float32)
    if len(words):
        words[:, (START, END)] = np.concatenate([own.scores for own in said])
    sizes = np.zeros((len(said), band.longest), np.float32)
    return band.scores(words, sizes), np.array([own.none for own in said], np.float32)


def restore_tuned_answers(config: TunedAnswersJson, tensors: Mapping[str, NDArray[np.generic]]) -> TunedAnswers:
    """Inverse of `config()` and `tensors()`. Raises VersionError where they do not fit."""
    try:
        arrays = {name: array.astype(np.float32, copy=False) for name, array in tensors.items()}
        labels = tuple(config["labels"])
        heads = tuple(AnsweringHead(arrays[f"{place}.weight"], arrays[f"{place}.bias"]) for place in range(len(labels)))
        if any(head.weight.shape[0] != 2 or head.bias.shape != (2,) for head in heads):
            raise ValueError("its heads have other shapes")
        return TunedAnswers(
            AnswerScorer(labels, heads),
            float(config["weight"]),
            int(config["trained_on"]),
            SpanCalibration(**config["calibration"]),
            SpanCalibration(**config["text_calibration"]),
            ShowRules(**config["rules"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VersionError(f"not a fine-tune for questions: {error}") from error
