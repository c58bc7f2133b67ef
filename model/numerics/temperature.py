"""Temperature scaling with a prior: few examples move the temperature little."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from model.numerics.arrays import Floats, softmax_rows
from model.numerics.metrics import SMALLEST_PROBABILITY, log_losses, log_losses_binary

HUMBLE, HUMBLE_STRENGTH = 0.25, 8.0
"""The prior of a head's log-temperature. Above 0: out-of-fold answers are luckier than others, since choices were made
on them. On sst2 at 64 labels (3 seeds) it takes the calibration error from .12 to .09, and costs SMS spam .01."""


def apply_temperature(probabilities: Floats, temperature: float, *, multilabel: bool = False) -> Floats:
    """Probabilities flattened (T > 1) or sharpened (T < 1)."""
    if temperature == 1.0:
        return probabilities
    if multilabel:
        return expit(logit(np.clip(probabilities, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)) / temperature)
    return softmax_rows(np.log(np.clip(probabilities, SMALLEST_PROBABILITY, 1)) / temperature)


def fit_temperature(
    probabilities: Floats,
    targets: Floats,
    *,
    prior_strength: float = 2.0,
    centre: float = 0.0,
    multilabel: bool = False,
) -> float:
    """The T that minimises mean log-loss + (prior_strength / n) (ln T - centre)², within [0.2, 5].

    Only for predictions made on examples the model was not fitted on, and only where every class had a prior:
    out-of-fold predictions of a head that misses classes look hopeless and would ruin it.
    """
    from scipy.optimize import minimize_scalar  # here: who only serves has no use for its 20 MB

    count = len(targets)
    if count == 0:
        return 1.0
    losses = log_losses_binary if multilabel else log_losses

    def objective(log_temperature: float) -> float:
        scaled = apply_temperature(probabilities, float(np.exp(log_temperature)), multilabel=multilabel)
        return float(losses(scaled, targets).mean()) + prior_strength / count * (log_temperature - centre) ** 2

    bound = float(np.log(5.0))
    return float(np.exp(minimize_scalar(objective, bounds=(-bound, bound), method="bounded").x))
