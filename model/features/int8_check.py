"""Whether a fine-tuned encoder may be read in int8: by the texts that its gate judges by, before it is published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.encoder.encoder import Encoder
from model.encoder.weights import INT8_COSINE
from model.kernels.choice import FP32, INT8
from model.kernels.int8_trial import LEAST_COSINE
from model.spec import Text


def note_int8(weights: Path, base: Encoder, texts: Sequence[Text]) -> dict[str, str]:
    """What the file of a fine-tuned encoder has to say of itself in int8, by labelled texts: nothing where `base` is
    not read in it, or sample texts have shown already that these weights are not."""
    if base.precision != INT8:
        return {}
    found = Encoder(base.directory, weights=weights, threads=None, base=base)
    if found.precision != INT8:
        return {}
    exact = Encoder(base.directory, weights=weights, threads=None, precision=FP32)
    return {INT8_COSINE: f"{last_cosine(found, exact, texts):.6f}"}


def describe_refusal(note: dict[str, str]) -> str:
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
