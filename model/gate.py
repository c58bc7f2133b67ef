"""Whether a challenger may replace the champion: both answered the same examples, on which neither was trained.

Pure: probabilities and policy in, verdict with its evidence out. docs/decisions/0003 gives the reasons.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.evaluation import evaluate, evaluate_multilabel, log_losses, log_losses_binary

Floats = NDArray[np.floating]

RESAMPLES = 2000
MAX_F1_LOSS = 0.02
"""Macro-F1 that a challenger may lose and still be better by log-loss: noise of one example in fifty."""


@dataclass(frozen=True)
class Verdict:
    """`reason` is a sentence for people; `decided` is False when there was too little evidence for either answer."""

    accepted: bool
    decided: bool
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def decide_promotion(
    champion: Floats,
    challenger: Floats,
    targets: Floats,
    *,
    min_examples: int = 20,
    multilabel: bool = False,
    thresholds: tuple[float, float] = (0.5, 0.5),
    seed: int = 0,
) -> Verdict:
    """Compare two probability matrices [n, K] on held-out `targets` [n, K]. `thresholds`: for multi-label answers.

    Accepted when the challenger's mean log-loss is not higher, macro-F1 does not fall by more than MAX_F1_LOSS, and no
    class that the champion answers is given up altogether.
    """
    losses = log_losses_binary if multilabel else log_losses
    metrics = [
        _rounded(evaluate_multilabel(p, targets, t) if multilabel else evaluate(p, targets))
        for p, t in zip((champion, challenger), thresholds, strict=True)
    ]
    evidence: dict[str, Any] = {"n": len(targets), "champion": metrics[0], "challenger": metrics[1]}
    if len(targets) < min_examples:
        return Verdict(
            False, False, f"too little evidence: {len(targets)} of {min_examples} held-out examples", evidence
        )
    difference = losses(challenger, targets) - losses(champion, targets)
    low, high = _interval(difference, seed)
    evidence |= {"log_loss_change": round(float(difference.mean()), 4), "interval": [round(low, 4), round(high, 4)]}
    shown = f"log-loss {metrics[1]['log_loss']:.3f} against {metrics[0]['log_loss']:.3f} on {len(targets)} held out"
    evidence["collapsed"] = collapsed = [] if multilabel else _collapsed(champion, challenger, targets)
    if collapsed:
        return Verdict(False, True, f"{len(collapsed)} class(es) are never answered any more; {shown}", evidence)
    if difference.mean() > 0:
        return Verdict(False, True, f"{'significantly ' * (low > 0)}worse than the champion: {shown}", evidence)
    if metrics[1]["macro_f1"] < metrics[0]["macro_f1"] - MAX_F1_LOSS:
        return Verdict(
            False, True, f"macro-F1 falls from {metrics[0]['macro_f1']} to {metrics[1]['macro_f1']}", evidence
        )
    better = "significantly better" if high < 0 else "not worse"
    return Verdict(True, True, f"{better} than the champion: {shown}", evidence)


def _interval(difference: Floats, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, len(difference), (RESAMPLES, len(difference)))
    low, high = np.percentile(difference[rows].mean(1), [2.5, 97.5])
    return float(low), float(high)


def _collapsed(champion: Floats, challenger: Floats, targets: Floats, least: int = 3) -> list[int]:
    """Columns that occur `least` times or more, which the champion gets right sometimes and the challenger never."""
    true = targets.argmax(1)
    found = []
    for column in range(targets.shape[1]):
        rows = true == column
        if rows.sum() >= least:
            hits = [(p[rows].argmax(1) == column).sum() for p in (champion, challenger)]
            if hits[0] > 0 and hits[1] == 0:
                found.append(column)
    return found


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in metrics.items()}
