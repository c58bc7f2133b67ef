"""The encoder behind one small interface: texts in, pooled outputs of its last layers out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.base_model import find_base_model, read_config, read_pooling, read_window, sha256_of, tokenizer_files
from model.errors import EncoderError
from model.pairs import interact, two_segments
from model.spec import Text
from model.tally import Tally
from model.taught_file import read_taught
from model.windows import Window, Windows

__all__ = ["Encoder", "find_base_model"]

KEPT_LAYERS = 4
"""Pooled layers kept: the last four decide on question type and sentiment, the last alone on topics."""

FEATURES = 2
"""Raised when the features of any text change: part of the digest, so that no cache or head mixes old and new."""

CHUNK_TOKENS = 2048
"""Tokens of one packed forward: 1k to 4k are equally fast, small ones keep the memory low."""


class Encoder:
    """A BERT-family encoder. Immutable after construction and safe to call from several threads.

    `directory` holds config, tokenizer and weights; `weights` replaces the weights (a fine-tuned copy).
    `threads`: torch threads of this process (None leaves them as they are). Raises EncoderError.
    """

    def __init__(
        self, directory: Path, *, threads: int | None = 1, weights: Path | None = None, tally: Tally | None = None
    ) -> None:
        config = read_config(directory)
        self.directory, self.tally = directory, tally or Tally()
        self.pooling = read_pooling(directory)
        self.depth = min(KEPT_LAYERS, int(config.get("num_hidden_layers", config.get("n_layers", KEPT_LAYERS))))
        window = read_window(directory, config)
        self._windows = Windows(directory, window)
        try:
            self._engine = _build_engine(directory, config, weights, self.depth, self.pooling, threads)
        except EncoderError:
            raise
        except Exception as error:  # safetensors and transformers raise a dozen kinds for damaged or foreign weights
            raise EncoderError(f"the encoder in {directory} cannot be loaded: {error}", path=str(directory)) from error
        self.width = int(self._engine.width)
        # Other weights give other features than those that the trained head was trained on.
        self.taught = read_taught(directory, config, self.pooling) if weights is None else None
        self.digest = _digest(directory, config, weights or directory / "model.safetensors", self.pooling, window)

    def embed(self, texts: Sequence[Text]) -> np.ndarray:
        """Pooled outputs, float32 [len(texts), depth, width], not normalised; the last layer is `[:, -1]`.

        The first layers of a text of several segments hold what the segments have in common (`model/pairs.py`)."""
        result = self._read(texts)
        pairs = [index for index, text in enumerate(texts) if len(text) > 1]
        if pairs:
            segments = [two_segments(texts[index]) for index in pairs]
            alone = list(dict.fromkeys((segment,) for pair in segments for segment in pair))
            row = {text[0]: features for text, features in zip(alone, self._read(alone), strict=True)}
            first, second = (np.stack([row[pair[side]] for pair in segments]) for side in (0, 1))
            result[pairs] = interact(result[pairs], first, second)
        return result

    def _read(self, texts: Sequence[Text]) -> np.ndarray:
        """Pooled outputs of each text as one sequence, or the mean over its windows."""
        result = np.zeros((len(texts), self.depth, self.width), dtype=np.float32)
        if not texts:
            return result
        began = time.perf_counter()
        windows = sorted(self._windows.split(texts), key=lambda window: len(window.ids))
        tokenised = time.perf_counter()
        tokens = np.zeros(len(texts), dtype=np.float32)
        forwards = 0
        for chunk in _chunks(windows):
            forwards += 1
            pooled = self._engine.forward(chunk).numpy()
            for window, vectors in zip(chunk, pooled, strict=True):
                result[window.text] += vectors * len(window.ids)
                tokens[window.text] += len(window.ids)
        self.tally.add(
            texts=len(texts),
            tokens=int(tokens.sum()),
            forwards=forwards,
            tokenise_seconds=tokenised - began,
            forward_seconds=time.perf_counter() - tokenised,
        )
        return result / tokens[:, None, None]


def _build_engine(
    directory: Path, config: dict[str, Any], weights: Path | None, keep: int, pooling: str, threads: int | None
) -> Any:
    import torch

    if threads:
        torch.set_num_threads(threads)
    if _is_plain_bert(config):
        from safetensors.torch import load_file

        from model.packed import PackedBert

        return PackedBert(config, load_file(weights or directory / "model.safetensors"), keep=keep, pooling=pooling)
    from model.padded import PaddedEncoder

    return PaddedEncoder(directory, weights, keep=keep, pooling=pooling)


def _is_plain_bert(config: dict[str, Any]) -> bool:
    plain = config.get("position_embedding_type", "absolute") == "absolute" and config.get("hidden_act") == "gelu"
    return plain and config.get("model_type") == "bert" and not config.get("is_decoder")


def _chunks(windows: Sequence[Window]) -> Iterator[list[Window]]:
    chunk: list[Window] = []
    size = 0
    for window in windows:
        if chunk and size + len(window.ids) > CHUNK_TOKENS:
            yield chunk
            chunk, size = [], 0
        chunk.append(window)
        size += len(window.ids)
    if chunk:
        yield chunk


def _digest(directory: Path, config: dict[str, Any], weights: Path, pooling: str, window: int) -> str:
    shape = {name: value for name, value in config.items() if not name.startswith(("_", "transformers"))}
    tokenizer = [sha256_of(path) for path in tokenizer_files(directory)]
    text = json.dumps([shape, sha256_of(weights), tokenizer, pooling, window, FEATURES], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
