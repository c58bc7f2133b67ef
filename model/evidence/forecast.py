"""How many more labels a gain in accuracy will take, from the learning curve so far. Pure.

The curve is that of the tasks nobody has labelled. What a strategy picks is harder than they are, so the labelled
tasks' correctness alone would tell of the queue: each stage is the pool's mean confidence then, corrected by how much
the confidence of the labelled tasks exceeded their correctness.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from model.evidence.row import EvidenceRow
from model.numerics.arrays import Floats

CALIBRATION_DEVIATION = 0.025
"""Standard deviation of (mean confidence - accuracy) of calibrated heads over a pool: measured,
bench/advice.py."""

F1_DEVIATION = 0.09
"""The same of the F1 of marked spans, less sure of itself: heads of 64 to 512 texts over pools of tweets, queries and
encyclopedia that the prior had never seen (five orders, bench/advice.py)."""

RUNS_AHEAD = 1.28
"""Standard errors by which expected F1 has risen more than what came of it, from which the rise is taken for its own:
one stage in ten does by chance."""

ACCURACY_DEVIATIONS = (0.003, 0.01, 0.03, 0.09)
"""Standard deviations of a refit's accuracy around the curve that are thought possible: how exact sets can be is far
more of a gamble than a single choice."""

STAGE_WINDOW = 8.0
"""Stages with fewer labels than now / STAGE_WINDOW say nothing of the slope today: names carry the first hundred."""

LEAST_STAGES = 3

DECAYS = np.array([-1.0, -0.6, -0.3, 0.05, 0.3, 0.6, 1.0])
"""Exponents of the power law (Figueroa et al. 2012). Negative: the curve still gets steeper with every e-fold, as it
does where label names answer well and classes are many."""

SLOPES = np.geomspace(0.002, 1.0, 100)
"""Share of today's errors that an e-fold of labels would take away, today."""

SLOPE_PRIOR = (0.17, 0.8)
"""Median and log standard deviation of what slopes are thought likely: chosen by `bench/advice.py --priors`."""

HORIZON_FACTOR = 8.0
"""Nothing is forecast beyond so many times the present labels."""

ENOUGH_CLASS_LABELS = 25
"""Labels of a class from which its recall is near its best: banking77 .76 with 2 to 3, .85 with 9 to 17, .87 with 25
and more; SMS spam .87, .91, .96 (bench/advice.py)."""

INTERVAL_PERCENTILES = (10, 90)
"""Percentiles that are told."""


class LabelsTo(TypedDict):
    """Labels at which a `gain` will be had; None for what lies `beyond` the horizon."""

    gain: float
    beyond: int
    low: int | None
    median: int | None
    high: int | None


class SurveyMean(TypedDict):
    """The mean confidence over the pool with so many labels known."""

    labels: int
    confidence: float


@dataclass(frozen=True)
class Stage:
    """With `labels` known, the pool's mean `confidence`, and of `tests` labelled tasks then the mean of confidence
    less correctness, `gap`, and its variance a row, `spread`; `deviation`: what the confidence is thought to miss."""

    labels: float
    confidence: float
    tests: int = 0
    gap: float = 0.0
    spread: float = 0.2
    deviation: float = CALIBRATION_DEVIATION

    @property
    def accuracy(self) -> tuple[float, float]:
        """Its estimate and variance: the gap is believed as far as the tests outweigh what is known of calibration."""
        prior = self.deviation**2
        if not self.tests:
            return self.confidence, prior
        noise = self.noise
        return self.confidence - self.gap * prior / (prior + noise), prior * noise / (prior + noise)

    @property
    def noise(self) -> float:
        """Variance of the gap."""
        return max(self.spread, 0.02) / self.tests if self.tests else np.inf


