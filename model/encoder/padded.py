"""Forward pass of any other BERT-family encoder: the `transformers` model on small padded batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from model.encoder.precision import DTYPES
from model.encoder.weights import Weights
from model.encoder.windows import Window
from model.errors import EncoderError, in_one_line
from model.kernels.choice import FP32
from model.kernels.device_memory import in_halves
from model.pretrained.base_model import has_token_types

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Take = Callable[[tuple[Tensor, ...], Tensor], tuple[Tensor, ...]]
"""Of hidden states after every layer and of which tokens are there, what is wanted."""

CPU_BATCH, CUDA_BATCH = 768, 16_384
"""Most tokens of a padded batch. CPU: larger ones waste time on padding."""


class PaddedEncoder:
    """`AutoModel` behind the interface of `PackedBert`. With `base` only what a delta changes is loaded."""

    kernel = "transformers"

    def __init__(
        self,
        directory: Path,
        weights: Path | None,
        *,
        keep: int,
        pooling: str,
        base: PaddedEncoder | None = None,
        precision: str = FP32,
        device: torch.device | None = None,
    ) -> None:
        self.device, self.precision = device or torch.device("cpu"), precision
        try:
            self._model: PreTrainedModel = load_model(directory, weights, base._model if base else None)
        except (OSError, ValueError, RuntimeError) as error:
            raise EncoderError(f"the encoder in {directory} cannot be loaded: {in_one_line(error)}") from error
        nn.Module.to(self._model, self.device, DTYPES[precision]).eval()  # its own `to` has no types
        self._typed = has_token_types(self._model.config.to_dict())
        self._pad = self._model.config.pad_token_id or 0
        self.width = int(self._model.config.hidden_size)
        self.keep, self.pooling = keep, pooling
        on_cpu = self.device.type == "cpu"
        self.batch_tokens, self.chunk_tokens = (CPU_BATCH, 2048) if on_cpu else (CUDA_BATCH, CUDA_BATCH)

    @torch.inference_mode()
    def forward(self, windows: Sequence[Window]) -> Tensor:
        """Pooled outputs, float32 [len(windows), keep, width] on the CPU. Expects windows sorted by length."""
        return self._read(windows, lambda states, mask: (self._pool(states, mask),))[0]

    @torch.inference_mode()
    def token_states(self, windows: Sequence[Window], layers: Sequence[int]) -> Tensor:
        """Hidden states of every token after these layers (0: the embeddings), float16 [tokens, len(layers), width] on
        the CPU."""
        return self._read(windows, lambda states, mask: (_of_tokens(states, mask, layers),))[0]

    @torch.inference_mode()
    def both(self, windows: Sequence[Window], layers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What `forward` and `token_states` give, in one pass."""
        pooled, tokens = self._read(
            windows, lambda states, mask: (self._pool(states, mask), _of_tokens(states, mask, layers))
        )
        return pooled, tokens

    def _read(self, windows: Sequence[Window], take: Take) -> tuple[Tensor, ...]:
        """What is taken of the states of every batch, put together on the CPU."""
        batches = _batches(windows, self.batch_tokens)
        found = [in_halves(lambda part: take(*self._hidden_states(part)), batch) for batch in batches]
        return tuple(torch.cat(parts).cpu() for parts in zip(*found, strict=True))

    def _pool(self, states: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        hidden = torch.stack(states[-self.keep :], dim=1).float()
        if self.pooling == "cls":
            return hidden[:, :, 0]
        weight = mask[:, None, :, None].to(hidden.dtype)
        return (hidden * weight).sum(2) / weight.sum(2)

    def _hidden_states(self, windows: Sequence[Window]) -> tuple[tuple[Tensor, ...], Tensor]:
        """Of every layer [windows, longest, width], and which tokens are there [windows, longest]."""
        longest = max(len(window.ids) for window in windows)
        ids = torch.full((len(windows), longest), self._pad)
        types = torch.zeros_like(ids)
        mask = torch.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = torch.tensor(window.ids)
            types[row, : len(window.ids)] = torch.tensor(window.types)
            mask[row, : len(window.ids)] = 1
        ids, types, mask = torch.stack([ids, types, mask]).to(self.device, non_blocking=True)
        extra = {"token_type_ids": types} if self._typed else {}
        output = self._model(input_ids=ids, attention_mask=mask, output_hidden_states=True, **extra)
        return output.hidden_states, mask


def _of_tokens(states: tuple[Tensor, ...], mask: Tensor, layers: Sequence[int]) -> Tensor:
    """Of the tokens that are there [tokens, layers, width]."""
    return torch.stack([states[layer] for layer in layers], dim=2)[mask.bool()].half()


def load_model(directory: Path, weights: Path | None, base: PreTrainedModel | None = None) -> PreTrainedModel:
    """The encoder as transformers has it, float32, with other weights in place of its own (a whole file or a delta)."""
    if weights is None:
        return load_base(directory).float()
    changes = Weights(weights, directory / "model.safetensors", rename=None)
    if changes.changed is None:
        return _load_whole(directory, weights).float()
    model = _copy_structure(base) if base is not None else load_base(directory).float()
    return _overlay(model, changes, changes.changed)


def load_base(directory: Path) -> PreTrainedModel:
    """The encoder of a checkpoint of any task: prefixes and other heads are dropped, what is missing is not made up."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # it reports every tensor of a head that is left out
    logging.disable_progress_bar()
    model, found = AutoModel.from_pretrained(
        directory, use_safetensors=True, output_loading_info=True, trust_remote_code=False, local_files_only=True
    )
    missing = sorted(name for name in found["missing_keys"] if "pooler" not in name)
    if missing:
        raise ValueError(f"model.safetensors lacks {len(missing)} of its tensors, {missing[0]} among them")
    return model


def _load_whole(directory: Path, weights: Path) -> PreTrainedModel:
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    model = AutoModel.from_config(AutoConfig.from_pretrained(directory, trust_remote_code=False, local_files_only=True))
    model.load_state_dict(load_file(weights))
    return model


def _copy_structure(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of the modules around the same tensors."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def _overlay(model: PreTrainedModel, changes: Weights, names: frozenset[str]) -> PreTrainedModel:
    """The model with the changed tensors in place of its own; what it shares with another model stays."""
    own, prefix = model.state_dict(), f"{model.base_model_prefix}."
    fresh = {name.removeprefix(prefix): changes[name].to(_like(own, name.removeprefix(prefix))) for name in names}
    model.load_state_dict(fresh, strict=False, assign=True)
    return model


def _like(own: dict[str, Tensor], name: str) -> Tensor:
    if name not in own:
        raise ValueError(f"the weights change {name}, which the encoder has not")
    return own[name]


def _batches(windows: Sequence[Window], tokens: int) -> Iterator[Sequence[Window]]:
    start = 0
    for end in range(1, len(windows) + 1):
        longest = max(len(windows[start].ids), len(windows[end - 1].ids))
        if end - start > 1 and longest * (end - start) > tokens:
            yield windows[start : end - 1]
            start = end - 1
    if start < len(windows):
        yield windows[start:]
