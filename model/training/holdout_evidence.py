"""The rows of a training that are held out, what champion and challenger answered there, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.decoding.answers import SetRules, fit_threshold
from model.evidence.gate import Verdict, compare_losses, decide_promotion
from model.head.calibration import set_rules
from model.head.fit import labels_of, target_matrix
from model.numerics.arrays import Floats
from model.numerics.holdout import is_held_out, stratified_folds
from model.numerics.metrics import log_losses, log_losses_binary
from model.numerics.temperature import HUMBLE, HUMBLE_STRENGTH, apply_temperature, fit_temperature
from model.spec import Control, Sample
from model.training.recipe import DEFAULT_RECIPE


@dataclass(frozen=True)
class HeldOut:
    """All usable rows of one control, and their split: part of each row, -1 for rows that are always trained on."""

    control: Control
    samples: list[Sample]
    labels: tuple[str, ...]
    targets: Floats
    parts: NDArray[np.int64]

    @property
    def multilabel(self) -> bool:
        """Whether answers are sets."""
        return self.control.multilabel


def split_rows(control: Control, samples: Sequence[Sample], seed: int) -> HeldOut | None:
    """The usable rows of a control and their split; None with fewer than two classes."""
    labels = labels_of(control, samples)
    usable, targets = target_matrix(labels, samples, control.multilabel)
    if len(usable) < 2 or (targets.sum(0) > 0).sum() < 2:
        return None
    if len(usable) < DEFAULT_RECIPE.hold_out_from:
        parts = stratified_folds([sample.text for sample in usable], targets, DEFAULT_RECIPE.folds, seed)
    else:
        # A ground truth is the surest evidence there is.
        parts = np.array([0 if s.ground_truth or is_held_out(s.text) else -1 for s in usable])
    return HeldOut(control, usable, labels, targets, parts)


class Evidence:
    """What head and blend answered on held-out rows of one control."""

    def __init__(self, lesson: HeldOut) -> None:
        self.lesson = lesson
        shape = lesson.targets.shape
        self.champion, self.challenger = np.zeros(shape), np.zeros(shape)
        self.rows = np.zeros(len(lesson.samples), dtype=bool)

    def add(self, part: int, champion: Floats, challenger: Floats) -> None:
        """The answers on the rows of one part."""
        rows = self.lesson.parts == part
        self.champion[rows], self.challenger[rows] = champion, challenger
        self.rows |= rows

    @property
    def temperature(self) -> float:
        """The blend's temperature, fitted on its held-out answers."""
        return self._temperature(self.challenger) if self.rows.any() else 1.0

    def is_hopeless(self, min_examples: int, seed: int) -> bool:
        """Whether the rest of the parts can be spared: the challenger is clearly worse on those answered so far."""
        if self.rows.sum() < min_examples:
            return False
        champion, challenger = self._calibrated()
        losses = log_losses_binary if self.lesson.multilabel else log_losses
        targets = self.lesson.targets[self.rows]
        return (
            compare_losses(losses(champion, targets), losses(challenger, targets), seed)[0] <= DEFAULT_RECIPE.hopeless
        )

    def judge(self, min_examples: int, seed: int) -> Verdict:
        """The gate's verdict; both sides calibrated on the same rows, so that neither has the advantage."""
        targets = self.lesson.targets[self.rows]
        sides = self._calibrated()
        champion, challenger = (self._threshold(answers) for answers in sides)
        return decide_promotion(
            sides[0],
            sides[1],
            targets,
            min_examples=min_examples,
            multilabel=self.lesson.multilabel,
            thresholds=(champion, challenger),
            seed=seed,
        )

    @property
    def rules(self) -> SetRules:
        """How the blend's sets are chosen and believed; nothing for single answers."""
        if not self.lesson.multilabel or not self.rows.any():
            return SetRules()
        return set_rules(self._calibrated()[1], self.lesson.targets[self.rows], ())

    def _threshold(self, answers: Floats) -> float:
        return fit_threshold(answers, self.lesson.targets[self.rows]) if self.lesson.multilabel else 0.5

    def _calibrated(self) -> tuple[Floats, Floats]:
        """Both sides' answers on the rows so far, each at its own temperature."""
        champion, challenger = (
            apply_temperature(answers[self.rows], self._temperature(answers), multilabel=self.lesson.multilabel)
            for answers in (self.champion, self.challenger)
        )
        return champion, challenger

    def _temperature(self, answers: Floats) -> float:
        strength, centre = (2.0, 0.0) if self.lesson.multilabel else (HUMBLE_STRENGTH, HUMBLE)
        return fit_temperature(
            answers[self.rows],
            self.lesson.targets[self.rows],
            prior_strength=strength,
            centre=centre,
            multilabel=self.lesson.multilabel,
        )
