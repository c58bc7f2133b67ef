"""Stand-ins for encoders that are cheap and count their work, and the `transformers` forward pass to compare with."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from model.encoder.packed import PackedBert
from model.encoder.weights import Weights
from model.interfaces import Embedder
from model.numerics.arrays import Floats
from model.pretrained.architectures import read_shape
from model.spec import Control, Input, Kind, Label, Sample, TaskSpec, Text


class WordsEncoder(Embedder):
    """Every word has a random direction; a text is the sum of its words. Remembers what it was asked."""

    width, depth = 48, 2

    def __init__(self, digest: str = "00" * 8, scale: float = 1.0) -> None:
        self.digest, self.scale = digest, scale
        self.seen: list[Text] = []
        self.calls = 0

    def embed(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        self.calls += 1
        self.seen += texts
        rows = [self._row(text) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.depth, self.width)

    def _row(self, text: Text) -> Floats:
        words = " ".join(text).lower().split() or [""]
        vectors = [np.random.default_rng(zlib.crc32(word.encode())).normal(size=(2, self.width)) for word in words]
        return self.scale * np.sum(vectors, axis=0)


class Remembering(Embedder):
    """An encoder that reads each text once in a session."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder
        self.digest, self.width, self.depth = encoder.digest, encoder.width, encoder.depth
        self._known: dict[Text, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, self.encoder.embed(new), strict=True))
        rows = [self._known[text] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.depth, self.width)


def choices(*names: str, kind: Kind = Kind.SINGLE, name: str = "label", inputs: tuple[str, ...] = ("text",)) -> Control:
    """A control with these labels."""
    return Control(name, kind, inputs, tuple(Label((key,), key) for key in names))


def spec_of(*controls: Control) -> TaskSpec:
    """A spec with one text object per input that is read."""
    names = dict.fromkeys(name for control in controls for name in control.inputs)
    return TaskSpec(tuple(Input(name, "Text", f"${name}") for name in names), controls)


def samples_of(*rows: tuple[str, str]) -> list[Sample]:
    """(text, label) as samples; an empty label is an empty answer."""
    return [Sample(i, (text,), {label: 1.0} if label else {}) for i, (text, label) in enumerate(rows)]


@torch.inference_mode()
def forward(model: Any, ids: Sequence[int], types: Sequence[int], keep: int, pooling: str = "mean") -> Floats:
    """Pooled outputs [keep, width] of one unpadded sequence through a `transformers` model."""
    typed = getattr(model.config, "type_vocab_size", 0) > 1
    extra = {"token_type_ids": torch.tensor([list(types)])} if typed else {}
    output = model(input_ids=torch.tensor([list(ids)]), output_hidden_states=True, **extra)
    hidden = torch.stack(output.hidden_states[-keep:])[:, 0]
    return np.asarray((hidden[:, 0] if pooling == "cls" else hidden.mean(1)).numpy())


def random_engine(family: str, *, seed: int = 0, pooling: str = "mean", keep: int = 2, **options: Any) -> PackedBert:
    """A packed engine over a tiny random encoder; options as PackedBert's."""
    return engine_over(random_model(family, seed=seed), pooling=pooling, keep=keep, **options)


def random_model(family: str, *, seed: int = 0, **more: Any) -> Any:
    """A tiny random encoder of up to 512 tokens, as `transformers` has it. Weights are large enough to matter."""
    from transformers import AutoModel

    from tests.model.conftest import tiny_config

    torch.manual_seed(seed)
    more = {"max_position_embeddings": 514, "initializer_range": 0.1, **more}
    return AutoModel.from_config(tiny_config(family, **more)).eval()


def engine_over(model: Any, *, pooling: str, keep: int, **options: Any) -> PackedBert:
    """A packed engine over the tensors of a `transformers` model."""
    shape = read_shape(model.config.to_dict())
    assert shape is not None
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.safetensors"
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
        return PackedBert(shape, Weights(path), keep=keep, pooling=pooling, **options)
