"""What test-then-train rows say about the confidence of the versions that served: one temperature for the next one.

Pure. A row holds what was answered to a text before its label was learned (decision 0001), before any correction, so
that corrections do not pile up. docs/decisions/0008 gives the measurements behind the numbers below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from model.evidence.row import EvidenceRow, KeptAnswer
from model.numerics.arrays import Floats

KEPT_ANSWERS = 10
"""Likeliest answers kept of each row; the others share what is left of the probability evenly."""

RECENT_ROWS = 200
"""Latest rows looked at."""

LEAST_ROWS = 40
"""Rows from which a correction is thought of."""

PRIOR_STRENGTH = 10.0
"""Weight of ln²T against the sum of the log-losses: 40 rows move T little, 200 as far as they say."""

MOST_NATS = 7.0
"""Nats that one row can cost: a slip of the mouse at p = 1e-9 must not set the temperature."""

BLOCK_ROWS = 20
"""Rows corrected with one temperature in the sequential check."""

PROOF_SHARE = 0.9
"""Share of resamples in which the corrected answers must have the lower log-loss in the sequential check."""

LOG_TEMPERATURE_BOUND = float(np.log(3.0))


@dataclass(frozen=True)
class Rows:
    """`logs` [n, M] of the kept probabilities, `targets` [n, M], and `rest` [n]: how many classes were not kept."""

    logs: Floats
    targets: Floats
    rest: Floats

    def __len__(self) -> int:
        return len(self.logs)

    def part(self, rows: slice | NDArray[np.integer | np.bool_]) -> Rows:
        """Some of the rows."""
        return Rows(self.logs[rows], self.targets[rows], self.rest[rows])

    def log_losses(self, temperature: float = 1.0) -> Floats:
        """Cross-entropy [n] after the temperature, MOST_NATS at most."""
        left = 1 - np.exp(logsumexp(self.logs, axis=1))
        share = np.log(np.maximum(left, 1e-12) / np.maximum(self.rest, 1)) / temperature
        rest = np.where(self.rest > 0, share + np.log(np.maximum(self.rest, 1)), -np.inf)
        scaled = self.logs / temperature
        scaled = scaled - np.logaddexp(logsumexp(scaled, axis=1), rest)[:, None]
        return -(np.maximum(self.targets, 0) * np.maximum(scaled, -MOST_NATS)).sum(1)


@dataclass(frozen=True)
class Correction:
    """`temperature` to apply (1.0: none) and why."""

    temperature: float
    reason: str


def keep_answers(probabilities: Floats, targets: Floats) -> KeptAnswer:
    """What a row keeps of one answer [K] to one target [K]: at most KEPT_ANSWERS labels and as many of the
    target's. `logs` of the probabilities: near 0 and near 1 they keep what rounding would take."""
    order = np.argsort(-probabilities, kind="stable")[:KEPT_ANSWERS]
    kept = np.unique(np.concatenate([order, np.flatnonzero(targets > 0)[:KEPT_ANSWERS]]))
    logs = np.log(np.clip(probabilities[kept], 1e-12, 1))
    return KeptAnswer(
        logs=tuple(round(float(x), 3) for x in logs),
        targets=tuple(round(float(x), 3) for x in targets[kept]),
        rest=int(len(probabilities) - len(kept)),
    )


def choose_rows(rows: Sequence[EvidenceRow], control: str, labels: int, blended: bool) -> list[KeptAnswer]:
    """The answers (as kept) that resemble those of the next version of `control`, oldest first: of a blend if it is one
    and else of the head alone, by models that had at least half its `labels`; the RECENT_ROWS last."""
    mine = [row for row in rows if row.control == control and 2 * row.labels >= labels]
    if blended:
        found = [row.served for row in mine if row.alone is not None and row.served is not None]
    else:
        found = [row.alone.kept if row.alone is not None else row.served for row in mine if row.served is not None]
    return found[-RECENT_ROWS:]


def read_rows(answers: Sequence[KeptAnswer]) -> Rows:
    """What `keep_answers` kept of n rows."""
    width = max((len(answer.logs) for answer in answers), default=1)
    logs, targets = np.full((len(answers), width), -np.inf), np.full((len(answers), width), -1.0)
    for index, answer in enumerate(answers):
        size = len(answer.logs)
        logs[index, :size], targets[index, :size] = answer.logs, answer.targets
    return Rows(logs, targets, np.array([float(answer.rest) for answer in answers]))


def fit_correction(rows: Rows) -> float:
    """The temperature that minimises sum of log-losses + PRIOR_STRENGTH ln²T, within [1/3, 3]."""
    from scipy.optimize import minimize_scalar  # here: who only serves has no use for its 20 MB

    if not len(rows):
        return 1.0

    def objective(log_temperature: float) -> float:
        return float(rows.log_losses(float(np.exp(log_temperature))).sum()) + PRIOR_STRENGTH * log_temperature**2

    return float(
        np.exp(
            minimize_scalar(
                objective,
                bounds=(-LOG_TEMPERATURE_BOUND, LOG_TEMPERATURE_BOUND),
                method="bounded",
                options={"xatol": 1e-3},
            ).x
        )
    )


def decide_correction(rows: Rows, seed: int = 0) -> Correction:
    """The temperature for the next version, from rows in the order in which they came; 1.0 unless it has proven itself.

    Proof: each block of the second half, corrected with what the rows before it say, has the lower log-loss."""
    if len(rows) < LEAST_ROWS:
        return Correction(1.0, f"{len(rows)} of {LEAST_ROWS} rows")
    gains = []
    for start in range(len(rows) // 2, len(rows), BLOCK_ROWS):
        block = rows.part(slice(start, start + BLOCK_ROWS))
        gains.append(block.log_losses() - block.log_losses(fit_correction(rows.part(slice(0, start)))))
    gain = np.concatenate(gains)
    resamples = np.random.default_rng(seed).integers(0, len(gain), (1000, len(gain)))
    proof = float((gain[resamples].mean(1) > 0).mean())
    if proof < PROOF_SHARE:
        return Correction(1.0, f"no proven gain ({proof:.0%} of resamples) on {len(gain)} rows")
    temperature = round(fit_correction(rows), 4)
    return Correction(temperature, f"log-loss lower by {gain.mean():.3f} on {len(gain)} rows")
