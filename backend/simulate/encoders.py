"""What another encoder would bring on the same labels, and what it costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from backend.simulate.curves import Row, is_of_spans
from model.simulation.dataset import Dataset

if TYPE_CHECKING:
    from backend.settings.settings import Settings
    from backend.simulate.trainer import Workplace
    from model.simulation.span_dataset import SpanDataset
    from model.spec import Text

TIMED_TEXTS = 64
"""Texts that are encoded, none of them from the cache."""


def find_all(settings: Settings, base_models: Sequence[str]) -> None:
    """Before the first is measured, so that a wrong name or a hub that is away is told now, and not after an hour.

    Raises SettingsError."""
    from backend.base_model.hub import find_encoder_files

    for name in base_models:
        find_encoder_files(settings.model_copy(update={"base_model": name}))


def measure_cost(place: Workplace, data: Dataset | SpanDataset) -> dict[str, float]:
    """`encode_ms`: milliseconds for a text of these, many at a time, after a first one;
    `weights_mb`: MiB of its weights."""
    texts = _texts(data)[:TIMED_TEXTS]
    encoder = place.base.encoder
    encoder.embed(texts[:1])
    began = time.perf_counter()
    encoder.embed(texts)
    seconds = time.perf_counter() - began
    weights = (place.base_model / "model.safetensors").stat().st_size
    return {"encode_ms": round(1000 * seconds / max(1, len(texts)), 3), "weights_mb": round(weights / 2**20, 1)}


def _texts(data: Dataset | SpanDataset) -> list[Text]:
    if isinstance(data, Dataset):
        return [sample.text for sample in data.train]
    return [(document.text,) for document in data.train]


def compare_encoders(rows: Sequence[Row]) -> Iterator[str]:
    """A line an encoder but the first, which it is compared with; by medians over seeds and strategies."""
    names = list(dict.fromkeys(str(row["encoder"]) for row in rows if row.get("encoder")))
    measure, what = ("f1", "texts") if is_of_spans(rows) else ("accuracy", "labels")
    if not names:
        return
    first = _medians(rows, names[0], measure)
    for name in names[1:]:
        own = _medians(rows, name, measure)
        gains = [f"{100 * (own[n] - first[n]):+.1f} points at {n} {what}" for n in own if n in first]
        slower = _cost(rows, name, "encode_ms") / max(1e-9, _cost(rows, names[0], "encode_ms"))
        size, before = (_cost(rows, one, "weights_mb") for one in (name, names[0]))
        cost = f"{slower:.1f} x the time of a text, {size:.0f} MiB of weights against {before:.0f}"
        yield f"{name} against {names[0]}: {', '.join(gains)}; {cost}"


def _medians(rows: Sequence[Row], name: str, measure: str) -> Mapping[int, float]:
    """Label count -> median."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row.get("encoder") == name and row.get("encode_ms") is not None and _is_ours(row):
            found.setdefault(int(row["n"] or 0), []).append(float(row[measure] or 0))
    return {count: statistics.median(values) for count, values in sorted(found.items())}


def _is_ours(row: Row) -> bool:
    from backend.simulate.curves import curve_name

    return curve_name(row).startswith("understudy")


def _cost(rows: Sequence[Row], name: str, key: str) -> float:
    return next(float(row[key] or 0) for row in rows if row.get("encoder") == name)
