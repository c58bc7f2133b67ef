"""A tiny classifier that tells groups of letters apart, trained here and saved as `transformers` saves one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.spec import Text
from tests.model.conftest import tiny_config, write_tokenizer
from tests.support.encoders import Floats

GROUPS = ("abcd", "efgh", "ijkl")
NAMES = ("Card Payment", "lost_parcel", "refundRequest")


STEADY = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
"""So small a model learns in 40 steps with these."""


def letter_texts(count: int, seed: int = 0) -> tuple[list[Text], list[int]]:
    """Texts of letters, mostly of one group, and the group's number; the three groups in turn."""
    generator = np.random.default_rng(seed)
    truth = [index % 3 for index in range(count)]
    texts: list[Text] = []
    for group in truth:
        own = generator.choice(list(GROUPS[group]), 5)
        other = generator.choice(list("".join(GROUPS)), 2)
        texts.append((" ".join(generator.permutation([*own, *other])),))
    return texts, truth


def build_classifier(
    directory: Path, family: str = "bert", names: Sequence[str] = NAMES, *, steps: int = 0, seed: int = 0, **more: Any
) -> Any:
    """A classifier of this family in `directory`, trained for `steps` steps; the `transformers` model."""
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(seed)
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    model = AutoModelForSequenceClassification.from_config(tiny_config(family, **labels, **STEADY, **more))
    for parameter in model.parameters() if not steps else ():
        if parameter.ndim > 1:  # as built, all answers are nearly equal
            torch.nn.init.normal_(parameter, std=0.3)
    directory.mkdir(parents=True, exist_ok=True)
    write_tokenizer(directory, family=family)
    _train(model, directory, steps)
    model.eval().save_pretrained(directory)
    return model


def logits_of(model: Any, directory: Path, texts: Sequence[Text]) -> Floats:
    """The classifier's own logits [n, L], one text at a time."""
    with torch.inference_mode():
        return np.concatenate([model(**_inputs(model, directory, [text])).logits.numpy() for text in texts])


def write_pooling(directory: Path, pooling: str) -> None:
    """The pooling of sentence-transformers."""
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))


def _train(model: Any, directory: Path, steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    texts, truth = letter_texts(96, seed=9)
    inputs, targets = _inputs(model, directory, texts), torch.tensor(truth) % model.config.num_labels
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(**inputs).logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _inputs(model: Any, directory: Path, texts: Sequence[Text]) -> dict[str, torch.Tensor]:
    """Of texts that have the same number of tokens."""
    from tokenizers import Tokenizer

    encoded = Tokenizer.from_file(str(directory / "tokenizer.json")).encode_batch([text[0] for text in texts])
    return {"input_ids": torch.tensor([item.ids for item in encoded])}
