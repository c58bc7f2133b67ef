"""Token windows to pooled layers: which engine computes an encoder, and where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from model.encoder.packed import PackedBert
from model.encoder.padded import PaddedEncoder
from model.encoder.precision import AUTO, check_precision, choose_device
from model.encoder.weights import Weights
from model.encoder.windows import Window
from model.errors import EncoderError
from model.kernels.choice import BF16, FP32, EngineChoice
from model.kernels.kept_choice import choose_engine
from model.pretrained.architectures import BaseConfig, product_shape, read_shape


class Engine(Protocol):
    """What an encoder computes with. `kernel`: plain, onednn or transformers; `precision`: fp32 or bf16."""

    width: int
    kernel: str
    precision: str
    device: torch.device
    chunk_tokens: int

    def forward(self, windows: Sequence[Window]) -> Tensor:
        """Pooled outputs, float32 [len(windows), keep, width] on the CPU."""
        ...

    def token_states(self, windows: Sequence[Window], layers: Sequence[int]) -> Tensor:
        """Hidden states of every token after these layers (0: the embeddings), float16 [tokens, len(layers), width] on
        the CPU."""
        ...

    def both(self, windows: Sequence[Window], layers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What `forward` and `token_states` give, in one pass."""
        ...


def open_engine(
    directory: Path,
    config: BaseConfig,
    weights: Path | None,
    *,
    keep: int,
    pooling: str,
    precision: str,
    base: Engine | None = None,
    timings: Path | None = None,
) -> Engine:
    """Packed for families with BERT's layers, else padded; on the GPU if there is one. With `base`, the engine over the
    base model's own weights, what `weights` does not change is shared. The machine is timed for `precision` auto, and
    where `timings`, a folder, can keep what was found. Raises EncoderError."""
    check_precision(precision)
    place = base.device if base else choose_device()
    try:
        shape = read_shape(config)
        timed = precision == AUTO or timings is not None
        choice = time_products(config, place, timings) if timed and base is None else None
        chosen = base.precision if base else _serving(precision, choice, packed=shape is not None)
        if shape is None:
            padded = base if isinstance(base, PaddedEncoder) else None
            return PaddedEncoder(
                directory, weights, keep=keep, pooling=pooling, base=padded, precision=chosen, device=place
            )
        own = directory / "model.safetensors"
        tensors = Weights(weights or own, own)
        packed = base if isinstance(base, PackedBert) else None
        timing = packed.timing if packed else choice.formats[chosen] if choice else None
        kernel = packed.kernel if packed else ""
        return PackedBert(
            shape,
            tensors,
            keep=keep,
            pooling=pooling,
            base=packed,
            precision=chosen,
            timing=timing,
            kernel=kernel,
            device=place,
        )
    except EncoderError:
        raise
    except Exception as error:  # safetensors and transformers raise a dozen kinds for damaged or foreign weights
        raise EncoderError(f"the encoder in {directory} cannot be loaded: {error}", path=str(directory)) from error


def time_products(config: BaseConfig, device: torch.device, folder: Path | None) -> EngineChoice:
    """What this machine computes an encoder of this config with, timed now or kept in `folder`."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return choose_engine(product_shape(config), device.type, folder, name)


def training_precision(wanted: str, config: BaseConfig, device: torch.device, folder: Path | None) -> str:
    """`fp32` or `bf16` for a fine-tune: as wanted, for auto the faster as timed. Raises EncoderError."""
    check_precision(wanted)
    return time_products(config, device, folder).training if wanted == AUTO else wanted


def _serving(wanted: str, choice: EngineChoice | None, packed: bool) -> str:
    if wanted != AUTO or choice is None:
        return BF16 if wanted == BF16 else FP32
    return choice.serving if packed else choice.plain_serving
