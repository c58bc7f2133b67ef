"""The encoder of a fine-tuned version, as files: what training changed of the base model, or a folder of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from model.versions.disk import bring_to_disk

ENCODER = "encoder.safetensors"

IMPORTED, WHOLE = "encoder", "model.safetensors"
"""Folder of an encoder that is not the base model with other weights, and its weights, called as a base model's are."""


def copy_encoder(weights: Path, directory: Path) -> None:
    """What training changed of the base model; or the folder of an imported encoder, `weights` being in it. On disk
    when it returns."""
    if weights.name != WHOLE:
        _copy(weights, directory / ENCODER)
        return
    (directory / IMPORTED).mkdir()
    for path in sorted(weights.parent.iterdir()):
        _copy(path, directory / IMPORTED / path.name)
    handle = os.open(directory / IMPORTED, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def encoder_weights(directory: Path) -> Path | None:
    """Where the weights of a version's own encoder lie; None without one."""
    places = (directory / ENCODER, directory / IMPORTED / WHOLE)
    return next((path for path in places if path.is_file()), None)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    bring_to_disk(target)
