"""The columns that a head's weights are for, by name: of words, of sizes, of no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from model.questions.answer_memory import AnswerMemory
from model.questions.answer_model import BUCKETS, ROLES, AnswerWeights, Band, Floats32, Questions
from model.questions.asked import LAYERS, STATE_LAYER, AskedText
from model.questions.features import MATCHES, NONE, SHAPES, AskedFeatures, read_features, scaled
from model.questions.question_type import KINDS
from model.spans.features.feature_space import StateScale
from model.spans.transfer.prior import TransferPrior

COLUMNS = (
    *MATCHES,
    *(f"{shape}{place}" for place in ("", " before", " behind") for shape in SHAPES),
    *(f"{kind}: {shape}" for kind in KINDS for shape in SHAPES),
)
"""Of a word: how it stands to the question, what it and its neighbours look like, and what it looks like when this
kind of question is asked."""

NONE_COLUMNS = (*NONE, *KINDS)

Table = Mapping[str, tuple[float, float, float]]
"""Column -> weight at an answer's start, at each of its words, and at its end."""


def zero_weights(width: int) -> AnswerWeights:
    """Of no opinion. `width`: of the states that are read."""
    return AnswerWeights(
        np.zeros((len(COLUMNS), ROLES), np.float32),
        np.zeros((width, ROLES), np.float32),
        np.zeros((1 + len(KINDS), len(BUCKETS)), np.float32),
        np.zeros(len(NONE_COLUMNS), np.float32),
    )


def put_together(
    asked: Sequence[AskedText],
    scale: StateScale,
    prior: TransferPrior | None,
    memory: AnswerMemory,
    dense: float,
    longest: int,
) -> Questions:
    """All questions as a head sees them. `dense`: mean squared length of a word's states; 0: they are left out."""
    features = [read_features(own, scale, prior, memory) for own in asked]
    kinds = np.array([own.kind for own in features], np.int64)
    words = [word_columns(own) for own in features]
    none = [np.concatenate([own.none, np.eye(len(KINDS), dtype=np.float32)[own.kind]]) for own in features]
    return Questions(
        np.concatenate(words) if words else np.zeros((0, len(COLUMNS)), np.float32),
        _states(asked, scale, dense),
        kinds,
        np.stack(none) if none else np.zeros((0, len(NONE_COLUMNS)), np.float32),
        Band.of([len(own.sentence) for own in features], longest),
    )


def word_columns(own: AskedFeatures) -> Floats32:
    """COLUMNS of every word."""
    before, behind = np.zeros_like(own.shape), np.zeros_like(own.shape)
    before[1:], behind[:-1] = own.shape[:-1], own.shape[1:]
    by_kind = np.zeros((len(own.shape), len(KINDS) * len(SHAPES)), np.float32)
    by_kind[:, own.kind * len(SHAPES) : (own.kind + 1) * len(SHAPES)] = own.shape
    return np.concatenate([own.match, own.shape, before, behind, by_kind], axis=1)


def _states(asked: Sequence[AskedText], scale: StateScale, dense: float) -> Floats32:
    width = len(scale.mean) // LAYERS
    part = slice(STATE_LAYER * width, (STATE_LAYER + 1) * width)
    if not dense or not asked:
        return np.zeros((sum(len(own.passage.bounds) for own in asked), 0), np.float32)
    own = StateScale(scale.mean[part], scale.spread[part])
    rows = [scaled(np.ascontiguousarray(one.passage.states[:, part]), own) for one in asked]
    found: Floats32 = np.concatenate(rows) * np.float32(np.sqrt(dense / width))
    return found
