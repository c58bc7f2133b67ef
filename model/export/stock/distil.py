"""A student of a version: an encoder with one cosine head, taught the version's soft answers (Hinton et al. 2015)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.encoder.encoder import Encoder
from model.encoder.engine import training_kernel, training_precision
from model.encoder.windows import Windows
from model.export.stock.classifier import CosineHead
from model.numerics.arrays import Floats, normalise
from model.numerics.metrics import log_losses, log_losses_binary
from model.numerics.temperature import fit_temperature
from model.pretrained.reading import read_window
from model.spec import Text
from model.training.distributed import alone
from model.training.recipe import DEFAULT_RECIPE
from model.training.training_set import TrainingSet
from model.training.tuner import FineTuner

WATCHED_SHARE, MOST_WATCHED = 0.1, 200
"""Share of the texts, and most of them, that are not learned but looked at: when to stop, and how sure to be."""

EPOCHS, LEAST_STEPS, MOST_STEPS = 8, 200, 2000

PILOT_STEPS = 4
"""By which it is found out how many steps there is time for."""

LEAST_SHARE, RIDGE = 1e-4, 0.3
"""Of the first head, a ridge regression to the logarithms of answers: the least that counts, and its penalty."""


@dataclass(frozen=True)
class SoftTargets:
    """What is taught: `answers` [n, K] of the version to `texts` [n], by the outputs `names` [K]; `several`: sets."""

    names: tuple[str, ...]
    several: bool
    texts: Sequence[Text]
    answers: Floats


@dataclass(frozen=True)
class Student:
    """The encoder that has learned, its head at the temperature that fits, and how long it took."""

    encoder: Encoder
    head: CosineHead
    steps: int
    seconds: float


class Tell(Protocol):
    """Takes a line for people, and while steps are counted how far it is."""

    def __call__(self, line: str, step: int = 0, of: int = 0) -> None: ...


def tell_nobody(line: str, step: int = 0, of: int = 0) -> None:
    """Of whoever does not want to know."""


@dataclass(frozen=True)
class Budget:
    """With what and for how long: `start`, the encoder to begin with; `scratch`, a file for what it learns; `seconds`
    at most; `precision` as the setting has it; `timings`: folder where what `auto` found is kept."""

    base: Encoder
    start: Encoder
    scratch: Path
    seconds: float
    seed: int = 0
    threads: int = 1
    precision: str = "fp32"
    timings: Path | None = None


def distil(soft: SoftTargets, budget: Budget, tell: Tell = tell_nobody) -> Student:
    """Teaches the upper layers and a head. Raises ValueError for fewer than two texts."""
    began = time.monotonic()
    if len(soft.texts) < 2:
        raise ValueError("a student needs texts")
    texts = _first_windows(budget.base, soft.texts)
    order = np.random.default_rng(budget.seed).permutation(len(texts))
    watched = order[: max(1, min(MOST_WATCHED, round(WATCHED_SHARE * len(texts))))]
    learned = order[len(watched) :]
    tuner = _tuner(soft, budget, texts, learned)
    held = [texts[row] for row in watched]
    loss = log_losses_binary if soft.several else log_losses
    seen: list[float] = []

    def look() -> bool:
        seen.append(float(loss(tuner.answers(0, held), soft.answers[watched]).mean()))
        return DEFAULT_RECIPE.should_stop(seen)

    ended = teach(tuner, len(learned), budget.seconds - (time.monotonic() - began), look, tell)
    tuner.save_encoder(budget.scratch)
    encoder = Encoder(budget.base.directory, weights=budget.scratch, base=budget.base)
    head = _calibrated(soft, tuner, encoder, held, soft.answers[watched])
    return Student(encoder, head, ended, time.monotonic() - began)


def teach(
    tuner: FineTuner, texts: int, seconds: float, look: Callable[[], bool], tell: Tell, *, marks: bool = False
) -> int:
    """Runs as many steps as so many texts want and there is time for, or until `look` says so; how many they were.
    `marks`: the texts are marked ones."""
    began, share = time.monotonic(), int(marks)
    tuner.run(PILOT_STEPS, lambda step, loss: None, marked=share * PILOT_STEPS)
    pace = (time.monotonic() - began) / PILOT_STEPS
    batch = tuner.recipe.marked_batch if marks else tuner.recipe.batch
    wanted = min(MOST_STEPS, max(LEAST_STEPS, round(EPOCHS * texts / batch)))
    left = seconds - (time.monotonic() - began)
    steps = max(1, min(wanted, int(left / max(pace, 1e-6))))
    short = "" if steps == wanted else f" ({wanted} would be better: there is no time for them)"
    teaching = f"teaching {texts} texts in {steps} steps, {steps * pace:.0f} s at most{short}"
    tell(teaching)
    return tuner.run(steps, lambda step, loss: tell(teaching, step, steps), watch=look, marked=share * steps)


def _tuner(soft: SoftTargets, budget: Budget, texts: Sequence[Text], learned: NDArray[np.int64]) -> FineTuner:
    base = budget.base
    tokens = read_window(base.directory, base.config)
    recipe = replace(DEFAULT_RECIPE, tokens=tokens, contrast=0.0, balanced_classes=0, token_share=1.0)
    shown = [texts[row] for row in learned]
    start = _first_head(budget.start.embed(shown)[:, -1], soft.answers[learned], soft.several)
    rows = TrainingSet("student", soft.names, soft.several, shown, soft.answers[learned], np.ones(len(shown)), start)
    precision = training_precision(budget.precision, base.config, alone().device, budget.timings)
    return FineTuner(
        base.directory,
        [rows],
        seed=budget.seed,
        threads=budget.threads,
        recipe=recipe,
        precision=precision,
        kernel=training_kernel(precision, base.config, alone().device, budget.timings),
        weights=budget.start.weights,
    )


def _first_windows(encoder: Encoder, texts: Sequence[Text]) -> list[Text]:
    """As much of each text as a stock classifier reads of it. Pairs are cut by the tokenizer alone."""
    windows = Windows(encoder.directory, read_window(encoder.directory, encoder.config))
    before, after = windows.frame
    most = windows.length - len(before) - len(after)
    found: list[Text] = []
    for text in texts:
        offsets = windows.pieces(text)[0].offsets if len(text) == 1 else []
        found.append((text[0][: offsets[most - 1][1]],) if len(offsets) > most else text)
    return found


def _first_head(embeddings: Floats, answers: Floats, several: bool) -> Floats:
    """Coefficients [K, width] that come as near to the answers as a line can."""
    unit = normalise(np.asarray(embeddings, dtype=np.float64))
    logs = np.log(np.clip(answers, LEAST_SHARE, 1.0))
    wanted = logs - np.log(np.clip(1 - answers, LEAST_SHARE, 1.0)) if several else logs - logs.mean(1, keepdims=True)
    penalty = RIDGE * np.eye(unit.shape[1])
    return np.asarray(np.linalg.solve(unit.T @ unit + penalty, unit.T @ wanted).T)


def _calibrated(
    soft: SoftTargets, tuner: FineTuner, encoder: Encoder, texts: Sequence[Text], answers: Floats
) -> CosineHead:
    found = tuner.heads({"student": 1.0}, {"student": 1.0})["student"]
    head = CosineHead(soft.names, soft.several, found.coefficients, found.bias)
    said = head.scores(encoder.embed(list(texts))[:, -1])
    return head.at(fit_temperature(said, answers, multilabel=soft.several))
