"""What hunting does to estimates: none, as long as what was hunted is left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from backend.rules.notice.drift import find_drift
from model.acquisition.batch import plan_batch
from model.acquisition.rare_classes import ClassHunt
from model.acquisition.strategies import Pool
from model.evidence.auto_accept import find_threshold
from model.evidence.learning_curve import learning_curve, tally
from model.evidence.pool_accuracy import estimate_accuracy, summarise_pool
from model.evidence.report.reliability import measure_reliability
from model.evidence.row import EvidenceRow, Judgement
from model.numerics.arrays import Floats
from tests.support.next_place import next_place

SHARES = np.array([0.48, 0.3, 0.14, 0.05, 0.03])
TASKS, LABELS, SIZE = 1500, 300, 32
SEEDS = range(10)


@dataclass(frozen=True)
class Labelled:
    """Rows in the order of the labels; what is left unlabelled, by confidence and whether the answer is right."""

    rows: list[EvidenceRow]
    sure: Floats
    right: Floats

    def fair(self) -> list[EvidenceRow]:
        return [row for row in self.rows if not row.hunted]


@cache
def label(seed: int, hunted: int) -> Labelled:
    """A project labelled through the queue, with so many places of a batch for scarce classes. The model knows little
    of those: where it gives them a chance its answers are wrong more often than others of the same confidence."""
    generator = np.random.default_rng(seed)
    chances = generator.dirichlet(6 * SHARES, TASKS)
    unsound = np.minimum(1.0, 2 * chances[:, 3:].sum(1, keepdims=True))
    real = (1 - unsound) * chances + unsound * SHARES[::-1]
    truth = np.array([generator.choice(5, p=row / row.sum()) for row in real])
    sure, right = chances.max(1), chances.argmax(1) == truth
    tasks, features = np.arange(TASKS, dtype=np.int64), generator.standard_normal((TASKS, 8))
    done: list[int] = []
    rows: list[EvidenceRow] = []
    counts: Counter[int] = Counter()
    asked, found = Counter[int](), Counter[int]()
    while len(done) < LABELS:
        pool = Pool(chances, features, np.array(done, dtype=np.int64))
        hunts = [ClassHunt(0, own, counts[own], 60, asked[own], found[own]) for own in range(5)]
        places = plan_batch(
            [pool],
            tasks,
            sure,
            project=seed,
            strategy="margin",
            size=SIZE,
            blind_share=0.05,
            explore_share=0.05,
            seed=len(done),
            hunts=hunts,
            hunted=hunted,
        )
        solved, taken = Counter[int | None]({None: len(done)}), set[int]()
        for _ in range(SIZE // 2):
            place = next_place(places, solved, taken)
            assert place is not None
            own = int(truth[place.row])
            taken.add(place.task)
            solved[place.cluster] += 1
            counts[own] += 1
            if place.hunt is not None:
                asked[place.hunt] += 1
                found[place.hunt] += own == place.hunt
            judged = Judgement(float(sure[place.row]), bool(right[place.row]), 0.5)
            rows.append(EvidenceRow("c", judged, labels=len(done), at=1.0 + len(rows), hunted=place.role == "hunt"))
        done += sorted(taken)
    rest = np.setdiff1d(tasks, done)
    return Labelled(rows, sure[rest], right[rest].astype(float))


def estimate(rows: list[EvidenceRow], labelled: Labelled) -> float:
    """What is expected of unlabelled tasks, less what is true of them."""
    told = estimate_accuracy([r.confidence for r in rows], [r.correct for r in rows], summarise_pool(labelled.sure))
    assert told is not None
    return float(told["accuracy"] - labelled.right.mean())


def gap(rows: list[EvidenceRow]) -> float:
    return float(np.mean([row.confidence - row.correct for row in rows]))


def test_the_accuracy_expected_of_unlabelled_tasks_is_as_true_as_without_hunting() -> None:
    plain = [estimate(label(seed, 0).fair(), label(seed, 0)) for seed in SEEDS]
    left_out = [estimate(label(seed, 8).fair(), label(seed, 8)) for seed in SEEDS]
    counted = [estimate(label(seed, 8).rows, label(seed, 8)) for seed in SEEDS]
    assert abs(np.mean(plain)) < 0.04 and abs(np.mean(left_out)) < 0.04
    assert np.mean(counted) < np.mean(left_out) - 0.03, "what is hunted would make it look worse"


def test_calibration_curve_and_drift_are_those_of_other_tasks() -> None:
    with_it, without = [label(seed, 8) for seed in SEEDS], [label(seed, 0) for seed in SEEDS]
    usual = np.mean([gap(own.rows) for own in without])
    assert abs(np.mean([gap(own.fair()) for own in with_it]) - usual) < 0.03
    assert np.mean([gap(own.rows) for own in with_it]) > usual + 0.02

    def error(rows: list[EvidenceRow]) -> float:
        return measure_reliability([row.confidence for row in rows], [row.correct for row in rows]).error

    assert np.mean([error(own.fair()) - error(plain.rows) for own, plain in zip(with_it, without, strict=True)]) < 0.03
    for own in with_it:
        points: list[Any] = learning_curve(tally(own.fair()))["c"]
        assert sum(point["n"] for point in points) == len(own.fair())
        assert find_drift([*label(0, 0).rows, *own.fair()]) is None


def test_what_would_be_accepted_keeps_its_promise() -> None:
    kept = []
    for seed in SEEDS:
        own = label(seed, 8)
        rows = own.fair()
        dial = find_threshold([r.confidence for r in rows], [r.correct for r in rows], own.sure.tolist(), 0.8)
        if dial.threshold is not None:
            kept.append(own.right[own.sure >= dial.threshold].mean() >= 0.8)
    assert sum(kept) >= len(kept) - 1
