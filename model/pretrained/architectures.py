"""Which encoders have BERT's layers, and how each family's config and tensor names read in BERT's own terms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from model.kernels.choice import ProductShape

ROBERTAS = ("roberta", "xlm-roberta", "camembert")
"""Their positions start behind the padding token's: `padding_idx + 1` in transformers' RobertaEmbeddings."""

PACKABLE_FAMILIES = ("bert", "electra", "distilbert", *ROBERTAS)

PREFIX = re.compile(r"^(bert|roberta|electra|distilbert)\.")
"""`base_model_prefix` of the families: what a checkpoint with a head puts before the encoder's names."""

RENAMED = (
    (re.compile(r"LayerNorm\.gamma$"), "LayerNorm.weight"),  # checkpoints of 2018, bert-base-uncased among them
    (re.compile(r"LayerNorm\.beta$"), "LayerNorm.bias"),
    (re.compile(r"^transformer\.layer\."), "encoder.layer."),  # the rest is DistilBERT's
    (re.compile(r"\.attention\.q_lin\."), ".attention.self.query."),
    (re.compile(r"\.attention\.k_lin\."), ".attention.self.key."),
    (re.compile(r"\.attention\.v_lin\."), ".attention.self.value."),
    (re.compile(r"\.attention\.out_lin\."), ".attention.output.dense."),
    (re.compile(r"\.sa_layer_norm\."), ".attention.output.LayerNorm."),
    (re.compile(r"\.ffn\.lin1\."), ".intermediate.dense."),
    (re.compile(r"\.ffn\.lin2\."), ".output.dense."),
    (re.compile(r"\.output_layer_norm\."), ".output.LayerNorm."),
)


class BaseConfig(TypedDict, total=False):
    """What is read of a base model's config.json; the second names are DistilBERT's."""

    model_type: str
    architectures: Sequence[str] | None
    problem_type: str | None
    id2label: Mapping[str, str] | None
    is_decoder: bool
    add_cross_attention: bool
    num_hidden_layers: int
    n_layers: int
    num_attention_heads: int
    n_heads: int
    hidden_size: int
    dim: int
    intermediate_size: int
    hidden_dim: int
    hidden_act: str
    activation: str
    layer_norm_eps: float
    norm_eps: float
    position_embedding_type: str
    max_position_embeddings: int
    pad_token_id: int | None
    type_vocab_size: int
    vocab_size: int
    classifier_pooling: str


@dataclass(frozen=True)
class Shape:
    """Sizes of an encoder with BERT's layers. `first_position`: row of the position table for a text's first token."""

    layers: int
    heads: int
    width: int
    inner: int
    epsilon: float
    first_position: int


def read_shape(config: BaseConfig) -> Shape | None:
    """The shape that a config.json describes; None for layers that are not BERT's (other attention, activation)."""
    family = config.get("model_type")
    if family not in PACKABLE_FAMILIES or config.get("is_decoder") or config.get("add_cross_attention"):
        return None
    if config.get("position_embedding_type", "absolute") != "absolute":
        return None
    if family == "distilbert":
        if config.get("activation", "gelu") != "gelu":
            return None
        sizes = (config.get("n_layers", 6), config.get("n_heads", 12), config.get("dim", 768))
        return Shape(*sizes, inner=config.get("hidden_dim", 3072), epsilon=1e-12, first_position=0)
    if config.get("hidden_act", "gelu") != "gelu":
        return None
    pad = config.get("pad_token_id")
    return Shape(
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        width=int(config["hidden_size"]),
        inner=int(config["intermediate_size"]),
        epsilon=float(config.get("layer_norm_eps", 1e-12)),
        first_position=(1 if pad is None else int(pad)) + 1 if family in ROBERTAS else 0,
    )


def canonical_name(name: str) -> str:
    """A tensor's name as BertModel has it. `bert.embeddings.LayerNorm.gamma` -> `embeddings.LayerNorm.weight`"""
    name = PREFIX.sub("", name)
    for was, now in RENAMED:
        name = was.sub(now, name)
    return name


def product_shape(config: BaseConfig) -> ProductShape:
    """The sizes of any encoder's matrix products, as far as its config tells; 0 for what it does not."""
    width = int(config.get("hidden_size") or config.get("dim") or 0)
    inner = int(config.get("intermediate_size") or config.get("hidden_dim") or 4 * width)
    return ProductShape(width, inner, int(config.get("num_attention_heads") or config.get("n_heads") or 1))


def linear_cost(config: BaseConfig) -> int:
    """Floating-point operations of the linear layers for one token: MiniLM 21 million, BERT-base 170 million.

    Of any encoder; attention itself, which grows with the text, is not in it."""
    layers = int(config.get("num_hidden_layers") or config.get("n_layers") or 0)
    width = int(config.get("hidden_size") or config.get("dim") or 0)
    inner = int(config.get("intermediate_size") or config.get("hidden_dim") or 4 * width)
    return layers * (8 * width * width + 4 * width * inner)
