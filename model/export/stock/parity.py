"""Whether a stock directory, read by a pipeline of transformers, answers as the version does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from model.evidence.learning_curve import wilson_interval
from model.export.parity import Limits, Parity
from model.export.stock.outputs import Outputs
from model.numerics.arrays import Floats
from model.spec import Json, Sample, Text
from model.versions.live_model import LiveModel

STOCK_LIMITS: Limits = (0.97, 0.03)
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Accuracy:
    """On `n` labelled texts that were not distilled on: share right (of marked text the F1 of spans, by `measure`), its
    95 % interval, and the version's own (it has learned from these labels)."""

    n: int
    accuracy: float
    low: float
    high: float
    version: float
    measure: str = "accuracy"

    def to_json(self) -> Mapping[str, Json]:
        return asdict(self)


class Stock:
    """A directory behind the pipeline that users have. `names`: its outputs, in the order of columns."""

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        from transformers import pipeline
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.names = tuple(names)
        self._pipeline = pipeline(
            "text-classification",
            model=str(directory),
            tokenizer=str(directory),
            device="cpu",
            trust_remote_code=False,
        )

    def answers(self, texts: Sequence[Text]) -> Floats:
        """Probabilities [n, K]."""
        inputs = [text[0] if len(text) == 1 else {"text": text[0], "text_pair": "\n".join(text[1:])} for text in texts]
        said = [self._pipeline(one, top_k=None, truncation=True) for one in inputs]
        rows = [{item["label"]: item["score"] for item in one} for one in said]
        return np.array([[row[name] for name in self.names] for row in rows]).reshape(len(texts), len(self.names))


def measure_stock(model: LiveModel, outputs: Outputs, directory: Path, texts: Sequence[Text]) -> Parity:
    """The directory's answers to texts beside the version's. Raises ValueError without texts."""
    if not texts:
        raise ValueError("parity needs texts")
    stock = Stock(directory, outputs.names)
    began = time.process_time()
    rows = stock.answers(texts)
    middle = time.process_time()
    own = np.asarray(model.scores(outputs.control.name, texts), dtype=float)
    ended = time.process_time()
    same = [set(outputs.chosen(row)) == set(outputs.served(one)) for row, one in zip(rows, own, strict=True)]
    apart = np.abs(rows - outputs.answers(model, texts))
    return Parity(
        WEIGHTS,
        len(texts),
        float(np.mean(same)),
        float(apart.mean()),
        float(apart.max()),
        round(1000 * (middle - began) / len(texts), 3),
        round(1000 * (ended - middle) / len(texts), 3),
        round((directory / WEIGHTS).stat().st_size / 1e6, 1),
    )


def measure_accuracy(model: LiveModel, outputs: Outputs, directory: Path, samples: Sequence[Sample]) -> Accuracy | None:
    """None without labelled texts."""
    usable = [sample for sample in samples if _truth(outputs, sample) is not None]
    if not usable:
        return None
    texts, truths = [sample.text for sample in usable], [_truth(outputs, sample) for sample in usable]
    stock = Stock(directory, outputs.names).answers(texts)
    own = np.asarray(model.scores(outputs.control.name, texts), dtype=float)
    right = [set(outputs.chosen(row)) == truth for row, truth in zip(stock, truths, strict=True)]
    theirs = [set(outputs.served(row)) == truth for row, truth in zip(own, truths, strict=True)]
    share = float(np.mean(right))
    low, high = wilson_interval(share, len(usable))
    return Accuracy(len(usable), round(share, 4), round(low, 4), round(high, 4), round(float(np.mean(theirs)), 4))


def _truth(outputs: Outputs, sample: Sample) -> set[str] | None:
    """What people agree on; None where they know another label, or none."""
    if outputs.several:
        return {key for key, share in sample.target.items() if share >= 0.5 and key in outputs.keys}
    best = max(sample.target, key=lambda key: sample.target[key], default=None)
    return {best} if best in outputs.keys else None
