"""The token-classification head in a base model's files: a matrix over the last layer, and what its outputs are called.

A tag is `O`, `B-PER`, `I-PER` (also E, S, L and U of the other schemes) or just `PER`, where words of a span are alike.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.numerics.arrays import Floats
from model.pretrained.architectures import BaseConfig

log = logging.getLogger(__name__)

FAMILIES = ("bert", "distilbert", "electra", "deberta-v2", "mpnet", "roberta", "xlm-roberta", "camembert")
"""Whose `...ForTokenClassification` in `transformers` is `classifier` over the last layer, and nothing between."""

OUTSIDE = ("o", "out", "outside", "none", "")
"""What words of no span are called, whatever the case."""

_SCHEME = re.compile(r"([BIESLU])[-_](.+)", re.DOTALL)

FIRST, FURTHER = "BSU", "IEL"


@dataclass(frozen=True)
class TokenHead:
    """`weight` [L, width] and `bias` [L] of the outputs `tags`."""

    tags: tuple[str, ...]
    weight: Floats
    bias: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """What spans can be, in the order of the tags."""
        found = (split_tag(tag)[1] for tag in self.tags)
        return tuple(dict.fromkeys(name for name in found if name))


def split_tag(tag: str) -> tuple[str, str]:
    """Where in a span a tag stands (`B`, `I`, ..., or "" for anywhere), and its name; ("", "") for none."""
    match = _SCHEME.fullmatch(tag.strip())
    if match:
        return match.group(1), match.group(2).strip()
    return ("", "") if tag.strip().lower() in OUTSIDE else ("", tag.strip())


def read_token_head(directory: Path, config: BaseConfig) -> TokenHead | None:
    """The head of a base model; None without one that can be used."""
    from safetensors import safe_open

    kinds, names = config.get("architectures") or (), config.get("id2label") or {}
    if not any(str(kind).endswith("ForTokenClassification") for kind in kinds) or not names:
        return None
    tags = tuple(str(names[key]) for key in sorted(names, key=int))
    with safe_open(directory / "model.safetensors", framework="pt") as file:  # numpy has no bfloat16
        present = set(file.keys())
        weight = file.get_tensor("classifier.weight").float().numpy() if "classifier.weight" in present else None
        bias = file.get_tensor("classifier.bias").float().numpy() if "classifier.bias" in present else None
    if config.get("model_type") not in FAMILIES or weight is None or len(weight) != len(tags):
        log.warning("the trained head of %s is not used: another kind, or incomplete", directory)
        return None
    head = TokenHead(tags, weight, np.zeros(len(tags), np.float32) if bias is None else bias)
    return head if head.names else None
