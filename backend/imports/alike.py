"""Whether an imported classifier is read here as transformers' own pipeline reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.export.stock.parity import Stock
from model.spec import Control, Text
from model.training.imports.classifier import read_classifier
from model.training.imports.judge import answers_of

COMPARED = 50
"""Most texts: a reading that differs does so on each."""


@dataclass(frozen=True)
class Alike:
    """On `texts`: share for which the likeliest label is the same (of sets: all that are likelier than not), mean and
    largest difference of a probability, before the temperature that held-out labels give."""

    texts: int
    agreement: float
    mean_difference: float
    largest_difference: float


def compare(directory: Path, control: Control, texts: Sequence[Text]) -> Alike:
    """A directory that `copy_for_pipeline` made. Raises TrainingError."""
    found = read_classifier(directory, control)
    here = answers_of(found, list(texts))
    there = Stock(directory, found.names).answers(texts)
    sets = ((here >= 0.5) == (there >= 0.5)).all(1)
    same = sets if found.head.multilabel else here.argmax(1) == there.argmax(1)
    apart = np.abs(here - there)
    return Alike(len(texts), round(float(same.mean()), 4), round(float(apart.mean()), 6), round(float(apart.max()), 6))
