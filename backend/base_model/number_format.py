"""What status, doctor and the log say of the number format that the encoder runs in, and why."""

from __future__ import annotations

from contextlib import suppress

from backend.settings.settings import Settings
from model.errors import ModelError
from model.kernels.choice import BF16, FP32, INT8, EngineChoice
from model.kernels.int8_trial import LEAST_COSINE, kept_cosine, trial_path
from model.kernels.kept_choice import kept_choice
from model.pretrained.base_model import known_sha256

WARNING_FACTOR = 1.3
"""From so many times as slow a PRECISION that was set by hand is worth a warning."""


def describe_timing(settings: Settings) -> str:
    """What this machine was timed for with the base model, and whether that suits int8 where it is wanted; "" before
    its first start."""
    kept = _kept(settings)
    if kept is None:
        return ""
    device, choice = kept
    if device != "cpu":
        return f"{choice.describe().replace(' a core', '')} on {device}"
    wanted = settings.precision == INT8 or (settings.precision == "auto" and choice.serving == INT8)
    return f"{choice.describe()}; {_describe_trial(settings, choice)}" if wanted else choice.describe()


def slowdown(settings: Settings) -> float:
    """How many times slower the PRECISION that was set is than what auto takes, in serving; 0 when it is not."""
    choice = _choice(settings)
    if choice is None or settings.precision == "auto":
        return 0.0
    if settings.precision == INT8:
        times = 1 / choice.int8_speed_up if choice.int8_speed_up else 0.0
    else:
        own = choice.formats[settings.precision].gflops
        best = choice.formats[choice.float_serving if settings.precision != BF16 else FP32].gflops
        times = best / own if own else 0.0
        if choice.serving == INT8 and (_cosine(settings) or 0.0) >= LEAST_COSINE:
            times = max(1.0, times) * choice.int8_speed_up
    return times if times > WARNING_FACTOR else 0.0


def _describe_trial(settings: Settings, choice: EngineChoice) -> str:
    """`int8 taken: cosine to fp32 0.9993 on sample texts`"""
    cosine = _cosine(settings)
    if cosine is None:
        return "int8 is tried when the encoder is loaded"
    near = f"cosine to fp32 {cosine:.4f} on sample texts"
    if cosine >= LEAST_COSINE:
        return f"int8 taken: {near}"
    return f"int8 refused, {choice.float_serving} taken: {near}, {LEAST_COSINE} is wanted"


def _cosine(settings: Settings) -> float | None:
    """Of the base model in int8, as it was tried on this machine."""
    from backend.base_model.hub import find_encoder_files
    from model.pretrained.reading import read_pooling

    with suppress(ModelError, OSError):
        directory = find_encoder_files(settings)
        digest = known_sha256(directory / "model.safetensors")
        return kept_cosine(trial_path(settings.data_dir, [digest], read_pooling(directory)))
    return None


def _choice(settings: Settings) -> EngineChoice | None:
    kept = _kept(settings)
    return kept[1] if kept is not None else None


def _kept(settings: Settings) -> tuple[str, EngineChoice] | None:
    """The device, and its timing."""
    from backend.base_model.hub import find_encoder_files
    from model.pretrained.architectures import product_shape
    from model.pretrained.base_model import read_config

    with suppress(ModelError):
        config = read_config(find_encoder_files(settings))
        return kept_choice(settings.data_dir, product_shape(config))
    return None
