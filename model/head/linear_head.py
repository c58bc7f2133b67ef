"""The head: an average of a few linear models over encoder features and words, each starting from the label names.

Everything a reply needs is a matrix product. `config()` and `tensors()` are all of its state, in JSON and arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from model.decoding.answers import AnswerRules
from model.features.tfidf import Terms, dense_features
from model.head.head_config import Choice, HeadConfig, HeadDetails, MemberConfig
from model.head.zero_shot import CLEAR_SIMILARITY, LOGIT_SCALE, UNIFORM_SHARE, mix_uniform
from model.numerics.arrays import Floats, SparseRows, normalise, softmax_rows
from model.numerics.temperature import apply_temperature
from model.pretrained.classifier_head import TaughtLabels, restore_taught
from model.spec import Text


@dataclass(frozen=True)
class Member:
    """One linear model: logits = dense @ coefficients + words @ word_coefficients + intercept + prior * similarity."""

    choice: Choice
    weight: float
    coefficients: Floats  # [dim, K]
    intercept: Floats  # [K]
    word_coefficients: Floats | None  # [terms, K]

    def complete(self, logits: Floats, prior: Floats) -> Floats:
        """The logits [n, K], from those that features and words gave, and the texts' prior [n, K]."""
        logits = logits + self.intercept
        if self.choice.prior:
            logits += self.choice.prior * prior
        return logits


@dataclass(frozen=True)
class Reference:
    """What all members share: the pool's mean features [depth, width], label prototypes [K, width], the mean
    similarity of the pool to each prototype [K], and the base model's trained head where it knows these labels."""

    mean: Floats
    prototypes: Floats
    similarity: Floats
    taught: TaughtLabels | None = None
    uniform_share: float = UNIFORM_SHARE
    centred: bool = False
    """Whether texts and names are compared less the pool's mean: of encoders to which all texts are alike."""

    @cached_property
    def _nameless(self) -> NDArray[np.int64]:
        """The column of none of these, if there is one."""
        return np.flatnonzero(~self.prototypes.any(1))

    @property
    def is_from_teacher(self) -> bool:
        """Whether a teacher has corrected the answer by label names."""
        return self.taught is not None and self.taught.on_names

    def prior(self, pooled: Floats) -> Floats:
        """Similarity of each text to each label, centred by the pool [n, K]; with a trained head its log-odds, scaled
        so that the share which turns similarities into logits gives its own answer."""
        similarity = self.similarity_of(pooled[:, -1])
        return self.prior_from(similarity, self.zero_shot(pooled) if self.taught is not None else similarity)

    def zero_shot(self, pooled: Floats) -> Floats:
        """What is answered with no label at all: probabilities [n, K]."""
        return self.zero_shot_from(self.similarity_of(pooled[:, -1]), pooled[:, -1])

    def similarity_of(self, last: Floats) -> Floats:
        """Cosine similarity [n, K] of texts to the label prototypes, from last-layer features [n, width]."""
        return normalise(last - self.mean[-1] if self.centred else last) @ self.prototypes.T

    def prior_from(self, similarity: Floats, base: Floats) -> Floats:
        """`prior` of texts whose similarities and zero-shot answers `base` are known [n, K]."""
        if self.taught is not None:
            return self.taught.log_odds(base) / LOGIT_SCALE
        return similarity - self.similarity

    def zero_shot_from(self, similarity: Floats, last: Floats) -> Floats:
        """`zero_shot` of texts whose similarities [n, K] are known."""
        if len(self._nameless):
            similarity = similarity.copy()
            similarity[:, self._nameless] = CLEAR_SIMILARITY
        names = mix_uniform(similarity, self.uniform_share)
        return names if self.taught is None else self.taught.probabilities(last, names)


@dataclass(frozen=True)
class OutOfFold:
    """What a head answered to its own labelled rows by models that had not seen them: for label errors and calibration.

    `tasks` [n] are the samples' task ids, `probabilities` and `targets` [n, K] in the order of the head's labels."""

    tasks: tuple[int, ...]
    probabilities: Floats
    targets: Floats


