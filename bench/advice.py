"""Judges the advice: stop forecast, auto-accept dial and copying rate, against what real heads then did.

    python -m bench.advice [--data DIR] [--sets agnews,sst2] [--seeds 3] [--replays 10] [--pool 4000] [--labels 1536]
                           [--copying-labels 1000,1536] [--blind .05,.2] [--priors] [--cache DIR] [--json]
    python -m bench.advice --drift [as above]
    python -m bench.advice --spans [--sets wikigold,snips] [--labels 512] [as above]

Of each set and seed one random and one active order are followed (bench/support/replays.py); streams of test-then-train
rows are drawn from them. `bar` is the goal; `share` of the replays in which it was met. --priors: only what has a
prior, each set judged with the prior that the other sets give: the stop forecast, and what served confidences miss (the
copying rate's). With --cache trajectories are kept for the next run.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit

from backend.settings.settings import load_settings
from backend.simulate.trainer import Workplace
from bench.learning import find_sets
from bench.support.replays import EXPLORED, STAGES, Trajectory, follow, open_rows
from bench.support.report import LIST_OF_COUNTS, LIST_OF_SHARES, command, judge, show
from bench.support.span_replays import draw_rows, follow_spans, judge_drift, stages_of_f1, true_curve
from bench.support.spans import find_span_sets
from bench.support.texts import DATA, expect_sets
from model.encoder.encoder import Encoder, find_base_model
from model.evidence.anchoring_bias import MISS_PRIORS, estimate_anchoring
from model.evidence.auto_accept import choose_rows, find_threshold, tests_needed
from model.evidence.forecast import SLOPE_PRIOR, Forecast, Stage, fit_forecast, runs_ahead
from model.features.cache import CachedEncoder, FeatureCache
from model.interfaces import Embedder

Row = dict[str, Any]

GAINS = (0.01, 0.02)
TARGETS = (0.9, 0.95, 0.98)
SPAN_TARGETS = (0.6, 0.7, 0.8, 0.9, 0.95)
"""Whole texts, right to the character, are accepted at such accuracies."""

RATES = (0.0, 0.3, 0.6)
FACTOR = 1.5
NEAR = 0.05
LAST = 3
"""Stages that are drawn from again, with other kinds and copies, where more labels are asked for than were followed."""

FIRST = 64
"""Labels from which advice is judged."""


def judge_forecast(
    group: Sequence[Trajectory], replays: int, prior: tuple[float, float] = SLOPE_PRIOR
) -> Iterator[Row]:
    """Labels to a gain, foreseen at every stage up to half of what was followed. What lies beyond the last label is
    right when a number beyond it (over the factor) was told, "more than N" when it is more (over the factor).
    `told`: the share of the replays in which anything was; the others count nowhere."""
    labels, curve = true_curve(group)
    for gain in GAINS:
        near: list[bool] = []
        more: list[bool] = []
        held: list[bool] = []
        asked = 0
        for seed, trajectory in enumerate(group):
            for stage in np.flatnonzero((trajectory.counts >= FIRST) & (2 * trajectory.counts <= labels[-1])):
                now = int(trajectory.counts[stage])
                reached = labels[curve >= curve[now - labels[0]] + gain]
                random = np.random.default_rng([seed, stage])
                for _ in range(replays):
                    asked += 1
                    forecast = _foresee(trajectory, int(stage), random, prior)
                    if forecast is None:
                        continue
                    told = forecast.labels_to(gain)
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
        row = {"what": "labels to", "of": f"+{gain:.0%}", "replays": asked, "share": _mean(near)}
        extra = {"additional": _mean(more), "in 80 %": _mean(held), "told": round(len(near) / max(1, asked), 3)}
        yield {**row, **extra, **judge(float(np.mean(near)) if near else 1.0, ">=", 0.8)}


def _foresee(
    trajectory: Trajectory, stage: int, random: np.random.Generator, prior: tuple[float, float]
) -> Forecast | None:
    """None where nothing is told."""
    rows = draw_rows(trajectory, stage, random)
    if trajectory.marked:
        marked = stages_of_f1(trajectory, stage, rows)
        return None if runs_ahead(marked) else fit_forecast(marked, prior)
    stages = []
    for number in range(stage + 1):
        labels = int(trajectory.counts[number])
        gap = [row.confidence - row.correct for row in rows if row.labels == labels]
        mean = float(trajectory.confidences[number, open_rows(trajectory, number)].mean())
        stages.append(Stage(labels, mean, len(gap), *((np.mean(gap), np.var(gap)) if gap else ())))
    return fit_forecast(stages, prior)


def judge_acceptance(group: Sequence[Trajectory], replays: int, targets: Sequence[float] = TARGETS) -> Iterator[Row]:
    """How often what is accepted reaches its target; what of the pool that is, and what could have been: with the best
    threshold, known in hindsight (`tests` over it, median, and the ones all right that would prove it), and with a
    perfect score."""
    for target in targets:
        kept, found, share, best, perfect, tested, needed = [], [], [], [], [], [], []
        for seed, trajectory in enumerate(group):
            for stage in np.flatnonzero(trajectory.counts >= FIRST):
                waiting, random = open_rows(trajectory, int(stage)), np.random.default_rng([seed, stage])
                if trajectory.marked:  # texts without a suggestion are left to people
                    waiting = waiting[trajectory.answers[stage, waiting] > 0]
                confidences, right = trajectory.confidences[stage, waiting], trajectory.correct[stage, waiting]
                best.append(_best_share(confidences, right, target))
                perfect.append(min(1.0, float(right.mean()) / target))
                count = round(best[-1] * len(waiting))
                over = float(np.sort(confidences)[-count]) if count else np.inf
                needed.append(tests_needed(max(1, count), target))
                for _ in range(replays):
                    rows = draw_rows(trajectory, int(stage), random)
                    tests = choose_rows(rows, "label", int(trajectory.counts[stage]))
                    dial = find_threshold(
                        [row.confidence for row in tests],
                        [row.correct for row in tests],
                        list(confidences),
                        target,
                    )
                    tested.append(sum(row.confidence >= over for row in tests))
                    found.append(dial.threshold is not None)
                    share.append(dial.share)
                    accepted = right[confidences >= dial.threshold] if dial.threshold is not None else np.ones(1)
                    kept.append(bool(accepted.mean() >= target))
        row = {"what": "accept", "of": target, "replays": len(kept), "share": _mean(kept)}
        shares = {"found": _mean(found), "covers": _mean(share), "could cover": _mean(best)}
        tries = {"tests": round(float(np.median(tested))), "needed": round(float(np.median(needed)))}
        hindsight = {"perfect": _mean(perfect), **tries}
        yield {**row, **shares, **hindsight, **judge(float(np.mean(kept)), ">=", 0.95)}


def _best_share(confidences: NDArray[Any], right: NDArray[Any], target: float) -> float:
    ordered = right[np.argsort(-confidences, kind="stable")]
    reached = np.flatnonzero(np.cumsum(ordered) / np.arange(1, len(ordered) + 1) >= target)
    return float(reached[-1] + 1) / len(ordered) if len(reached) else 0.0


def judge_anchoring(
    group: Sequence[Trajectory],
    replays: int,
    counts: Sequence[int],
    blind: float,
    priors: tuple[float, float, float] = MISS_PRIORS,
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


Groups = Mapping[tuple[str, str], Sequence[Trajectory]]

SLOPES, SPREADS = (0.06, 0.1, 0.17, 0.25, 0.4), (0.4, 0.8, 1.6)
"""Medians and log standard deviations that are tried."""


def judge_priors(groups: Groups, replays: int) -> Iterator[dict[str, Any]]:
    """For each set the prior that is best on the other sets, and its share of good forecasts on this one, by gain."""
    shares = {
        prior: {
            key: [float(row["share"]) for row in judge_forecast(group, replays, prior)] for key, group in groups.items()
        }
        for prior in itertools.product(SLOPES, SPREADS)
    }
    left_out: list[list[float]] = []
    for name in sorted({name for name, _ in groups}):
        prior = max(shares, key=lambda prior, name=name: _mean_elsewhere(shares[prior], name))  # type: ignore[misc]
        mine = {order: share for (of, order), share in shares[prior].items() if of == name}
        left_out += mine.values()
        for order, found in mine.items():
            row: dict[str, Any] = {
                "what": "labels to, prior of the other sets",
                "set": name,
                "order": order,
                "prior": str(prior),
            }
            yield row | {f"+{gain:.0%}": share for gain, share in zip(GAINS, found, strict=True)}
    for gain, share in zip(GAINS, np.mean(left_out, axis=0), strict=True):
        row = {"what": "labels to, prior of the other sets", "set": "all", f"+{gain:.0%}": round(float(share), 3)}
        yield row | judge(float(share), ">=", 0.8)


def _mean_elsewhere(shares: Mapping[tuple[str, str], list[float]], name: str) -> float:
    return float(np.mean([share for (of, _), share in shares.items() if of != name]))


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


ORDERS = ("random", "margin_clusters")


def _names(args: argparse.Namespace) -> Sequence[str]:
    return args.sets.split(",") if args.sets else ()


def run_spans(args: argparse.Namespace, cache: Path) -> Iterator[dict[str, Any]]:
    """What forecasts of F1 and accepting texts with spans come to."""
    stages, found = [count for count in STAGES if count <= args.labels], dict[tuple[str, str], list[Trajectory]]()
    with tempfile.TemporaryDirectory() as scratch:
        place = Workplace(load_settings(), Path(scratch), cache / "features", 1)
        for name, data in expect_sets(find_span_sets(args.data, _names(args)), args.data).items():
            for seed, order in itertools.product(range(args.seeds), ORDERS):
                path = cache / f"{name}-{order}-{seed}.npz"
                if not path.exists():
                    follow_spans(data, order, seed, place.span_tools(), stages).save(path)
                found.setdefault((name, order), []).append(Trajectory.load(path))
        place.close()
    for (name, order), group in found.items():
        about = {"set": name, "order": order}
        yield from ({**about, **row, "what": "texts to F1"} for row in judge_forecast(group, args.replays))
        yield from ({**about, **row} for row in judge_acceptance(group, args.replays, SPAN_TARGETS))


def find_trajectories(args: argparse.Namespace, base: Embedder, cache: Path) -> Iterator[tuple[str, str, Trajectory]]:
    """(set, order, trajectory) of every set, order and seed."""
    stages = [count for count in STAGES if count <= args.labels]
    for name, data in expect_sets(find_sets(args.data, _names(args)), args.data).items():
        for seed in range(args.seeds):
            for order in ORDERS:
                path = cache / f"{name}-{order}-{seed}.npz"
                if not path.exists():
                    part = replace(data, train=data.train[: args.pool])
                    follow(part, order, seed, base, stages, tell=lambda text: None).save(path)
                yield name, order, Trajectory.load(path)


def run(args: argparse.Namespace, base: Embedder, cache: Path) -> Iterator[dict[str, Any]]:
    """The rows of all three judgements, or those of the priors."""
    found: dict[tuple[str, str], list[Trajectory]] = {}
    for name, order, trajectory in find_trajectories(args, base, cache):
        found.setdefault((name, order), []).append(trajectory)
    if args.drift:
        for (name, order), group in found.items():
            yield from ({"set": name, "order": order, **row} for row in judge_drift(group, args.replays))
        return
    if args.priors:
        counts = [int(count) for count in args.copying_labels.split(",")]
        yield from judge_priors(found, args.replays)
        yield from judge_misses(found, args.replays, counts, [float(share) for share in args.blind.split(",")])
        return
    for (name, order), group in found.items():
        about = {"set": name, "order": order}
        yield from ({**about, **row} for row in judge_forecast(group, args.replays))
        yield from ({**about, **row} for row in judge_acceptance(group, args.replays))
        if order != "random":
            counts = [int(count) for count in args.copying_labels.split(",")]
            for blind in (float(share) for share in args.blind.split(",")):
                yield from ({**about, **row} for row in judge_anchoring(group, args.replays, counts, blind))


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--spans", action="store_true", help="F1 of spans, and accepting texts with spans")
    parser.add_argument("--sets", default="", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--replays", type=int, default=10)
    parser.add_argument("--pool", type=int, default=4000, help="rows of each set that are used")
    parser.add_argument("--labels", type=int, default=1536, help="labels that are followed")
    parser.add_argument("--copying-labels", type=LIST_OF_COUNTS, default="1000,1536")
    parser.add_argument("--blind", type=LIST_OF_SHARES, default="0.05,0.2", help="blind shares for copying")
    parser.add_argument("--priors", action="store_true", help="only what has a prior, with that of the other sets")
    parser.add_argument("--drift", action="store_true", help="only how soon drift is told, and how often for nothing")
    parser.add_argument("--cache", type=Path, help="where features and trajectories are kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = args.cache or Path(scratch)
        args.data = args.data or (DATA / "ner" if args.spans else DATA)
        if args.spans:
            show("advice on texts with spans against what came of it", list(run_spans(args, cache)), args.json)
            return
        base = CachedEncoder(Encoder(find_base_model()), FeatureCache(cache / "features", 2048))
        show("advice against what came of it", list(run(args, base, cache)), args.json)


if __name__ == "__main__":
    main()
