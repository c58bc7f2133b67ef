"""Token windows to pooled layers: which engine computes an encoder, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from model.encoder.int8 import Int8Bert, Int8Setting, open_int8
from model.encoder.packed import PackedBert
from model.encoder.padded import PaddedEncoder
from model.encoder.precision import AUTO, check_precision, choose_device
from model.encoder.weights import Weights
from model.encoder.windows import Window
from model.errors import EncoderError, in_one_line
from model.kernels.choice import BF16, FP32, INT8, EngineChoice
from model.kernels.kept_choice import choose_engine
from model.kernels.matrix_product import PLAIN
from model.pretrained.architectures import BaseConfig, Shape, product_shape, read_shape


class Engine(Protocol):
    """What an encoder computes with. `kernel`: plain, onednn, int8, fbgemm or transformers; `precision`: fp32, bf16 or
    int8."""

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
    samples: Callable[[], Sequence[Window]],
    base: Engine | None = None,
    timings: Path | None = None,
) -> Engine:
    """Packed for families with BERT's layers, else padded; on the GPU if there is one. With `base`, the engine over the
    base model's own weights, what `weights` does not change is shared. The machine is timed for `precision` auto, and
    where `timings`, a folder, can keep what was found. `samples`: windows on which int8 is tried; an encoder that it
    does not suit is read in the fastest other format. Raises EncoderError."""
    check_precision(precision)
    place = base.device if base else choose_device()
    try:
        shape = read_shape(config)
        timed = precision == AUTO or timings is not None
        choice = time_products(config, place, timings) if timed and base is None else None
        chosen = base.precision if base else _serving(precision, choice, place, packed=shape is not None)
        if shape is None:
            padded = base if isinstance(base, PaddedEncoder) else None
            return PaddedEncoder(
                directory, weights, keep=keep, pooling=pooling, base=padded, precision=chosen, device=place
            )
        own = directory / "model.safetensors"
        tensors = Weights(weights or own, own)
        _require_positions(tensors, config)
        if chosen == INT8:
            setting = base.setting if isinstance(base, Int8Bert) else Int8Setting.of(choice, timings)
            lender = base if isinstance(base, Int8Bert) else None
            if found := open_int8(shape, tensors, setting, samples, keep=keep, pooling=pooling, base=lender):
                return found
            chosen, base = setting.fallback, None
            choice = choice or (time_products(config, place, setting.folder) if setting.folder else None)
        return _open_packed(shape, tensors, keep, pooling, chosen, base, choice, place)
    except EncoderError:
        raise
    except Exception as error:  # safetensors and transformers raise a dozen kinds for damaged or foreign weights
        why = in_one_line(error)
        raise EncoderError(f"the encoder in {directory} cannot be loaded: {why}", path=str(directory)) from error


def _require_positions(weights: Weights, config: BaseConfig) -> None:
    rows, wanted = len(weights["embeddings.position_embeddings.weight"]), config.get("max_position_embeddings", 0)
    if rows < wanted:  # a long text would be the first to fail
        raise EncoderError(f"the weights in {weights.path} have {rows} positions, config.json says {wanted}")


def _open_packed(
    shape: Shape,
    weights: Weights,
    keep: int,
    pooling: str,
    precision: str,
    base: Engine | None,
    choice: EngineChoice | None,
    device: torch.device,
) -> PackedBert:
    packed = base if isinstance(base, PackedBert) else None
    return PackedBert(
        shape,
        weights,
        keep=keep,
        pooling=pooling,
        base=packed,
        precision=precision,
        timing=packed.timing if packed else choice.formats[precision] if choice else None,
        kernel=packed.kernel if packed else "",
        device=device,
    )


def time_products(config: BaseConfig, device: torch.device, folder: Path | None) -> EngineChoice:
    """What this machine computes an encoder of this config with, timed now or kept in `folder`."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return choose_engine(product_shape(config), device.type, folder, name)


def training_precision(wanted: str, config: BaseConfig, device: torch.device, folder: Path | None) -> str:
    """`fp32` or `bf16` for a fine-tune: as wanted, for auto and int8 the faster as timed. Raises EncoderError."""
    check_precision(wanted)
    return time_products(config, device, folder).training if wanted in (AUTO, INT8) else wanted


def training_kernel(precision: str, config: BaseConfig, device: torch.device, folder: Path | None) -> str:
    """The matrix product of a fine-tune in `precision`: `onednn` or `plain`."""
    if precision != FP32 or device.type != "cpu":
        return PLAIN  # in bfloat16 that is oneDNN's
    return time_products(config, device, folder).training_kernel


def _serving(wanted: str, choice: EngineChoice | None, device: torch.device, *, packed: bool) -> str:
    """int8 is for encoders with BERT's layers on a CPU; what asks for it elsewhere gets the fastest other format."""
    if wanted == INT8 and packed and device.type == "cpu":
        return INT8
    if wanted not in (AUTO, INT8) or choice is None:
        return BF16 if wanted == BF16 else FP32
    return choice.serving if packed else choice.plain_serving
