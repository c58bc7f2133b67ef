"""A version, and the stock classifier that it teaches, of one draw of a public set: of texts, and of marked text."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from backend.simulate.span_files import read_span_files
from model.encoder.encoder import Encoder
from model.export.bundle import Source
from model.export.parity import Parity
from model.export.stock.bundle import Made, Teaching, write_stock
from model.export.stock.distil import Tell
from model.export.stock.outputs import outputs_of
from model.export.stock.parity import measure_accuracy, measure_stock
from model.export.stock.spans.bundle import write_span_stock
from model.export.stock.spans.outputs import span_outputs_of
from model.export.stock.spans.parity import measure_f1, measure_span_stock
from model.features.cache import CachedEncoder, FeatureCache
from model.head.fit import fit_heads
from model.simulation.dataset import read_rows
from model.span import SpanDocument, SpanSample
from model.spans.features.reading import SpanReader
from model.spans.transfer.prior import read_prior
from model.spec import Control, Kind, Label, Sample, TaskSpec, Text
from model.versions.live_model import LiveModel
from model.versions.span_answers import SpanTools, fit_span_heads

CACHE_MB = 500


@dataclass(frozen=True)
class Amounts:
    """`labels` to learn from, `others` that are known without labels, `tests` that nobody has seen; `seconds` at most
    for teaching."""

    labels: int
    others: int
    tests: int
    seconds: float


def measure_texts(folder: Path, seed: int, amounts: Amounts, encoder: Encoder, tell: Tell) -> dict[str, float]:
    """Accuracy of both on the test texts, and how far they answer these alike."""
    train, test = (read_rows(folder / f"{part}.csv") for part in ("train", "test"))
    train, test = _draw(train, test, seed, amounts)
    names = sorted({label for _, labels in [*train, *test] for label in labels})
    kind = Kind.MULTIPLE if any(len(labels) != 1 for _, labels in train) else Kind.SINGLE
    control = Control("label", kind, ("text",), tuple(Label((one,), one) for one in names))
    samples, others = _samples(train[: amounts.labels]), [text for text, _ in train[amounts.labels :]]
    spec = TaskSpec((), (control,))
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        base = CachedEncoder(encoder, FeatureCache(Path(scratch) / "features", CACHE_MB))
        heads = fit_heads(spec, {"label": samples}, [{"text": text} for text in others], base, seed=seed)
        source = Source(LiveModel("v0.1", spec, heads, base), "label", encoder, None)
        outputs, directory = outputs_of(source.model, "label"), Path(scratch) / "stock"
        known = list(dict.fromkeys([*((text,) for text in others), *(sample.text for sample in samples)]))
        made = write_stock(source, outputs, directory, _teaching(known, scratch, seed, amounts), tell)
        tests = _samples(test)
        parity = measure_stock(source.model, outputs, directory, [sample.text for sample in tests])
        accuracy = measure_accuracy(source.model, outputs, directory, tests)
    assert accuracy is not None
    return {"right": accuracy.accuracy, "right_here": accuracy.version, **_figures(made, parity)}


def measure_spans(folder: Path, seed: int, amounts: Amounts, encoder: Encoder, tell: Tell) -> dict[str, float]:
    """F1 of both on the test texts, and how far they mark these alike."""
    data = read_span_files(folder / "train.jsonl", folder / "test.jsonl").data
    train, test = _draw(data.train, data.test, seed, amounts)
    names = sorted({span.label for document in [*data.train, *data.test] for span in document.spans})
    control = Control("label", Kind.SPANS, ("text",), tuple(Label((name,), name) for name in names), "Labels")
    spec, labelled, others = TaskSpec((), (), spans=(control,)), train[: amounts.labels], train[amounts.labels :]
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        tools = SpanTools(SpanReader(encoder, read_prior(), FeatureCache(Path(scratch) / "features", CACHE_MB)))
        pool = [{"text": one.text} for one in others]
        heads = fit_span_heads(spec, {"label": _marked(labelled)}, pool, tools)
        source = Source(LiveModel("v0.1", spec, {}, encoder, span_heads=heads, tools=tools), "label", encoder, None)
        outputs, directory = span_outputs_of(source.model, "label"), Path(scratch) / "stock"
        known = list(dict.fromkeys((one.text,) for one in [*others, *labelled]))
        made = write_span_stock(source, outputs, directory, _teaching(known, scratch, seed, amounts), tell)
        tests = _marked(test)
        parity = measure_span_stock(source.model, outputs, directory, [sample.text for sample in tests])
        f1 = measure_f1(source.model, outputs, directory, tests)
    assert f1 is not None
    return {"f1": f1.accuracy, "f1_here": f1.version, **_figures(made, parity)}


Row = TypeVar("Row")


def _draw(train: Sequence[Row], test: Sequence[Row], seed: int, amounts: Amounts) -> tuple[list[Row], list[Row]]:
    generator = np.random.default_rng(seed)
    known = generator.permutation(len(train))[: amounts.labels + amounts.others]
    asked = generator.permutation(len(test))[: amounts.tests]
    return [train[row] for row in known], [test[row] for row in asked]


def _teaching(known: Sequence[Text], scratch: str, seed: int, amounts: Amounts) -> Teaching:
    return Teaching(known, Path(scratch), amounts.seconds, amounts.tests, seed)


def _figures(made: Made, parity: Parity) -> dict[str, float]:
    return {
        "same": parity.agreement,
        "mean": parity.mean_difference,
        "steps": made.steps,
        "seconds": made.seconds,
        "ms": parity.milliseconds,
        "ms_here": parity.milliseconds_here,
    }


def _samples(rows: Sequence[tuple[str, tuple[str, ...]]]) -> list[Sample]:
    return [Sample(place, (text,), dict.fromkeys(labels, 1.0)) for place, (text, labels) in enumerate(rows)]


def _marked(documents: Sequence[SpanDocument]) -> list[SpanSample]:
    return [SpanSample(place, one.text, one.spans) for place, one in enumerate(documents)]
