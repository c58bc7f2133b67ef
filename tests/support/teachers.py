"""Teachers that answer as badly as asked, in place of a language model, which does not run here: simulated.

A text is mistaken for the class that it is most like after its own, and those that are most like another one are
mistaken first, so that errors go together, as a language model's do. What it says of how sure it is says little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backend.cli.simulate.progress import Progress
from backend.simulate.trainer import Workplace
from model.acquisition.strategies import choose
from model.acquisition.uncertainty import Pool
from model.features.long_texts import LabelAwarePooling
from model.interfaces import Embedder
from model.numerics.arrays import Floats, normalise
from model.simulation.dataset import Dataset
from model.simulation.replay import POOL_USED, Replay, ReplayPlan, Row, reachable, shuffled
from model.spec import Sample

ASKED = 500
"""Texts, as TEACHER_TEXTS is by itself."""

COUNTS = "0,16,64,256"

NO_TEACHER = "no teacher"

MEASURES = ("accuracy", "macro_f1", "log_loss", "ece", "refit_seconds")

HEADING = """# A teacher for the cold start, simulated

Written by `python -m bench.learning --teacher .6,.75,.9 --out DIR`: medians over the seeds. No language model ran: the
teachers are simulated (`tests/support/teachers.py`). Each answers 500 of the 1,000 pool texts, chosen for diversity;
the share that it gets right is in its name, its errors are near classes on texts that are near them.
"""

RIGHT_CONFIDENCE, WRONG_CONFIDENCE = 0.88, 0.8
"""Means of what it says of how sure it is: language models are over-confident."""

NOISE = 2.0
"""Of which texts it mistakes, beside how near they are to another class (in logits)."""


def answer(samples: Sequence[Sample], labels: Sequence[str], unit: Floats, accuracy: float, seed: int) -> list[Sample]:
    """What a teacher says to labelled texts with features [n, width] of length 1, `accuracy` of it right (of sets:
    of the decisions about the labels that there are)."""
    rng = np.random.default_rng(seed)
    truth = np.array([[label in sample.target for label in labels] for sample in samples], dtype=float)
    centres = normalise(truth.T @ unit)
    alike = 20 * unit @ centres.T + 0.5 * rng.gumbel(size=truth.shape)
    others = np.where(truth > 0, -np.inf, alike)
    near = others.max(1)
    mine = np.where(truth > 0, alike, np.inf).min(1)
    order = np.argsort(mine - near + NOISE * rng.gumbel(size=len(samples)), kind="stable")
    wrong = np.zeros(len(samples), dtype=bool)
    wrong[order[: round((1 - accuracy) * len(samples))]] = True
    said = []
    for row, sample in enumerate(samples):
        middle = WRONG_CONFIDENCE if wrong[row] else RIGHT_CONFIDENCE
        sure = float(np.clip(rng.normal(middle, 0.08), 0.5, 0.99))
        keys = [label for label in labels if label in sample.target]
        if wrong[row] and np.isfinite(near[row]):
            keys = [*keys[1:], labels[int(others[row].argmax())]]
        said.append(soften(sample, keys, labels, sure))
    return said


def soften(sample: Sample, keys: Sequence[str], labels: Sequence[str], sure: float) -> Sample:
    """The answer `keys`, of which somebody is so sure."""
    if len(keys) == 1:
        rest = (1 - sure) / max(1, len(labels) - 1)
        return replace(sample, target={label: sure if label in keys else rest for label in labels})
    return replace(sample, target={label: sure if label in keys else 1 - sure for label in labels})


def ask(data: Dataset, base: Embedder, accuracy: float, seed: int) -> list[Sample]:
    """A teacher's answers to ASKED texts of the pool of this seed."""
    pool = [sample for sample in shuffled(data.train, seed)[:POOL_USED] if sample.labelled]
    pooled = LabelAwarePooling(base, data.control).embed([sample.text for sample in pool])
    last = pooled[:, -1]
    looked = Pool(np.ones((len(pool), 2)) / 2, last, np.zeros(0, np.int64))
    chosen = choose("typiclust", looked, min(ASKED, len(pool)), seed)
    said = answer(pool, data.control.keys(), normalise(last - last.mean(0)), accuracy, seed)
    return [said[row] for row in chosen.tolist()]


def measure_teachers(
    name: str, data: Dataset, counts: Sequence[int], seed: int, args: Any, place: Workplace, done: set[Any]
) -> Iterator[Row]:
    """The rows of one set and seed that are not done: without a teacher, then with each."""
    progress = Progress()
    progress.about(f"{name}, seed {seed}")
    plan = ReplayPlan(reachable(data.labelled, counts), seed=seed)
    for accuracy in (None, *map(float, args.teacher.split(","))):
        method = f"understudy, {NO_TEACHER}" if accuracy is None else f"understudy, teacher {accuracy:.2f}"
        if all((name, method, count, seed) in done for count in plan.counts):
            continue
        said = [] if accuracy is None else ask(data, place.base, accuracy, seed)
        for row in Replay(data, plan, place.base, tell=progress.tell, teacher=said).rows():
            yield {**row, "method": method, "teacher": accuracy or 0.0}


def is_teachers(rows: Sequence[Row]) -> bool:
    """Whether these rows are of this bench."""
    return any("teacher" in row for row in rows)
