"""Where it is kept how an encoder fared in int8, and what of that can be told without torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

from model.kernels.kept_choice import cpu_model

LEAST_COSINE = 0.999
"""Of the pooled layers to float32's, for an encoder to be read in int8: the mean over layers and texts, since heads
read all layers together."""

TRIED_FOLDER, REVISION = "int8", 3

COSINE = "cosine"

MOST_HEADER = 1 << 20
"""Bytes of a file's header that are believed."""


def trial_path(folder: Path, digests: Sequence[str], pooling: str) -> Path:
    """The file for an encoder of weights with these digests on this kind of CPU, which decides how weights are rounded;
    its name tells all that ranges and cosine depend on."""
    parts = [REVISION, cpu_model(), pooling, *digests]
    return folder / TRIED_FOLDER / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.safetensors"


def kept_cosine(path: Path) -> float | None:
    """How near the pooled layers were to float32's, read off the header alone; None where nothing is kept."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= MOST_HEADER else {}
        found = float(header["__metadata__"][COSINE])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if math.isfinite(found) else None
