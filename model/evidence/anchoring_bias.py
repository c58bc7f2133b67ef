"""How often annotators accept a wrong pre-label they would have corrected, told from tasks shown without one. Pure.

Blind and explored tasks are drawn alike and differ in the pre-label alone. Chosen tasks join for power: at equal
confidence they are answered alike, but for a shift that the explored ones tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from model.evidence.row import EvidenceRow
from model.numerics.arrays import Floats

Kinds = NDArray[np.int64]

BLIND, EXPLORED, CHOSEN = 0, 1, 2

COPYING_RATES = np.linspace(0, 0.98, 50)
"""Copying rates looked at, all alike likely beforehand."""

MISS_PRIORS = (0.2, 0.2, 0.2)
"""Standard deviations, in log-odds of a wrong answer, of what the served confidence misses: everywhere, per unit of
its own log-odds, and for chosen tasks only. Measured on five sets: .12, .22 and .17 (`python -m bench.advice
--priors`); each set is judged with those of the others there."""

INTERVAL_PRIORS = (0.7, 0.2, 0.15)
"""The same for the interval, which is to hold the truth of a model that is off by more than any of these sets' was."""

CONFIDENCE_BINS = 40
LEAST_BLIND = 20
LEAST_SHOWN = 50
TELLABLE_WIDTH = 0.5
"""Width of an interval above which the rate says nothing."""

ACTIONABLE_HALF_WIDTH = 0.1
"""Half an interval that is near enough to act on."""

NEWTON_STEPS = 12


class Anchoring(TypedDict):
    """The copying rate with its 95 % interval, the counts that it rests on, and the labels `lacking`."""

    rate: float
    interval: list[float]
    blind: int
    shown: int
    lacking: int
    blind_wrong: int
    shown_wrong: int


def kind_of(row: EvidenceRow) -> int:
    """What a test-then-train row was: blind, explored or chosen."""
    return BLIND if row.blind else EXPLORED if row.explore else CHOSEN


def estimate_anchoring(
    rows: Sequence[EvidenceRow], priors: tuple[float, float, float] = MISS_PRIORS
) -> Anchoring | None:
    """rate, and a 95 % interval that doubts the confidences more than the rate does; the counts blind, shown, and of
    disagreements blind_wrong, shown_wrong; `lacking`: labels more, at the same share of blind tasks, until the interval
    is ACTIONABLE_HALF_WIDTH (it narrows with the root of the rows).

    Rows of one control: `confidence`, `correct` (pre-label and label agree), `blind`, `explore`. None with fewer than
    LEAST_BLIND blind or LEAST_SHOWN shown ones."""
    kinds = np.array([kind_of(row) for row in rows], dtype=int)
    blind = int((kinds == BLIND).sum())
    if blind < LEAST_BLIND or len(rows) - blind < LEAST_SHOWN:
        return None
    confidences = np.array([row.confidence for row in rows])
    wrong = np.array([not row.correct for row in rows])
    cells = _bin(confidences, wrong, kinds)
    posterior = _posterior(*cells, np.array(priors))
    ends = [_interval(posterior), _interval(_posterior(*cells, np.array(INTERVAL_PRIORS)))]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return {
        "rate": round(float(COPYING_RATES[int(posterior.argmax())]), 4),
        "interval": [round(low, 4), round(high, 4)],
        "blind": blind,
        "shown": len(rows) - blind,
        "lacking": max(0, round(len(rows) * (((high - low) / 2 / ACTIONABLE_HALF_WIDTH) ** 2 - 1))),
        "blind_wrong": int(wrong[kinds == BLIND].sum()),
        "shown_wrong": int(wrong[kinds != BLIND].sum()),
    }


def is_tellable(found: Anchoring) -> bool:
    """Whether its interval is narrow enough for the rate to mean anything."""
    low, high = found["interval"]
    return high - low <= TELLABLE_WIDTH


def _interval(posterior: Floats) -> tuple[float, float]:
    """The middle 95 %."""
    low, high = np.searchsorted(np.cumsum(posterior), (0.025, 0.975)).clip(max=len(COPYING_RATES) - 1)
    return float(COPYING_RATES[low]), float(COPYING_RATES[high])


def _bin(confidences: Floats, wrong: NDArray[np.bool_], kinds: Kinds) -> tuple[Floats, Floats, Floats, Kinds]:
    """Rows added up by confidence and kind: offset (log-odds of a wrong answer), wrong ones, all, and kind, a cell."""
    box = np.clip((confidences * CONFIDENCE_BINS).astype(int), 0, CONFIDENCE_BINS - 1) + CONFIDENCE_BINS * kinds
    count = np.bincount(box, minlength=3 * CONFIDENCE_BINS).astype(float)
    hits = np.bincount(box, weights=wrong, minlength=3 * CONFIDENCE_BINS).astype(float)
    mean = np.bincount(box, weights=confidences, minlength=3 * CONFIDENCE_BINS)
    used = count > 0
    offset = logit(np.clip(1 - mean[used] / count[used], 0.005, 0.995))
    return offset, hits[used], count[used], np.repeat(np.arange(3), CONFIDENCE_BINS)[used]


def _posterior(offset: Floats, hits: Floats, count: Floats, kinds: Kinds, priors: Floats) -> Floats:
    """Of each rate in COPYING_RATES, the three nuisances maximised out, their curvature accounted for (Laplace)."""
    design = np.stack([np.ones_like(offset), offset, (kinds == CHOSEN).astype(float)], axis=1)
    shown, logs = kinds != BLIND, np.zeros(len(COPYING_RATES))
    start: Floats = np.zeros(3)
    for place, rate in enumerate(COPYING_RATES):
        keep = np.where(shown, 1 - rate, 1.0)
        start, logs[place] = _fit(design, offset, hits, count, keep, start, priors)
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def _fit(
    design: Floats, offset: Floats, hits: Floats, count: Floats, keep: Floats, start: Floats, priors: Floats
) -> tuple[Floats, float]:
    """Nuisances at their best for p(wrong) = keep * expit(offset + design @ nuisance), by Fisher scoring; and the log
    of the integrated likelihood."""
    nuisance = start
    for _ in range(NEWTON_STEPS):
        p = np.clip(expit(offset + design @ nuisance), 1e-9, 1 - 1e-9)
        q = np.clip(keep * p, 1e-9, 1 - 1e-9)
        slope = keep * p * (1 - p)
        gradient = design.T @ ((hits - count * q) / (q * (1 - q)) * slope) - nuisance / priors**2
        information = (design * (count * slope**2 / (q * (1 - q)))[:, None]).T @ design + np.diag(1 / priors**2)
        step = np.linalg.solve(information, gradient)
        nuisance = nuisance + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-4:
            break
    q = np.clip(keep * expit(offset + design @ nuisance), 1e-9, 1 - 1e-9)
    likelihood = float((hits * np.log(q) + (count - hits) * np.log1p(-q)).sum())
    prior = -0.5 * float(((nuisance / priors) ** 2).sum())
    return nuisance, likelihood + prior - 0.5 * float(np.linalg.slogdet(information)[1])
