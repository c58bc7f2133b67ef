"""Where the encoder runs and in which number format."""

from __future__ import annotations

import torch

from model.errors import EncoderError
from model.kernels.choice import BF16, FP32

AUTO = "auto"
DTYPES = {FP32: torch.float32, BF16: torch.bfloat16}


def choose_device() -> torch.device:
    """The first CUDA device when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_precision(wanted: str) -> None:
    """Raises EncoderError for anything but fp32 (exact), bf16, and auto (the faster one, model/kernels/choice.py)."""
    if wanted not in (AUTO, *DTYPES):
        raise EncoderError(f"precision {wanted!r} is none of auto, fp32, bf16", precision=wanted)
