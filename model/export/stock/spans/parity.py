"""Whether a stock directory, read by a pipeline of transformers, marks text as the version does."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.export.parity import Parity
from model.export.stock.parity import WEIGHTS, Accuracy
from model.export.stock.spans.classifier import aggregation_of
from model.export.stock.spans.outputs import SpanOutputs
from model.span import ScoredSpan, Span, SpanSample
from model.spans.quality import f1_of
from model.versions.live_model import LiveModel

SHARED_TOKENS = 32
"""Of two windows of a long text: the pipeline's `stride`."""

RESAMPLES, SEED = 1000, 11
"""Of texts, for an interval of F1."""


class StockMarks:
    """A directory behind the pipeline that users have."""

    def __init__(self, directory: Path, outputs: SpanOutputs) -> None:
        from transformers import pipeline
        from transformers.utils import logging

        logging.disable_progress_bar()
        self._keys = dict(zip(outputs.names, outputs.keys, strict=True))
        self._pipeline = pipeline(
            "token-classification",
            model=str(directory),
            tokenizer=str(directory),
            device="cpu",
            trust_remote_code=False,
            aggregation_strategy=aggregation_of(directory),
            stride=SHARED_TOKENS,
        )

    def mark(self, texts: Sequence[str]) -> list[list[ScoredSpan]]:
        """What it marks in each text."""
        found = []
        for text in texts:
            said = self._pipeline(text) if text.strip() else []
            found.append(
                [
                    ScoredSpan(int(one["start"]), int(one["end"]), self._keys[one["entity_group"]], float(one["score"]))
                    for one in said
                ]
            )
        return found


def measure_span_stock(model: LiveModel, outputs: SpanOutputs, directory: Path, texts: Sequence[str]) -> Parity:
    """The directory's spans beside the version's: `agreement` is F1 of the one against the other, probabilities are
    those of spans that both mark. Raises ValueError without texts."""
    if not texts:
        raise ValueError("parity needs texts")
    stock = StockMarks(directory, outputs)
    began = time.process_time()
    given = stock.mark(texts)
    middle = time.process_time()
    wanted = outputs.marked(model, texts)
    ended = time.process_time()
    counts = _counts(given, [{one.span for one in own} for own in wanted])
    apart = []
    for theirs, ours in zip(given, wanted, strict=True):
        scores = {one.span: one.score for one in ours}
        apart += [abs(one.score - scores[one.span]) for one in theirs if one.span in scores]
    differences = np.array(apart or [0.0])
    return Parity(
        WEIGHTS,
        len(texts),
        _f1(counts.sum(0)) if counts[:, 1:].any() else 1.0,
        float(differences.mean()),
        float(differences.max()),
        round(1000 * (middle - began) / len(texts), 3),
        round(1000 * (ended - middle) / len(texts), 3),
        round((directory / WEIGHTS).stat().st_size / 1e6, 1),
        "spans",
    )


def measure_f1(
    model: LiveModel, outputs: SpanOutputs, directory: Path, samples: Sequence[SpanSample]
) -> Accuracy | None:
    """F1 of spans with their labels on labelled texts, and the version's; None where nobody marked anything in
    them. The interval is of resampled texts."""
    drawn = [{span for span in sample.spans if span.label in outputs.keys} for sample in samples]
    if not any(drawn):
        return None
    texts = [sample.text for sample in samples]
    own = _counts(StockMarks(directory, outputs).mark(texts), drawn)
    here = _counts(outputs.marked(model, texts), drawn)
    generator = np.random.default_rng(SEED)
    drawings = (own[generator.integers(0, len(own), len(own))].sum(0) for _ in range(RESAMPLES))
    low, high = np.quantile([_f1(counts) for counts in drawings], [0.025, 0.975])
    f1, version = _f1(own.sum(0)), _f1(here.sum(0))
    return Accuracy(len(samples), round(f1, 4), round(low, 4), round(high, 4), round(version, 4), "f1")


def _counts(given: Sequence[Sequence[ScoredSpan]], drawn: Sequence[Collection[Span]]) -> NDArray[np.int64]:
    """Of each text how many are right, how many are said, and how many there are [n, 3]."""
    rows = [({one.span for one in own}, set(true)) for own, true in zip(given, drawn, strict=True)]
    return np.array([(len(own & true), len(own), len(true)) for own, true in rows], np.int64).reshape(-1, 3)


def _f1(counts: NDArray[np.int64]) -> float:
    return f1_of(int(counts[0]), int(counts[1]), int(counts[2]))
