"""A pool of texts answered with one version, block by block, from features that the cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.features.long_texts import LabelAwarePooling
from model.spec import Text

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel

BLOCK_TEXTS = 512
"""Texts worked on at a time: all layers of a hundred thousand would take 600 MB, their last layer takes 150."""


@dataclass(frozen=True)
class PoolAnswers:
    """`probabilities` [n, K] as served, `features` [n, width] of the base encoder's last layer, `members` [m, n, K]:
    what each member of the head says by itself, with the members' `shares` [m]; m is 0 unless asked for."""

    probabilities: NDArray[np.float32]
    features: NDArray[np.float32]
    members: NDArray[np.float32]
    shares: NDArray[np.float64]


def answer_pool(model: LiveModel, control: str, texts: Sequence[Text], *, members: bool = False) -> PoolAnswers:
    """What `model` says to every text. `members`: also each member of the head, m times the memory."""
    reader, head = LabelAwarePooling(model.base, model.spec.control(control)), model.heads[control]
    classes = model.labels(control)
    asked = head.members if members else ()
    found = PoolAnswers(
        np.zeros((len(texts), len(classes)), np.float32),
        np.zeros((len(texts), reader.width), np.float32),
        np.zeros((len(asked), len(texts), len(classes)), np.float32),
        np.array([member.weight for member in asked]),
    )
    for start in range(0, len(texts), BLOCK_TEXTS):
        rows, part = slice(start, start + BLOCK_TEXTS), texts[start : start + BLOCK_TEXTS]
        pooled = reader.embed(part)
        tuned = model.tuned.embed(part)[:, -1] if model.tuned is not None else None
        found.features[rows] = pooled[:, -1]
        found.probabilities[rows] = model.scores_of(control, part, pooled, tuned)
        if asked:
            found.members[:, rows] = head.member_scores(part, pooled)
    return found
