"""Whether a fine-tuned encoder may be read in int8: by the texts that its gate judges by, before it is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from model.encoder.encoder import Encoder
from model.encoder.weights import INT8_COSINE
from model.kernels.choice import FP32, INT8
from model.kernels.int8_trial import LEAST_COSINE
from model.spec import Text

Save = Callable[[Path, Mapping[str, str] | None], None]
"""Writes the weights with this metadata."""


def save_checked(weights: Path, save: Save, base: Encoder, texts: Sequence[Text]) -> dict[str, str]:
    """Writes a fine-tuned encoder with what it has to say of itself in int8, by labelled texts, and gives that: nothing
    where `base` is not read in it, or sample texts have shown already that these weights are not. What was found on
    sample texts is kept for the processes that will open the file."""
    save(weights, None)
    if base.precision != INT8:
        return {}
    found = Encoder(base.directory, weights=weights, threads=None, base=base)
    if found.precision != INT8:
        return {}
    note = {INT8_COSINE: f"{_cosine_of(weights, found, texts):.6f}"}
    save(weights, note)
    found.move_trial(weights)
    return note


def describe_refusal(note: Mapping[str, str]) -> str:
    """The end of a verdict's sentence; "" where int8 is fine."""
    cosine = float(note.get(INT8_COSINE, 1.0))
    return f"; not read in int8 (cosine {cosine:.4f} on labelled texts)" if cosine < LEAST_COSINE else ""


def last_cosine(found: Encoder, exact: Encoder, texts: Sequence[Text]) -> float:
    """The mean over texts of the last pooled layer, which fine-tuned heads read alone; 1 without texts."""
    if not texts:
        return 1.0
    first, second = (own.embed(texts)[:, -1].astype(np.float64) for own in (found, exact))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(1) / np.maximum(lengths, 1e-12)).mean())


def _cosine_of(weights: Path, found: Encoder, texts: Sequence[Text]) -> float:
    return last_cosine(found, Encoder(found.directory, weights=weights, threads=None, precision=FP32), texts)
