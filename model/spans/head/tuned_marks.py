"""What a fine-tuned encoder says of words, and how that is averaged with what the refitted head says.

Log-scores of a word's tags = its state in the last layer times weights (again with weights of their own where it starts
with a capital) + bias + what the prior says. The probability of a span is the mean of both sides', by a share that
held-out texts chose; the mean has a calibration of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from model.errors import VersionError
from model.numerics.float16 import widen
from model.spans.chain.crf import Chain, Weights
from model.spans.chain.span_probabilities import LONGEST, Candidate, span_probabilities
from model.spans.chain.tags import TagSet
from model.spans.features.feature_space import capitalised
from model.spans.features.pieces import Piece, candidates_in_pieces
from model.spans.features.reading import Pause, ReadText
from model.spans.head.calibration import CalibrationJson, SpanCalibration
from model.spans.head.head import RulesJson, ShowRules, SpanHead
from model.spans.transfer.prior import TransferPrior

TAGGED_DEPTHS = (1.0,)
"""Where in a fine-tuned encoder the states lie that are scored: its last layer, which was trained for that."""

Matrix = NDArray[np.float32]


class TunedMarksJson(TypedDict):
    """TunedMarks without its arrays."""

    labels: Sequence[str]
    offset: float
    prior: str
    weight: float
    trained_on: int
    longest: int
    calibration: CalibrationJson
    text_calibration: CalibrationJson
    rules: RulesJson


@dataclass(frozen=True)
class WordScorer:
    """Log-scores of tags from states of the last layer: `coefficients` and `gated` [K, width], `bias` [K]; `offset`:
    weight of the prior's log-probabilities of the labels with these `names`."""

    labels: tuple[str, ...]
    coefficients: Matrix = field(repr=False)
    gated: Matrix = field(repr=False)
    bias: Matrix = field(repr=False)
    names: Matrix = field(repr=False)
    offset: float = 0.0
    prior: TransferPrior | None = field(default=None, repr=False)

    def log_scores(self, texts: Sequence[ReadText], tuned: Sequence[ReadText]) -> Matrix:
        """Of all words of the texts, as the base encoder read them and as the fine-tuned one did [words, K]."""
        states = widen(np.concatenate([text.states for text in tuned]))
        scores = states @ self.coefficients.T + self.bias
        capitals = capitalised(texts)
        scores[capitals] += states[capitals] @ self.gated.T
        if self.offset and self.prior is not None:
            hidden = np.concatenate([text.hidden for text in texts])
            scores += np.float32(self.offset) * self.prior.log_probabilities(hidden, self.names)
        return scores

    def candidates(
        self, texts: Sequence[ReadText], tuned: Sequence[ReadText], longest: int, pause: Pause | None = None
    ) -> list[list[Candidate]]:
        """What is possible in each text: words are judged one by one, and only impossible sequences are out."""
        if not texts or not self.labels:
            return [[] for _ in texts]
        chain = self.chain

        def ask(pieces: Sequence[Piece]) -> list[list[Candidate]]:
            own = [piece.of(texts) for piece in pieces]
            scores = self.log_scores(own, [piece.of(tuned) for piece in pieces])
            return span_probabilities(chain.lattice_of(scores, [len(one.bounds) for one in own]), chain.tags, longest)

        return candidates_in_pieces(texts, chain.tags.size, ask, pause)

    @property
    def chain(self) -> Chain:
        """What makes sequences of scored words: one without an opinion of its own."""
        tags = TagSet(self.labels)
        return Chain(tags, Weights.zeros(0, 0, tags))


