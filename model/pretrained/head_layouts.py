"""The trained classification head in a base model's files: which tensors it is made of, and what it reads.

One line of LAYOUTS per family, as the `…ForSequenceClassification` classes of `transformers` have it: an optional dense
layer with an activation (and, for ModernBERT, a norm) over the pooled last layer, then one matrix.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from model.numerics.arrays import Floats
from model.pretrained.architectures import BaseConfig
from model.pretrained_head import ACTIVATIONS, PretrainedHead

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """Names of a head's modules. `activation` starting with `config:` names the setting that holds it."""

    dense: str
    activation: str
    output: str
    norm: str = ""


_ROBERTA = Layout("classifier.dense", "tanh", "classifier.out_proj")

LAYOUTS = {
    "bert": Layout("bert.pooler.dense", "tanh", "classifier"),
    "distilbert": Layout("pre_classifier", "relu", "classifier"),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert", "mpnet"), _ROBERTA),
    "electra": Layout("classifier.dense", "gelu", "classifier.out_proj"),
    "deberta-v2": Layout("pooler.dense", "config:pooler_hidden_act", "classifier"),
    "modernbert": Layout("head.dense", "config:classifier_activation", "classifier", norm="head.norm"),
}


def has_head(config: BaseConfig) -> bool:
    """Whether the config describes a classifier of at least two classes."""
    kinds = config.get("architectures") or ()
    named = any(str(kind).endswith("ForSequenceClassification") for kind in kinds)
    return named and config.get("problem_type") != "regression" and len(config.get("id2label") or ()) >= 2


def pooling_of(config: BaseConfig) -> str:
    """How the trained head pools the last layer; `mean` for a model without one."""
    if not has_head(config) or config.get("model_type") not in LAYOUTS:
        return "mean"
    return str(config.get("classifier_pooling", "cls")) if config["model_type"] == "modernbert" else "cls"


def read_taught(directory: Path, config: BaseConfig, pooling: str) -> PretrainedHead | None:
    """The trained head of a base model; None without one, or when it reads other features than `pooling` gives."""
    layout = LAYOUTS.get(str(config.get("model_type")))
    if layout is None or not has_head(config) or pooling != pooling_of(config):
        return None
    activation = layout.activation
    if activation.startswith("config:"):
        activation = str(config.get(activation.removeprefix("config:"), "gelu"))
    arrays = _read_arrays(directory / "model.safetensors", layout)
    names = config.get("id2label") or {}
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    whole = "dense.weight" in arrays and "output.weight" in arrays and len(arrays["output.weight"]) == len(labels)
    if not whole or activation not in ACTIVATIONS:
        log.warning("the trained head of %s is not used: incomplete, or its activation %s", directory, activation)
        return None
    multilabel = config.get("problem_type") == "multi_label_classification"
    epsilon = float(config.get("norm_eps", 1e-5))
    return PretrainedHead(labels, multilabel, activation, epsilon, arrays)


def _read_arrays(path: Path, layout: Layout) -> dict[str, Floats]:
    """`dense.weight`, `dense.bias`, `norm.weight`, `norm.bias`, `output.weight`, `output.bias` as far as there are."""
    from safetensors import safe_open

    modules = {"dense": layout.dense, "norm": layout.norm, "output": layout.output}
    wanted = {f"{module}.{kind}": f"{name}.{kind}" for module, name in modules.items() for kind in ("weight", "bias")}
    with safe_open(path, framework="pt") as file:  # numpy has no bfloat16
        present = set(file.keys())
        return {key: file.get_tensor(name).float().numpy() for key, name in wanted.items() if name in present}
