"""What status, doctor and the log say of the number format that the encoder runs in, and why."""

from __future__ import annotations

from contextlib import suppress

from backend.settings.settings import Settings
from model.errors import ModelError
from model.kernels.choice import FP32, EngineChoice
from model.kernels.kept_choice import kept_choice

WARNING_FACTOR = 1.3
"""From so many times as slow a PRECISION that was set by hand is worth a warning."""


def describe_timing(settings: Settings) -> str:
    """What this machine was timed for with the base model; "" before its first start."""
    choice = _choice(settings)
    return choice.describe() if choice else ""


def slowdown(settings: Settings) -> float:
    """How many times slower the PRECISION that was set is than the other format in serving; 0 when it is not."""
    choice = _choice(settings)
    if choice is None or settings.precision == "auto":
        return 0.0
    own = choice.formats[settings.precision].gflops
    best = choice.formats[choice.serving if settings.precision == FP32 else FP32].gflops
    return best / own if own and best > WARNING_FACTOR * own else 0.0


def _choice(settings: Settings) -> EngineChoice | None:
    from backend.base_model.hub import find_encoder_files
    from model.pretrained.architectures import product_shape
    from model.pretrained.base_model import read_config

    with suppress(ModelError):
        config = read_config(find_encoder_files(settings))
        return kept_choice(settings.data_dir, product_shape(config))
    return None
