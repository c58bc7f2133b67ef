"""A cosine head over an encoder as a stock `…ForSequenceClassification`, without code of its own.

Those classes read one token through a dense layer and an activation; here answers come from the unit vector of the mean
over all tokens. A further layer of the encoder's own kind makes one of the other: queries and keys of 0 attend evenly
to all tokens, values are the tokens as they are, and the layer norm behind gives unit length but for a factor. A layer
norm takes the mean over the units away: the space is turned before, so that this is the direction in which tokens say
least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from model.encoder.padded import load_model
from model.export.bundle import ExportError
from model.numerics.arrays import Floats, normalise, softmax_rows
from model.pretrained.architectures import PACKABLE_FAMILIES, canonical_name, read_shape
from model.spec import Text

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from model.encoder.encoder import Encoder

LOUD = 2.0**14
"""How much louder the mean is than the token to which the layer adds it: 1e-4 of that token is left."""

QUIET = 2.0**-8
"""A tanh of so little is linear: its input is 27 at most, and 6 usually."""

LIFT = 32.0
"""Added before a relu or gelu and taken away behind it: no unit of a layer norm's output of up to 1,024 is lower."""

PROBED_TEXTS = 256
"""Texts whose tokens say in which direction there is least."""

SINGLE: Final = "single_label_classification"
SEVERAL: Final = "multi_label_classification"


@dataclass(frozen=True)
class CosineHead:
    """logits [n, K] = unit vectors @ coefficients.T + bias; `names` are what the outputs are called."""

    names: tuple[str, ...]
    several: bool
    coefficients: Floats  # [K, width]
    bias: Floats  # [K]

    def scores(self, embeddings: Floats) -> Floats:
        """Probabilities [n, K] from last-layer embeddings [n, width]."""
        logits = normalise(np.asarray(embeddings, dtype=np.float64)) @ self.coefficients.T + self.bias
        return np.asarray(expit(logits)) if self.several else softmax_rows(logits)

    def at(self, temperature: float) -> CosineHead:
        """The same at a temperature."""
        return CosineHead(self.names, self.several, self.coefficients / temperature, self.bias / temperature)


def require_stock(encoder: Encoder) -> None:
    """Raises ExportError for a base model of which no such classifier can be made."""
    family = str(encoder.config.get("model_type"))
    if read_shape(encoder.config) is None or encoder.width > LIFT**2:
        raise ExportError(
            f"of a base model of the family {family} no stock classifier can be made: it takes one of "
            f"{', '.join(PACKABLE_FAMILIES)}; --format onnx exports any"
        )


def build_stock(encoder: Encoder, head: CosineHead, texts: Sequence[Text]) -> PreTrainedModel:
    """The classifier, in evaluation mode. `texts`: some that it is made for. Raises ExportError."""
    from transformers import AutoModelForSequenceClassification

    require_stock(encoder)
    source = load_model(encoder.directory, encoder.weights)
    averages = encoder.pooling == "mean"
    config = _configure(encoder, head, extra=int(averages))
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    own = model.base_model
    assert isinstance(own, nn.Module)
    state = {name: value for name, value in source.state_dict().items() if not name.startswith("pooler.")}
    own.load_state_dict(state, strict=False)
    weight = np.asarray(head.coefficients, dtype=np.float64)
    if averages:
        turn = _turn(_quiet_direction(encoder, texts))
        _fill_average(_last_layer(own), turn)
        weight = weight @ turn.T / np.sqrt(encoder.width)
    else:  # unit length but for the norm, which a layer norm leaves nearly the same for all texts
        pooled = encoder.embed(list(texts[:PROBED_TEXTS]))[:, -1]
        weight = weight / float(np.linalg.norm(pooled, axis=1).mean())
    _fill_head(model, str(encoder.config.get("model_type")), weight, np.asarray(head.bias, dtype=np.float64))
    nn.Module.eval(model)
    return model


def rebuild_stock(
    encoder: Encoder, weight: Floats, bias: Floats, names: Sequence[str], several: bool
) -> PreTrainedModel:
    """An imported classifier with other outputs than its own: `weight` [K, h] and `bias` [K] of its last layer."""
    from transformers import AutoModelForSequenceClassification

    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        encoder.directory, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    _, output = _head_of(model, str(encoder.config.get("model_type")))
    output.weight = nn.Parameter(torch.tensor(np.asarray(weight), dtype=torch.float32))
    output.bias = nn.Parameter(torch.tensor(np.asarray(bias), dtype=torch.float32))
    _name_outputs(model.config, names, several)
    nn.Module.eval(model)
    return model


