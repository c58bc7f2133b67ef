"""Streams of test-then-train rows drawn from trajectories, and what the advice made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.support.replays import BLIND, EXPLORED, Trajectory
from bench.support.report import judge
from model.evidence.anchoring_bias import PRIORS, estimate_anchoring
from model.evidence.auto_accept import choose_rows, find_threshold
from model.evidence.forecast import PRIOR, Stage, fit_forecast
from model.evidence.row import EvidenceRow, Judgement

Row = dict[str, Any]

GAINS = (0.01, 0.02)
TARGETS = (0.9, 0.95, 0.98)
RATES = (0.0, 0.3, 0.6)
FACTOR = 1.5
NEAR = 0.05
LAST = 3
"""Stages that are drawn from again, with other kinds and copies, where more labels are asked for than were followed."""

FIRST = 64
"""Labels from which advice is judged."""


def open_rows(trajectory: Trajectory, stage: int) -> NDArray[np.int64]:
    """Rows without a label at this stage, test rows included."""
    taken = trajectory.order[: trajectory.counts[stage]]
    return np.setdiff1d(np.arange(trajectory.correct.shape[1]), taken)


def draw_rows(
    trajectory: Trajectory,
    until: int,
    random: np.random.Generator,
    shares: tuple[float, float] = (BLIND, EXPLORED),
    copying: float = 0.0,
    since: int = 0,
) -> list[EvidenceRow]:
    """Test-then-train rows from stage `since` up to stage `until`. Chosen tasks are those that were chosen; the shares
    of blind and explored ones are drawn anew, and so is everything in a random order. Copiers accept a wrong pre-label.
    """
    found: list[EvidenceRow] = []
    for stage in range(since, until):
        span = slice(trajectory.counts[stage], trajectory.counts[stage + 1])
        rows, free = trajectory.order[span].copy(), open_rows(trajectory, stage)
        kind = random.choice(3, len(rows), p=[*shares, 1 - sum(shares)])
        anew = kind < 2 if trajectory.blind.any() else np.ones(len(rows), dtype=bool)
        rows[anew] = random.choice(free, anew.sum(), replace=False)
        agreed = trajectory.correct[stage, rows] | ((kind > 0) & (random.random(len(rows)) < copying))
        found += [
            EvidenceRow(
                "label",
                Judgement(float(confidence), bool(right), 0.0),
                labels=int(trajectory.counts[stage]),
                blind=bool(kind == 0),
                explore=bool(kind == 1),
            )
            for confidence, right, kind in zip(trajectory.confidences[stage, rows], agreed, kind, strict=True)
        ]
    return found


def true_curve(group: Sequence[Trajectory]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Label counts, and the accuracy on the unlabelled rows: the seeds' mean, smoothed (cubic in ln n), rising."""
    counts = group[0].counts
    mean = [np.mean([t.correct[stage, open_rows(t, stage)].mean() for t in group]) for stage in range(len(counts))]
    fitted = np.polynomial.Polynomial.fit(np.log(counts), mean, 3)
    labels = np.arange(counts[0], counts[-1] + 1)
    return labels, np.maximum.accumulate(fitted(np.log(labels)))


def judge_forecast(group: Sequence[Trajectory], replays: int, prior: tuple[float, float] = PRIOR) -> Iterator[Row]:
    """Labels to a gain, foreseen at every stage up to half of what was followed. What lies beyond the last label is
    right when a number beyond it (over the factor) was told, "more than N" when it is more (over the factor)."""
    labels, curve = true_curve(group)
    for gain in GAINS:
        near: list[bool] = []
        more: list[bool] = []
        held: list[bool] = []
        for seed, trajectory in enumerate(group):
            for stage in np.flatnonzero((trajectory.counts >= FIRST) & (2 * trajectory.counts <= labels[-1])):
                now = int(trajectory.counts[stage])
                reached = labels[curve >= curve[now - labels[0]] + gain]
                random = np.random.default_rng([seed, stage])
                for _ in range(replays):
                    told = _foresee(trajectory, int(stage), random, prior).labels_to(gain)  # type: ignore[union-attr]
                    if told["median"] is None:  # "more than": right when it is, as far as was followed
                        truth = int(reached[0]) if len(reached) else np.inf
                        near.append(bool(truth >= told["beyond"] / FACTOR))
                        held.append(bool(truth >= (told["low"] or told["beyond"])))
                        continue
                    median = told["median"]
                    if len(reached):
                        truth = int(reached[0])
                        near.append(1 / FACTOR <= median / truth <= FACTOR)
                        more.append(1 / FACTOR <= (median - now) / max(1, truth - now) <= FACTOR)
                        held.append((told["low"] or np.inf) <= truth <= (told["high"] or np.inf))
                    else:
                        near.append(median >= labels[-1] / FACTOR)
                        held.append(told["high"] is None or told["high"] >= labels[-1])
        row = {"what": "labels to", "of": f"+{gain:.0%}", "replays": len(near), "share": round(float(np.mean(near)), 3)}
        extra = {
            "additional": round(float(np.mean(more)), 3) if more else "",
            "in 80 %": round(float(np.mean(held)), 3),
        }
        yield {**row, **extra, **judge(float(np.mean(near)), ">=", 0.8)}