@dataclass(frozen=True)
class LinearHead:
    """Scores of one control. `labels` are the columns. Without members it is the zero-shot classifier."""

    labels: tuple[str, ...]
    multilabel: bool
    reference: Reference
    members: tuple[Member, ...] = ()
    terms: Terms = field(default_factory=lambda: Terms((), np.zeros(0, np.float32)))
    temperature: float = 1.0
    zero_share: float = 1.0  # of the zero-shot answer in the geometric mean
    threshold: float = 0.5
    details: HeadDetails = field(default_factory=HeadDetails)
    out_of_fold: OutOfFold | None = field(default=None, compare=False)  # not written to disk; None after a repeat

    def scores(self, texts: Sequence[Text], features: Floats) -> Floats:
        """Probabilities [n, K]; rows sum to 1 unless multilabel. `features` is [n, depth, width]."""
        if len(texts) == 0 or not self.labels:
            return np.zeros((len(texts), len(self.labels)))
        return self.combine(*self._parts(texts, features))

    def member_scores(self, texts: Sequence[Text], features: Floats) -> Floats:
        """What each member says by itself [m, n, K], uncalibrated, without the zero-shot answer; to see where they
        disagree. m is 0 for a head without members."""
        found = np.zeros((len(self.members), len(texts), len(self.labels)))
        if len(texts) and self.labels and self.members:
            for index, logits in enumerate(self._parts(texts, features)[0]):
                found[index] = self.squash(logits)
        return found

    def squash(self, logits: Floats) -> Floats:
        """Probabilities from one member's logits [n, K]."""
        return np.asarray(expit(logits)) if self.multilabel else softmax_rows(logits)

    def _parts(self, texts: Sequence[Text], features: Floats) -> tuple[Iterable[Floats], Floats]:
        """The members' logits and the zero-shot answer, as `combine` takes them."""
        reference, last = self.reference, features[:, -1]
        similarity = reference.similarity_of(last)
        base = reference.zero_shot_from(similarity, last)
        if not self.members:
            return (), base
        prior = reference.prior_from(similarity, base)
        views = {name: dense_features(features, reference.mean, name) for name in self.views}
        words = self.terms.transform(texts) if self.uses_words else None
        return (self._logits(member, views, words, prior) for member in self.members), base

    def _logits(self, member: Member, views: Mapping[str, Floats], words: SparseRows | None, prior: Floats) -> Floats:
        logits = views[member.choice.view] @ member.coefficients
        if member.word_coefficients is not None and words is not None:
            logits = logits + words @ member.word_coefficients
        return member.complete(logits, prior)

    def combine(self, logits: Iterable[Floats], base: Floats) -> Floats:
        """Probabilities [n, K] from the members' logits, in their order, and the zero-shot answers `base` [n, K]."""
        if not self.members:
            if len(self.labels) == 1:  # there or not, or the only answer that there is
                return base if self.multilabel else np.ones(base.shape, base.dtype)
            return apply_temperature(base, self.temperature)
        fitted = np.zeros(base.shape, base.dtype)
        for member, values in zip(self.members, logits, strict=True):
            answers = self.squash(values)
            answers *= member.weight
            fitted += answers
        if self.multilabel:
            return apply_temperature(fitted, self.temperature, multilabel=True)
        if self.zero_share <= 0:
            return apply_temperature(fitted, self.temperature)
        return blend_zero_shot(fitted, base, self.zero_share, self.temperature)

    @property
    def uses_words(self) -> bool:
        """Whether any member reads TF-IDF words."""
        return any(member.word_coefficients is not None for member in self.members)

    @property
    def views(self) -> set[str]:
        """The encoder views that members use."""
        return {member.choice.view for member in self.members}

    def config(self) -> HeadConfig:
        """Everything but the arrays."""
        return HeadConfig(
            self.labels,
            self.multilabel,
            self.temperature,
            self.zero_share,
            self.threshold,
            tuple(MemberConfig(m.choice, m.weight, m.word_coefficients is not None) for m in self.members),
            self.terms.vocabulary,
            self.reference.uniform_share,
            self.reference.centred,
            self.reference.taught.config() if self.reference.taught is not None else None,
            self.details,
        )

    @property
    def rules(self) -> AnswerRules:
        """How rows of `scores` become answers."""
        found = self.details
        rules = AnswerRules(
            self.labels,
            found.count,
            self.threshold,
            smoothing=found.smoothing,
            ancestors=bool(found.ancestors),
        )
        return rules.with_sets(found.sets)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Arrays by name, float32."""
        arrays: dict[str, Floats] = {
            "mean": self.reference.mean,
            "prototypes": self.reference.prototypes,
            "similarity": self.reference.similarity,
            "idf": self.terms.idf,
            **(self.reference.taught.tensors() if self.reference.taught else {}),
        }
        for index, member in enumerate(self.members):
            arrays[f"members.{index}.coefficients"] = member.coefficients
            arrays[f"members.{index}.intercept"] = member.intercept
            if member.word_coefficients is not None:
                arrays[f"members.{index}.words"] = member.word_coefficients
        return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in arrays.items()}


def blend_zero_shot(fitted: Floats, base: Floats, share: float, temperature: float = 1.0) -> Floats:
    """Geometric mean of fitted and zero-shot probabilities [n, K], the latter with weight `share`; at a temperature."""
    if share <= 0:
        return fitted
    logs = (1 - share) / temperature * np.log(np.maximum(fitted, 1e-12))
    logs += share / temperature * np.log(np.maximum(base, 1e-12))
    return softmax_rows(logs)


def restore_head(config: HeadConfig, tensors: Mapping[str, Floats]) -> LinearHead:
    """The head that `config()` and `tensors()` describe. Raises KeyError for a lack of arrays."""
    members = tuple(
        Member(
            member.choice,
            member.weight,
            tensors[f"members.{index}.coefficients"],
            tensors[f"members.{index}.intercept"],
            tensors[f"members.{index}.words"] if member.has_words else None,
        )
        for index, member in enumerate(config.members)
    )
    taught = restore_taught(config.taught, tensors, config.multilabel)
    means = tensors["mean"], tensors["prototypes"], tensors["similarity"]
    return LinearHead(
        labels=config.labels,
        multilabel=config.multilabel,
        reference=Reference(*means, taught, config.uniform_share, config.centred),
        members=members,
        terms=Terms(config.vocabulary, tensors["idf"]),
        temperature=config.temperature,
        zero_share=config.zero_share,
        threshold=config.threshold,
        details=config.details,
    )
