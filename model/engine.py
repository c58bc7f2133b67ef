"""Token windows to pooled layers: which engine computes an encoder, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, device

from model.architectures import read_shape
from model.errors import EncoderError
from model.packed import PackedBert
from model.padded import PaddedEncoder
from model.precision import choose_device, choose_precision
from model.weights import Weights
from model.windows import Window


class Engine(Protocol):
    """What an encoder computes with. `kernel`: plain, onednn or transformers; `precision`: fp32 or bf16."""

    width: int
    kernel: str
    precision: str
    device: device
    chunk_tokens: int

    def forward(self, windows: Sequence[Window]) -> Tensor:
        """Pooled outputs, float32 [len(windows), keep, width] on the CPU."""
        ...


def open_engine(
    directory: Path,
    config: Mapping[str, Any],
    weights: Path | None,
    *,
    keep: int,
    pooling: str,
    precision: str,
    base: Engine | None = None,
) -> Engine:
    """Packed for families with BERT's layers, else padded; on the GPU if there is one. With `base`, the engine over the
    base model's own weights, what `weights` does not change is shared. Raises EncoderError."""
    place = base.device if base else choose_device()
    chosen = base.precision if base else choose_precision(precision, place)
    options: dict[str, Any] = {"keep": keep, "pooling": pooling, "precision": chosen, "device": place}
    try:
        shape = read_shape(config)
        if shape is None:
            padded = base if isinstance(base, PaddedEncoder) else None
            return PaddedEncoder(directory, weights, base=padded, **options)
        own = directory / "model.safetensors"
        tensors = Weights(weights or own, own)
        packed = base if isinstance(base, PackedBert) else None
        return PackedBert(shape, tensors, base=packed, kernel=packed.kernel if packed else "", **options)
    except EncoderError:
        raise
    except Exception as error:  # safetensors and transformers raise a dozen kinds for damaged or foreign weights
        raise EncoderError(f"the encoder in {directory} cannot be loaded: {error}", path=str(directory)) from error
