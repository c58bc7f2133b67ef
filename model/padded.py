"""Forward pass of any other BERT-family encoder: the `transformers` model on small padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.base_model import has_token_types
from model.errors import EncoderError
from model.windows import Window

TOKENS = 768
"""Most tokens of a padded batch: larger ones waste time on padding."""


class PaddedEncoder:
    """`AutoModel` behind the interface of `PackedBert`."""

    def __init__(self, directory: Path, weights: Path | None, *, keep: int, pooling: str) -> None:
        try:
            self._model: Any = _load_base(directory) if weights is None else _load_weights(directory, weights)
        except (OSError, ValueError, RuntimeError) as error:
            raise EncoderError(f"the encoder in {directory} cannot be loaded: {error}") from error
        self._model.float().eval()
        self._typed = has_token_types(self._model.config.to_dict())
        self._pad = self._model.config.pad_token_id or 0
        self.width = int(self._model.config.hidden_size)
        self.keep, self.pooling = keep, pooling

    @torch.inference_mode()
    def forward(self, windows: Sequence[Window]) -> Tensor:
        """Pooled outputs [len(windows), keep, width]. Expects windows sorted by length."""
        return torch.cat([self._forward(batch) for batch in _batches(windows)])

    def _forward(self, windows: Sequence[Window]) -> Tensor:
        longest = max(len(window.ids) for window in windows)
        ids = torch.full((len(windows), longest), self._pad)
        types = torch.zeros_like(ids)
        mask = torch.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = torch.tensor(window.ids)
            types[row, : len(window.ids)] = torch.tensor(window.types)
            mask[row, : len(window.ids)] = 1
        extra = {"token_type_ids": types} if self._typed else {}
        output = self._model(input_ids=ids, attention_mask=mask, output_hidden_states=True, **extra)
        hidden = torch.stack(output.hidden_states[-self.keep :], dim=1)
        if self.pooling == "cls":
            return hidden[:, :, 0]
        weight = mask[:, None, :, None].to(hidden.dtype)
        return (hidden * weight).sum(2) / weight.sum(2)


def _load_base(directory: Path) -> Any:
    """The encoder of a checkpoint of any task: prefixes and other heads are dropped, what is missing is not made up."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # it reports every tensor of a head that is left out
    model, found = AutoModel.from_pretrained(
        directory, use_safetensors=True, output_loading_info=True, trust_remote_code=False, local_files_only=True
    )
    missing = sorted(name for name in found["missing_keys"] if "pooler" not in name)
    if missing:
        raise ValueError(f"model.safetensors lacks {len(missing)} of its tensors, {missing[0]} among them")
    return model


def _load_weights(directory: Path, weights: Path) -> Any:
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    model = AutoModel.from_config(AutoConfig.from_pretrained(directory, trust_remote_code=False, local_files_only=True))
    model.load_state_dict(load_file(weights))
    return model


def _batches(windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
    start = 0
    for end in range(1, len(windows) + 1):
        longest = max(len(windows[start].ids), len(windows[end - 1].ids))
        if end - start > 1 and longest * (end - start) > TOKENS:
            yield windows[start : end - 1]
            start = end - 1
    if start < len(windows):
        yield windows[start:]
