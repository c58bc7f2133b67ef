"""What served confidences miss (the copying rate's prior), and the rate judged with the misses of the other sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit

from bench.advice.replays import judge_anchoring, open_rows
from bench.support.replays import Trajectory

Groups = Mapping[tuple[str, str], Sequence[Trajectory]]
Misses = tuple[float, float, float]

NAMES = ("everywhere", "per unit of log-odds", "chosen tasks")
RIDGE = 1e-3
"""Keeps the fit finite where the model is never wrong."""


def measure_misses(trajectory: Trajectory) -> Misses:
    """What the confidence misses, in log-odds of a wrong answer, as `model/evidence/anchoring_bias.py` has it: one fit
    to all tasks that were chosen and, as the random ones, to all that were open, at each stage as many as were
    labelled there."""
    offsets, wrongs, chosen, weights = [], [], [], []
    for stage in range(len(trajectory.counts) - 1):
        span = slice(trajectory.counts[stage], trajectory.counts[stage + 1])
        picked = trajectory.order[span][~(trajectory.blind[span] | trajectory.explored[span])]
        free = open_rows(trajectory, stage)
        for rows, kind, weight in ((picked, 1.0, 1.0), (free, 0.0, (span.stop - span.start) / len(free))):
            offsets.append(logit(np.clip(1 - trajectory.confidences[stage, rows], 0.005, 0.995)))
            wrongs.append(~trajectory.correct[stage, rows])
            chosen.append(np.full(len(rows), kind))
            weights.append(np.full(len(rows), weight))
    offset, wrong, weight = np.concatenate(offsets), np.concatenate(wrongs), np.concatenate(weights)
    design = np.stack([np.ones_like(offset), offset, np.concatenate(chosen)], axis=1)

    def loss(miss: NDArray[Any]) -> float:
        logits = offset + design @ miss
        return float((weight * (np.logaddexp(0, logits) - wrong * logits)).sum() + RIDGE * (miss**2).sum())

    level, slope, shift = minimize(loss, np.zeros(3)).x
    return float(level), float(slope), float(shift)


def judge_misses(
    groups: Groups, replays: int, counts: Sequence[int], blind: Sequence[float]
) -> Iterator[dict[str, Any]]:
    """The misses of each set (root mean square over its seeds), of all, and the copying rate judged on each set with
    the misses of the other ones as its prior."""
    active = {name: group for (name, order), group in groups.items() if order != "random"}
    squares = {name: np.mean([np.square(measure_misses(t)) for t in group], axis=0) for name, group in active.items()}
    for name, square in {**squares, "all": np.mean(list(squares.values()), axis=0)}.items():
        values = zip(NAMES, np.sqrt(square), strict=True)
        yield {"what": "confidence misses", "set": name} | {key: round(float(value), 3) for key, value in values}
    for name, group in active.items():
        others = [square for other, square in squares.items() if other != name]
        if not others:
            continue
        level, slope, shift = np.sqrt(np.mean(others, axis=0))
        for share in blind:
            about = {"set": name, "prior": f"({level:.2f}, {slope:.2f}, {shift:.2f})"}
            for row in judge_anchoring(group, replays, counts, share, (level, slope, shift)):
                yield {**about, **row, "what": "copying, prior of the other sets"}
