"""Where and in which number format the encoder runs: chosen once per process, from what the machine has."""

from __future__ import annotations

from functools import lru_cache

import torch

from model.errors import EncoderError

FP32, BF16, AUTO = "fp32", "bf16", "auto"
DTYPES = {FP32: torch.float32, BF16: torch.bfloat16}


def choose_device() -> torch.device:
    """The first CUDA device when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(wanted: str, device: torch.device) -> str:
    """`fp32` (exact) or `bf16`; `auto` is bf16 where the hardware has it, since emulated it is slower than fp32.

    Raises EncoderError for anything else."""
    if wanted == AUTO:
        return BF16 if has_fast_bf16(device) else FP32
    if wanted not in DTYPES:
        raise EncoderError(f"precision {wanted!r} is none of auto, fp32, bf16", precision=wanted)
    return wanted


@lru_cache
def has_amx() -> bool:
    """Whether the CPU has tile registers for bfloat16 products."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())  # private: missing counts as no


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 by itself: avx512_bf16 or AMX on a CPU, Ampere or newer for CUDA."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private: missing ones count as no
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in names)