def _foresee(trajectory: Trajectory, stage: int, random: np.random.Generator, prior: tuple[float, float]) -> Any:
    rows = draw_rows(trajectory, stage, random)
    stages = []
    for number in range(stage + 1):
        labels = int(trajectory.counts[number])
        gap = [row.confidence - row.correct for row in rows if row.labels == labels]
        mean = float(trajectory.confidences[number, open_rows(trajectory, number)].mean())
        stages.append(Stage(labels, mean, len(gap), *((np.mean(gap), np.var(gap)) if gap else ())))
    return fit_forecast(stages, prior)


def judge_acceptance(group: Sequence[Trajectory], replays: int) -> Iterator[Row]:
    """How often what is accepted reaches its target; what of the pool that is, and what could have been."""
    for target in TARGETS:
        kept, found, share, best = [], [], [], []
        for seed, trajectory in enumerate(group):
            for stage in np.flatnonzero(trajectory.counts >= FIRST):
                waiting, random = open_rows(trajectory, int(stage)), np.random.default_rng([seed, stage])
                confidences, right = trajectory.confidences[stage, waiting], trajectory.correct[stage, waiting]
                best.append(_best_share(confidences, right, target))
                for _ in range(replays):
                    rows = draw_rows(trajectory, int(stage), random)
                    tests = choose_rows(rows, "label", int(trajectory.counts[stage]))
                    dial = find_threshold(
                        [row.confidence for row in tests],
                        [row.correct for row in tests],
                        list(confidences),
                        target,
                    )
                    found.append(dial.threshold is not None)
                    share.append(dial.share)
                    accepted = right[confidences >= dial.threshold] if dial.threshold is not None else np.ones(1)
                    kept.append(bool(accepted.mean() >= target))
        row = {"what": "accept", "of": target, "replays": len(kept), "share": _mean(kept)}
        shares = {"found": _mean(found), "covers": _mean(share)}
        yield {**row, **shares, "could cover": _mean(best), **judge(float(np.mean(kept)), ">=", 0.95)}


def _best_share(confidences: NDArray[Any], right: NDArray[Any], target: float) -> float:
    ordered = right[np.argsort(-confidences, kind="stable")]
    reached = np.flatnonzero(np.cumsum(ordered) / np.arange(1, len(ordered) + 1) >= target)
    return float(reached[-1] + 1) / len(ordered) if len(reached) else 0.0


def judge_anchoring(
    group: Sequence[Trajectory],
    replays: int,
    counts: Sequence[int],
    blind: float,
    priors: tuple[float, float, float] = PRIORS,
) -> Iterator[Row]:
    """How near the copying rate comes, and how often its interval holds the truth."""
    for count in counts:
        for rate in RATES:
            errors, held, width, wrong = [], [], [], []
            for seed, trajectory in enumerate(group):
                until, random = len(trajectory.counts) - 1, np.random.default_rng(seed)
                for _ in range(replays):
                    rows = draw_rows(trajectory, until, random, (blind, EXPLORED), rate)[:count]
                    while len(rows) < count:  # the model learns no more: its last stages go on
                        rows += draw_rows(trajectory, until, random, (blind, EXPLORED), rate, since=until - LAST)
                    found = estimate_anchoring(rows[:count], priors)
                    if found is None:
                        continue
                    low, high = found["interval"]
                    errors.append(abs(found["rate"] - rate))
                    held.append(low <= rate <= high)
                    width.append(high - low)
                    wrong.append(found["blind_wrong"])
            if errors:
                about = f"{rate:.0%}, {count} labels, blind {blind:.0%}"
                middle = round(float(np.median(errors)), 3)
                near = _mean([error <= NEAR + 1e-9 for error in errors])
                row = {"what": "copying", "of": about, "replays": len(errors), "share": near, "in 95 %": _mean(held)}
                size = {"median error": middle, "width": _mean(width), "blind wrong": round(float(np.mean(wrong)))}
                yield {**row, **size, **judge(middle, "<=", NEAR)}


def _mean(values: Sequence[Any]) -> float | str:
    return round(float(np.mean(values)), 3) if len(values) else ""
