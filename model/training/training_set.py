"""What a fine-tune is taught: rows, the head it starts from, how many steps, and which rows make a batch. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats, normalise
from model.spec import Text
from model.training.recipe import DEFAULT_RECIPE

LOGIT_SCALE = 20.0


class TrainingSetJson(TypedDict):
    name: str
    labels: list[str]
    multilabel: bool
    texts: list[list[str]]
    targets: list[list[float]]
    weights: list[float]
    prototypes: list[list[float]]


@dataclass(frozen=True)
class TrainingSet:
    """One control's training rows: texts [n], targets [n, K], weights [n], and the head it starts from [K, width]."""

    name: str
    labels: tuple[str, ...]
    multilabel: bool
    texts: Sequence[Text]
    targets: Floats
    weights: Floats
    prototypes: Floats

    def to_json(self) -> TrainingSetJson:
        """For another process."""
        return {
            "name": self.name,
            "labels": list(self.labels),
            "multilabel": self.multilabel,
            "texts": [list(text) for text in self.texts],
            "targets": self.targets.tolist(),
            "weights": self.weights.tolist(),
            "prototypes": self.prototypes.tolist(),
        }

    @staticmethod
    def from_json(raw: TrainingSetJson) -> TrainingSet:
        """What `to_json` gave, to the last bit: JSON's decimals are exact for a double."""
        return TrainingSet(
            raw["name"],
            tuple(raw["labels"]),
            raw["multilabel"],
            [tuple(text) for text in raw["texts"]],
            np.array(raw["targets"], dtype=float),
            np.array(raw["weights"], dtype=float),
            np.array(raw["prototypes"], dtype=float),
        )


def prototype_head(prototypes: Floats, embeddings: Floats, targets: Floats) -> Floats:
    """The first head [K, width], of label prototypes [K, width] and embeddings [n, width] with targets [n, K]."""
    sums = targets.T @ normalise(embeddings)
    return LOGIT_SCALE * normalise(prototypes + targets.sum(0)[:, None] * normalise(sums))


def draw_batch(
    targets: Floats,
    multilabel: bool,
    generator: np.random.Generator,
    balanced: int = DEFAULT_RECIPE.balanced_classes,
) -> NDArray[np.int64]:
    """Rows of one batch: evenly over the classes, or over all rows when classes are more than `balanced` or not
    exclusive."""
    count, size = len(targets), DEFAULT_RECIPE.batch
    if multilabel or targets.shape[1] > balanced:
        return generator.permutation(count)[:size] if count >= size else generator.integers(0, count, size)
    members = targets.argmax(1)
    classes = generator.permutation(np.unique(members))
    wanted = np.resize(classes, size)
    rows: list[int] = []
    for label in classes:
        pool = np.flatnonzero(members == label)
        need = int((wanted == label).sum())
        rows += list(generator.choice(pool, need, replace=need > len(pool)))
    return np.array(rows, dtype=np.int64)
