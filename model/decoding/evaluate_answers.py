"""Measures of served answers on test samples: what `understudy simulate` and the benches print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from model.decoding.answers import AnswerRules, decide
from model.numerics.arrays import Floats
from model.numerics.metrics import expected_calibration_error, log_losses, log_losses_binary, macro_f1, micro_f1
from model.spec import NONE, Control, Sample


def measure(control: Control, rules: AnswerRules, probabilities: Floats, samples: Sequence[Sample]) -> dict[str, float]:
    """accuracy (sets: exact match), macro_f1, ece (15 bins, of the score that is served with the answer), log_loss,
    and micro_f1 for sets, of probabilities [n, K] in the order of `rules.labels`.

    A label that the columns lack counts as never answered."""
    labels = list(dict.fromkeys([*rules.labels, *(key for sample in samples for key in sample.target)]))
    column = {label: index for index, label in enumerate(labels)}
    several = control.multilabel
    shape = (len(samples), len(labels))
    targets, chosen, scores = np.zeros(shape), np.zeros(shape, dtype=bool), np.zeros(len(samples))
    for row, sample in enumerate(samples):
        for key, share in sample.target.items():
            targets[row, column[key]] = share
        answer = decide(control, rules, probabilities[row])
        if answer is not None:
            said = answer.chosen or (() if several or NONE not in column else (NONE,))
            chosen[row, [column[key] for key in said]] = True
            scores[row] = answer.score
    true = targets >= 0.5 if several else np.eye(len(labels), dtype=bool)[_tops(samples, column)]
    correct = (chosen == true).all(1)
    wide = np.pad(probabilities, ((0, 0), (0, len(labels) - probabilities.shape[1])))
    losses = (log_losses_binary if several else log_losses)(wide, targets)
    found = {
        "accuracy": float(correct.mean()),
        "macro_f1": macro_f1(chosen, true),
        "ece": expected_calibration_error(scores, correct),
        "log_loss": float(losses.mean()),
    }
    return found | ({"micro_f1": micro_f1(chosen, true)} if several else {})


def _tops(samples: Sequence[Sample], column: Mapping[str, int]) -> list[int]:
    return [column[sample.top] for sample in samples]
