"""Where the encoder runs and in which number format."""

from __future__ import annotations

import torch

from model.errors import EncoderError
from model.kernels.choice import BF16, FP32, INT8

AUTO = "auto"
DTYPES = {FP32: torch.float32, BF16: torch.bfloat16, INT8: torch.float32}
"""What hidden states are kept in; int8 is that of products alone."""


def choose_device() -> torch.device:
    """The first CUDA device when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_precision(wanted: str) -> None:
    """Raises EncoderError for all but fp32 (exact), bf16, int8, and auto (the fastest, as timed)."""
    if wanted not in (AUTO, *DTYPES):
        raise EncoderError(f"precision {wanted!r} is none of auto, fp32, bf16, int8", precision=wanted)