@dataclass(frozen=True)
class Forecast:
    """accuracy(n) = level + slope (1 - level) / decay (1 - (n / labels)^-decay), and how likely each slope and decay
    is [S, D]."""

    labels: float
    level: float
    level_sd: float
    weights: Floats

    def labels_to(self, gain: float) -> LabelsTo:
        """Labels in all at which accuracy will be `gain` higher than today: median, and low and high of the
        INTERVAL_PERCENTILES; None for what lies beyond the horizon, `beyond`."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rest = 1 - gain * DECAYS[None, :] / (SLOPES[:, None] * max(1 - self.level, 1e-6))
            factors = np.where(rest > 0, np.maximum(rest, 1e-12) ** (-1 / DECAYS[None, :]), np.inf)
        if gain >= 1 - self.level:
            factors = np.full_like(factors, np.inf)
        order = np.argsort(factors, axis=None)
        mass = np.cumsum(self.weights.ravel()[order])

        def at(share: float) -> int | None:
            place = min(int(np.searchsorted(mass, share * mass[-1])), len(order) - 1)
            factor = float(factors.ravel()[order[place]])
            return round(self.labels * factor) if factor <= HORIZON_FACTOR else None

        low, high = (percentile / 100 for percentile in INTERVAL_PERCENTILES)
        beyond = round(self.labels * HORIZON_FACTOR)
        return {"gain": gain, "beyond": beyond, "low": at(low), "median": at(0.5), "high": at(high)}


def fit_forecast(stages: Sequence[Stage], prior: tuple[float, float] = SLOPE_PRIOR) -> Forecast | None:
    """The posterior over curves through the stages, on a grid; None with fewer than LEAST_STAGES that count."""
    recent = _recent(stages)
    if len(recent) < LEAST_STAGES:
        return None
    now = max(stage.labels for stage in recent)
    x = np.log(np.array([stage.labels for stage in recent]) / now)
    y, variance = (np.array(part) for part in zip(*(stage.accuracy for stage in recent), strict=True))
    errors = 1 - float(np.average(y, weights=1 / variance))
    # What the curve loses towards earlier stages, [S, D, stages]; the level that fits best then has a closed form.
    exponents = DECAYS[None, :, None]
    shape = SLOPES[:, None, None] * errors / exponents * (1 - np.exp(-x * exponents))
    logs, levels = zip(*(_fit(y, shape, variance + wobble**2) for wobble in ACCURACY_DEVIATIONS), strict=True)
    usual, spread_of_slopes = prior
    posterior = np.stack(logs) - 0.5 * ((np.log(SLOPES / usual) / spread_of_slopes) ** 2)[None, :, None]
    posterior = np.exp(posterior - posterior.max())
    posterior /= posterior.sum()
    mean = float((posterior * np.stack(levels)).sum())
    spread = float((posterior * (np.stack(levels) - mean) ** 2).sum() + 1 / (1 / variance).sum())
    return Forecast(now, mean, spread**0.5, posterior.sum(0))


def _recent(stages: Sequence[Stage]) -> list[Stage]:
    now = max((stage.labels for stage in stages), default=0.0)
    return [stage for stage in stages if stage.labels * STAGE_WINDOW >= now and stage.labels > 0]


def runs_ahead(stages: Sequence[Stage]) -> bool:
    """Whether what is expected has grown faster, stage by stage, than what came of it: then it says nothing of what
    more labels will bring, and too few tests are there to say it without."""
    tested = [stage for stage in _recent(stages) if stage.tests]
    if len(tested) < LEAST_STAGES:
        return False
    x = np.log([stage.labels for stage in tested])
    gaps, weights = np.array([(stage.gap, 1 / stage.noise) for stage in tested]).T
    centred = x - np.average(x, weights=weights)
    strength = float((weights * centred**2).sum())
    return bool(strength > 0 and (weights * centred * gaps).sum() / strength**0.5 > RUNS_AHEAD)


def stages_of(surveys: Sequence[SurveyMean], rows: Sequence[EvidenceRow], control: str) -> list[Stage]:
    """A stage per survey, oldest first (`labels` known then, the pool's mean `confidence`), with the test-then-train
    rows that were answered from then on until the next."""
    counts = [float(survey["labels"]) for survey in surveys]
    gaps: list[list[float]] = [[] for _ in surveys]
    for row in rows:
        place = bisect_right(counts, row.labels) - 1
        if row.control == control and place >= 0:
            gaps[place].append(row.confidence - float(row.correct))
    return [
        Stage(
            labels,
            float(survey["confidence"]),
            len(gap),
            float(np.mean(gap)) if gap else 0.0,
            float(np.var(gap)) if gap else 0.2,
        )
        for labels, survey, gap in zip(counts, surveys, gaps, strict=True)
    ]


def f1_stages_of(surveys: Sequence[SurveyMean], rows: Sequence[EvidenceRow], control: str) -> list[Stage]:
    """The same for the F1 of marked spans; `confidence` is the F1 that the version expected."""
    counts = [float(survey["labels"]) for survey in surveys]
    tests: list[list[tuple[float, float, int, int, int]]] = [[] for _ in surveys]
    for row in rows:
        place = bisect_right(counts, row.labels) - 1
        if row.control == control and place >= 0 and row.marked is not None and row.marked.expected is not None:
            shown, hits = row.marked.shown, sum(right for *_, right in row.marked.shown)
            likely = sum(score for _, score, _ in shown)
            tests[place].append((likely, row.marked.expected, hits, len(row.marked.drawn), len(shown)))
    return [
        Stage(labels, float(survey["confidence"]), *_f1_gap(own), deviation=F1_DEVIATION)
        for labels, survey, own in zip(counts, surveys, tests, strict=True)
    ]


def _f1_gap(tests: Sequence[tuple[float, float, int, int, int]]) -> tuple[int, float, float]:
    """(Texts, the F1 that was expected of them less the one that came, its variance a text: a ratio's, linearised)."""
    if not tests:
        return 0, 0.0, 0.2
    likely, expected, hits, drawn, shown = np.array(tests, dtype=float).T
    parts = []
    for right, there in ((likely, expected), (hits, drawn)):
        sizes = shown + there
        f1 = 2 * right.sum() / max(sizes.sum(), 1e-9)
        parts.append((f1, (2 * right - f1 * sizes) / max(sizes.mean(), 1e-9)))
    (told, their), (came, ours) = parts
    return len(tests), float(told - came), float(np.var(their - ours))


def needs_of_classes(counts: Mapping[str, int]) -> dict[str, int]:
    """Labels that each scarce class lacks to ENOUGH_CLASS_LABELS, the scarcest first."""
    lacking = {
        label: ENOUGH_CLASS_LABELS - int(count) for label, count in counts.items() if count < ENOUGH_CLASS_LABELS
    }
    return dict(sorted(lacking.items(), key=lambda item: (-item[1], item[0])))


def _fit(y: Floats, shape: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Log-likelihood and best level [S, D] of the curves, the level integrated out."""
    precision = 1 / variance
    level = ((y - shape) * precision).sum(-1) / precision.sum()
    misfit = (precision * (y - shape - level[..., None]) ** 2).sum(-1)
    return 0.5 * (np.log(precision).sum() - np.log(precision.sum()) - misfit), level
