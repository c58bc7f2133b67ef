"""Why a live version answered as it did: the words behind each chosen label of one control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.explain.occlusion import Word, explain
from model.numerics.arrays import Floats
from model.spec import NONE, Control, Document, Prediction, Text

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel


MOST_LABELS = 3
"""Chosen labels of one answer that are explained, likeliest first."""

LEAST_PROBABILITY = 1e-9
"""Probabilities closer to 0 or 1 than this are as good as it."""


@dataclass(frozen=True)
class Explained:
    """One chosen label of an answer and the words that support it, heaviest first."""

    label: str
    words: tuple[Word, ...]


def explain_answer(
    model: LiveModel, document: Document, answer: Prediction, listed: Sequence[str] | None = None
) -> list[Explained]:
    """What supports each chosen label of `answer`, as `model` served it for `document`.

    `listed`: the choices that the task itself offered. Raises KeyError when the document lacks an input."""
    control = model.spec.control(answer.control)
    labels = _likeliest(answer)
    if not labels:
        return []
    keys = tuple(dict.fromkeys(listed)) if listed is not None else model.labels(control.name)

    def log_odds(texts: Sequence[Text]) -> Floats:
        rows = model.probe(control.name, texts, keys if listed is not None else None)
        return label_log_odds(control, keys, rows, labels, None if listed is None else keys)

    found = explain(control.text_of(document), log_odds)
    return [Explained(label, tuple(words)) for label, words in zip(labels, found, strict=True)]


def label_log_odds(
    control: Control, keys: Sequence[str], rows: Floats, labels: Sequence[str], listed: Sequence[str] | None = None
) -> Floats:
    """Log-odds [n, len(labels)] from probabilities [n, len(keys)], counting only labels that may be chosen."""
    allowed = {*(listed if listed is not None else control.keys()), NONE}
    probabilities = rows[:, [keys.index(label) for label in labels]].astype(float)
    if not control.multilabel:
        total = rows[:, [index for index, key in enumerate(keys) if key in allowed]].sum(axis=1, keepdims=True)
        probabilities = probabilities / np.maximum(total, LEAST_PROBABILITY)
    probabilities = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    odds: Floats = np.log(probabilities) - np.log1p(-probabilities)
    return odds


def _likeliest(answer: Prediction) -> list[str]:
    """The chosen labels, likeliest first."""
    rank = {key: place for place, (key, _) in enumerate(answer.ranking)}
    return sorted(answer.chosen, key=lambda key: rank.get(key, len(rank)))[:MOST_LABELS]
