"""A student of a version that marks text: an encoder with a linear head on word pieces, taught how likely the version
finds each tag."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.encoder.encoder import Encoder
from model.encoder.engine import training_kernel, training_precision
from model.export.stock.distil import MOST_WATCHED, WATCHED_SHARE, Budget, Tell, teach
from model.numerics.arrays import Floats
from model.numerics.metrics import log_losses
from model.numerics.temperature import fit_temperature
from model.training.distributed import alone
from model.training.marks.soft_task import SoftSet, Tags
from model.training.recipe import DEFAULT_RECIPE
from model.training.tuner import FineTuner

RECIPE = replace(DEFAULT_RECIPE, marked_batch=16)
"""A step on 16 texts: there are thousands, and answers are softer than labels."""


@dataclass(frozen=True)
class TokenStudent:
    """The encoder that has learned, its head (`weight` [K, width], `bias` [K]) at the temperature that fits, and how
    long it took."""

    encoder: Encoder
    weight: Floats
    bias: Floats
    steps: int
    seconds: float


def distil_tags(texts: Sequence[str], tags: Sequence[Tags], size: int, budget: Budget, tell: Tell) -> TokenStudent:
    """Teaches the upper layers and a head: `tags` [words, size] of each text. Raises ValueError for fewer than two
    texts."""
    began = time.monotonic()
    if len(texts) < 2:
        raise ValueError("a student needs texts")
    order = np.random.default_rng(budget.seed).permutation(len(texts))
    count = max(1, min(MOST_WATCHED, round(WATCHED_SHARE * len(texts))))
    held, learned = (_set(texts, tags, size, rows.tolist()) for rows in (order[:count], order[count:]))
    precision = training_precision(budget.precision, budget.base.config, alone().device, budget.timings)
    tuner = FineTuner(
        budget.base.directory,
        [],
        seed=budget.seed,
        threads=budget.threads,
        recipe=RECIPE,
        precision=precision,
        kernel=training_kernel(precision, budget.base.config, alone().device, budget.timings),
        weights=budget.start.weights,
        soft=learned,
    )
    watched = tuner.read_soft(held)
    seen: list[float] = []

    def look() -> bool:
        seen.append(float(log_losses(*tuner.student_answers(watched)).mean()))
        return RECIPE.should_stop(seen)

    left = budget.seconds - (time.monotonic() - began)
    steps = teach(tuner, len(learned.texts), left, look, tell, marks=True)
    tuner.save_encoder(budget.scratch)
    encoder = Encoder(budget.base.directory, weights=budget.scratch, base=budget.base)
    own = tuner.student
    assert own is not None
    temperature = fit_temperature(*tuner.student_answers(watched))
    weight, bias = (one.detach().cpu().numpy().astype(float) / temperature for one in (own.weight, own.bias))
    return TokenStudent(encoder, weight, bias, steps, time.monotonic() - began)


def _set(texts: Sequence[str], tags: Sequence[Tags], size: int, rows: Sequence[int]) -> SoftSet:
    return SoftSet([texts[row] for row in rows], [tags[row] for row in rows], size)
