"""Measures of a classifier on examples it was not fitted on. Pure numpy; checked against scikit-learn in the tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats

SMALLEST_PROBABILITY = 1e-12


def one_hot(classes: NDArray[np.integer], count: int) -> Floats:
    """Targets [n, count] from class indices [n]."""
    return np.eye(count)[classes]


def log_losses(probabilities: Floats, targets: Floats) -> Floats:
    """Cross-entropy of each row, nats [n]; targets [n, K] are distributions."""
    return -(targets * np.log(np.clip(probabilities, SMALLEST_PROBABILITY, 1))).sum(1)


def log_losses_binary(probabilities: Floats, targets: Floats) -> Floats:
    """Mean binary cross-entropy over the labels of each row [n], for multi-label answers."""
    p = np.clip(probabilities, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return -(targets * np.log(p) + (1 - targets) * np.log1p(-p)).mean(1)


def accuracy(probabilities: Floats, targets: Floats) -> float:
    """Share of rows whose likeliest class is the heaviest target class."""
    return float((probabilities.argmax(1) == targets.argmax(1)).mean())


def macro_f1(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Mean F1 over the classes that occur in the truth or the answers; both [n, K]."""
    hits = (predicted & true).sum(0)
    total = predicted.sum(0) + true.sum(0)
    seen = total > 0
    return float((2 * hits[seen] / total[seen]).mean()) if seen.any() else 0.0


def micro_f1(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """F1 over all (row, class) decisions together."""
    total = int(predicted.sum() + true.sum())
    return float(2 * (predicted & true).sum() / total) if total else 1.0


def expected_calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean |confidence - accuracy| over equal-width bins, weighted by their size (Guo et al. 2017)."""
    if len(confidence) == 0:
        return 0.0
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def evaluate(probabilities: Floats, targets: Floats) -> dict[str, float]:
    """n, accuracy, macro_f1, log_loss and ece of single-label probabilities [n, K] against targets [n, K]."""
    if len(targets) == 0:
        return {"n": 0}
    count = targets.shape[1]
    top = probabilities.argmax(1)
    true = targets.argmax(1)
    return {
        "n": len(targets),
        "accuracy": accuracy(probabilities, targets),
        "macro_f1": macro_f1(one_hot(top, count) > 0, one_hot(true, count) > 0),
        "log_loss": float(log_losses(probabilities, targets).mean()),
        "ece": expected_calibration_error(probabilities.max(1), top == true),
    }


def evaluate_multilabel(probabilities: Floats, targets: Floats, threshold: float) -> dict[str, float]:
    """n, exact match (`accuracy`), micro_f1, macro_f1 and log_loss of multi-label probabilities [n, K]."""
    if len(targets) == 0:
        return {"n": 0}
    chosen, true = probabilities >= threshold, targets >= 0.5
    return {
        "n": len(targets),
        "accuracy": float((chosen == true).all(1).mean()),
        "micro_f1": micro_f1(chosen, true),
        "macro_f1": macro_f1(chosen, true),
        "log_loss": float(log_losses_binary(probabilities, targets).mean()),
    }