def save_stock(model: PreTrainedModel, encoder: Encoder, directory: Path) -> None:
    """config.json, model.safetensors and the tokenizer's files. Nothing in them names a place on this machine."""
    from model.export.stock.tokenizer import save_tokenizer

    model.config._name_or_path = ""
    model.save_pretrained(directory, safe_serialization=True)
    save_tokenizer(encoder, directory)


def _configure(encoder: Encoder, head: CosineHead, extra: int) -> PretrainedConfig:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(encoder.directory, trust_remote_code=False, local_files_only=True)
    _name_outputs(config, head.names, head.several)
    config.num_hidden_layers = int(config.num_hidden_layers) + extra
    config.dtype = torch.float32
    return config


def _name_outputs(config: PretrainedConfig, names: Sequence[str], several: bool) -> None:
    config.id2label = dict(enumerate(names))
    config.label2id = {name: place for place, name in enumerate(names)}
    config.problem_type = SEVERAL if several else SINGLE


def _last_layer(encoder: nn.Module) -> nn.Module:
    stacks = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    return max(stacks, key=len)[-1]


def _quiet_direction(encoder: Encoder, texts: Sequence[Text]) -> Floats:
    """The unit vector [width] along which the last layer's tokens have the least."""
    probed = list(texts[:PROBED_TEXTS]) or [("a",)]
    states = encoder.token_states([text[0] for text in probed], [encoder.layers])
    pooled = np.asarray(encoder.embed(probed)[:, -1], dtype=np.float64)
    moments = pooled.T @ pooled
    for own in states:
        tokens = np.asarray(own.states[:, 0], dtype=np.float64)
        moments += tokens.T @ tokens
    return np.asarray(np.linalg.eigh(moments)[1][:, 0])


def _turn(direction: Floats) -> Floats:
    """An orthogonal matrix [width, width] that takes a unit vector to the one whose parts are all alike."""
    width = len(direction)
    even = np.full(width, 1 / np.sqrt(width))
    apart = direction - even
    size = float(apart @ apart)
    return np.eye(width) if size < 1e-12 else np.eye(width) - 2 * np.outer(apart, apart) / size


@torch.no_grad()
def _fill_average(layer: nn.Module, turn: Floats) -> None:
    """The layer's output at every token: the mean of its inputs, turned, with mean 0 and variance 1."""
    for name, parameter in layer.named_parameters():
        kind = canonical_name(f"encoder.layer.0.{name}").removeprefix("encoder.layer.0.")
        if kind == "attention.self.value.weight":
            parameter.copy_(torch.eye(len(parameter)))
        elif kind == "attention.output.dense.weight":
            parameter.copy_(torch.tensor(LOUD * turn, dtype=torch.float32))
        elif kind.endswith("LayerNorm.weight"):
            parameter.fill_(1.0)
        else:
            parameter.zero_()


@torch.no_grad()
def _fill_head(model: PreTrainedModel, family: str, weight: Floats, bias: Floats) -> None:
    """`weight` [K, width] on the first token, through the class's own dense layer and activation."""
    lifts = family in ("distilbert", "electra")
    dense, output = _head_of(model, family)
    scale, shift = (1.0, LIFT) if lifts else (QUIET, 0.0)
    dense.weight.copy_(scale * torch.eye(dense.weight.shape[0]))
    dense.bias.fill_(shift)
    output.weight.copy_(torch.tensor(weight / scale, dtype=torch.float32))
    output.bias.copy_(torch.tensor(bias - shift * weight.sum(1), dtype=torch.float32))


def _head_of(model: PreTrainedModel, family: str) -> tuple[nn.Linear, nn.Linear]:
    from model.pretrained.head_layouts import LAYOUTS

    layout = LAYOUTS[family]
    dense, output = model.get_submodule(layout.dense), model.get_submodule(layout.output)
    assert isinstance(dense, nn.Linear) and isinstance(output, nn.Linear)
    return dense, output
