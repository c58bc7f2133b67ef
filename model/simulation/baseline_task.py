"""What every baseline is given, and the logistic regression that three of them end with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.interfaces import Embedder
from model.numerics.arrays import Floats, SparseRows, normalise
from model.simulation.replay import Tell
from model.spec import Sample

MOST_ITERATIONS = 1000


@dataclass(frozen=True)
class Task:
    """What a peer is given: training samples with targets [n, K], and the test samples."""

    train: Sequence[Sample]
    targets: Floats
    test: Sequence[Sample]
    multilabel: bool
    base: Embedder
    base_model: Path
    seed: int
    threads: int
    tell: Tell

    def features(self, samples: Sequence[Sample]) -> Floats:
        """L2-normalised mean-pooled last layer [n, width]."""
        return normalise(self.base.embed([sample.text for sample in samples])[:, -1])

    def flat(self, samples: Sequence[Sample]) -> list[str]:
        """Each text as one string."""
        return [" ".join(sample.text) for sample in samples]


def fit_logistic(
    train: Floats | SparseRows, targets: Floats, test: Floats | SparseRows, strength: float, *, multilabel: bool
) -> Floats:
    """Probabilities [test rows, K] of scikit-learn's logistic regression; classes without a row get none."""
    from sklearn.linear_model import LogisticRegression

    result = np.zeros((test.shape[0], targets.shape[1]))
    if not multilabel:
        model = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS).fit(train, targets.argmax(1))
        result[:, model.classes_] = model.predict_proba(test)
        return result
    for column, wanted in enumerate((targets >= 0.5).T):
        if wanted.all() or not wanted.any():
            result[:, column] = float(wanted.all())
            continue
        model = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS).fit(train, wanted)
        result[:, column] = model.predict_proba(test)[:, 1]
    return result
