"""A linear head over the last layer as a stock `…ForTokenClassification`, without code of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

from model.encoder.padded import load_model
from model.export.bundle import ExportError
from model.numerics.arrays import Floats

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from model.encoder.encoder import Encoder

WORDS: Final = "first"
"""How tokens become words where the tokenizer marks the further pieces of a word: the first one says what it is."""
TOKENS: Final = "simple"
"""And where it does not: neighbours with one label are one span."""


def require_token_stock(encoder: Encoder, tags: Sequence[str]) -> None:
    """Raises ExportError for a family without such a class, or whose class puts something between."""
    with torch.device("meta"):
        _empty(encoder, tags)


def build_token_stock(encoder: Encoder, weight: Floats, bias: Floats, tags: Sequence[str]) -> PreTrainedModel:
    """The classifier in evaluation mode: `weight` [K, width] and `bias` [K] on the last layer of each token. Raises
    ExportError as above."""
    model, head = _empty(encoder, tags)
    own = model.base_model
    assert isinstance(own, nn.Module)
    own.load_state_dict(load_model(encoder.directory, encoder.weights).state_dict(), strict=False)
    head.weight = nn.Parameter(torch.tensor(np.asarray(weight), dtype=torch.float32))
    head.bias = nn.Parameter(torch.tensor(np.asarray(bias), dtype=torch.float32))
    nn.Module.eval(model)
    return model


def _empty(encoder: Encoder, tags: Sequence[str]) -> tuple[PreTrainedModel, nn.Linear]:
    """The class with random weights, and its last layer."""
    from transformers import AutoConfig, AutoModelForTokenClassification

    config = AutoConfig.from_pretrained(encoder.directory, trust_remote_code=False, local_files_only=True)
    config.id2label = dict(enumerate(tags))
    config.label2id = {name: place for place, name in enumerate(tags)}
    config.dtype = torch.float32
    try:
        model: PreTrainedModel = AutoModelForTokenClassification.from_config(config)
    except ValueError as error:
        raise _refusal(encoder) from error
    head = getattr(model, "classifier", None)
    if not isinstance(head, nn.Linear) or hasattr(model, "head") or head.in_features != encoder.width:
        raise _refusal(encoder)
    return model, head


def aggregation_of(directory: Path) -> str:
    """The `aggregation_strategy` by which a pipeline makes the spans that were taught, by the tokenizer's kind."""
    state = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    return WORDS if state["model"].get("continuing_subword_prefix") else TOKENS


def _refusal(encoder: Encoder) -> ExportError:
    family = str(encoder.config.get("model_type"))
    return ExportError(
        f"of a base model of the family {family} no stock classifier of tokens can be made; --format onnx exports it"
    )