@dataclass(frozen=True)
class TunedMarks:
    """The fine-tuned side of one control. `weight`: its share in the probability of a span, as trained on `trained_on`
    texts; `longest`: words of the spans that are looked for; calibrations and thresholds are those of the mean."""

    scorer: WordScorer
    weight: float
    trained_on: int = 0
    longest: int = LONGEST
    calibration: SpanCalibration = field(default_factory=SpanCalibration)
    text_calibration: SpanCalibration = field(default_factory=SpanCalibration)
    rules: ShowRules = field(default_factory=ShowRules)

    def candidates(
        self, texts: Sequence[ReadText], tuned: Sequence[ReadText], pause: Pause | None = None
    ) -> list[list[Candidate]]:
        """What this side alone says."""
        return self.scorer.candidates(texts, tuned, self.longest, pause)

    def aged(self, texts: int) -> TunedMarks:
        """This part beside a head of so many texts: what was trained on half of them has half the share."""
        if not self.trained_on or texts <= self.trained_on:
            return self
        return replace(self, weight=self.weight * self.trained_on / texts)

    def blend(self, head: SpanHead, own: Sequence[Sequence[Candidate]], tuned: Sequence[Sequence[Candidate]]) -> Blend:
        """Of the head's candidates `own` and this side's, and the head as it shows them: each by its share."""
        part = self.aged(head.details.texts)
        mixed = mix(head, own, self.scorer.labels, tuned, part.weight)
        share = part.weight / self.weight if self.weight else 0.0
        return Blend(replace(head, **_between(head, self, share)), mixed)

    def config(self) -> TunedMarksJson:
        """Everything but the arrays."""
        scorer = self.scorer
        return {
            "labels": list(scorer.labels),
            "offset": scorer.offset,
            "prior": scorer.prior.name if scorer.prior is not None and scorer.offset else "",
            "weight": self.weight,
            "trained_on": self.trained_on,
            "longest": self.longest,
            "calibration": self.calibration.to_json(),
            "text_calibration": self.text_calibration.to_json(),
            "rules": {"clicks": self.rules.clicks, "f1": self.rules.f1},
        }

    def tensors(self) -> dict[str, Matrix]:
        """Arrays by name."""
        own = self.scorer
        arrays = {"coefficients": own.coefficients, "gated": own.gated, "bias": own.bias, "names": own.names}
        return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}


@dataclass(frozen=True)
class Blend:
    """What is shown by: the head with the calibration and the thresholds of the mean, and the mean's candidates."""

    head: SpanHead
    candidates: list[list[Candidate]]


class _Shown(TypedDict):
    calibration: SpanCalibration
    text_calibration: SpanCalibration
    rules: ShowRules


def _between(head: SpanHead, part: TunedMarks, share: float) -> _Shown:
    """Between the head's own (0) and the mean's as it was trained (1)."""
    rules = ShowRules(*(own + share * (other - own) for own, other in zip(head.rules, part.rules, strict=True)))
    return {
        "calibration": _mean(head.calibration, part.calibration, share),
        "text_calibration": _mean(head.text_calibration, part.text_calibration, share),
        "rules": rules,
    }


def _mean(own: SpanCalibration, other: SpanCalibration, share: float) -> SpanCalibration:
    return SpanCalibration(own.slope + share * (other.slope - own.slope), own.shift + share * (other.shift - own.shift))


def mix(
    head: SpanHead,
    own: Sequence[Sequence[Candidate]],
    labels: Sequence[str],
    tuned: Sequence[Sequence[Candidate]],
    weight: float,
) -> list[list[Candidate]]:
    """The head's candidates `own` of each text and those of a fine-tuned side that knows these `labels`, with averaged
    probabilities. A label that it does not know keeps what the head says."""
    places = {place: head.labels.index(label) for place, label in enumerate(labels) if label in head.labels}
    known = set(places.values())
    mixed = []
    for ours, theirs in zip(own, tuned, strict=True):
        found = {one[:3]: one.probability * (1 - weight if one.label in known else 1.0) for one in ours}
        for one in theirs:
            if one.label in places:
                place = (one.first, one.last, places[one.label])
                found[place] = found.get(place, 0.0) + weight * one.probability
        mixed.append([Candidate(*place, found[place]) for place in sorted(found)])
    return mixed


def restore_tuned_marks(
    config: TunedMarksJson, tensors: Mapping[str, NDArray[np.generic]], prior: TransferPrior | None
) -> TunedMarks:
    """Inverse of `config()` and `tensors()`. Raises VersionError where they do not fit, or for another prior."""
    try:
        wanted = str(config["prior"])
        if wanted and (prior is None or prior.name != wanted):
            raise VersionError("the fine-tune was trained with a transfer prior that is not there", prior=wanted)
        arrays = {name: array.astype(np.float32, copy=False) for name, array in tensors.items()}
        scorer = WordScorer(
            tuple(config["labels"]),
            arrays["coefficients"],
            arrays["gated"],
            arrays["bias"],
            arrays["names"],
            float(config["offset"]),
            prior if wanted else None,
        )
        return TunedMarks(
            scorer,
            float(config["weight"]),
            int(config["trained_on"]),
            int(config["longest"]),
            SpanCalibration(**config["calibration"]),
            SpanCalibration(**config["text_calibration"]),
            ShowRules(**config["rules"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VersionError(f"not a fine-tune for spans: {error}") from error
