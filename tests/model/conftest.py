"""The packaged MiniLM, the sample data encoded once, and tiny random encoders of other families."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.encoder import Encoder, find_base_model
from model.spec import Control, Sample, Text
from tests.model.fakes import Floats, Remembering, choices, samples_of

SAMPLE_DATA = Path(__file__).parents[2] / "examples" / "support_messages.csv"
LETTERS = "abcdefghijkl"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@pytest.fixture(scope="session")
def minilm() -> Encoder:
    return Encoder(find_base_model())


@dataclass(frozen=True)
class Messages:
    """Eight labelled messages per class, and held-out ones."""

    control: Control
    embedder: Remembering
    samples: list[Sample]
    texts: list[Text]
    truth: list[str]

    def features(self) -> Floats:
        """Of the held-out texts."""
        return self.embedder.embed(self.texts)

    def accuracy(self, head: Any) -> float:
        """Of a head on the held-out texts."""
        answers = np.array(head.labels)[head.scores(self.texts, self.features()).argmax(1)]
        return float((answers == np.array(self.truth)).mean())


@pytest.fixture(scope="session")
def messages(minilm: Encoder) -> Messages:
    with SAMPLE_DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = sorted({row["label"] for row in rows})
    train = [(row["text"], row["label"]) for row in rows if row["split"] == "train"]
    few = [pair for label in labels for pair in [pair for pair in train if pair[1] == label][:8]]
    test = [row for row in rows if row["split"] == "test"][:150]
    texts: list[Text] = [(row["text"],) for row in test]
    embedder = Remembering(minilm)
    return Messages(choices(*labels), embedder, samples_of(*few), texts, [row["label"] for row in test])


def write_tokenizer(directory: Path, *, typed: bool) -> None:
    """A tokenizer that knows twelve letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    kind = ":1" if typed else ""
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A [SEP] $B{kind} [SEP]{kind}",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(directory / "tokenizer.json"))


def tiny_config(family: str, **more: Any) -> Any:
    """A three-layer configuration of a family."""
    import transformers as hub

    common = {"vocab_size": len(SPECIAL) + len(LETTERS), "max_position_embeddings": 42, "pad_token_id": 0, **more}
    usual = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, **common}
    if family == "distilbert":
        return hub.DistilBertConfig(dim=16, n_layers=3, n_heads=2, hidden_dim=32, **common)
    if family == "electra":
        return hub.ElectraConfig(embedding_size=8, **usual)
    if family == "roberta":
        return hub.RobertaConfig(type_vocab_size=1, **usual)
    return hub.BertConfig(**usual)


TinyModel = Callable[..., tuple[Path, Any]]


@pytest.fixture
def tiny_model(tmp_path: Path) -> TinyModel:
    """Builds (directory, transformers model) of a random encoder."""

    def build(family: str, *, seed: int = 0, pooling: str = "mean", **more: Any) -> tuple[Path, Any]:
        from transformers import AutoModel

        directory = tmp_path / f"{family}-{seed}-{pooling}"
        torch.manual_seed(seed)
        model = AutoModel.from_config(tiny_config(family, **more)).eval()
        model.save_pretrained(directory)
        write_tokenizer(directory, typed=family != "roberta")
        (directory / "1_Pooling").mkdir()
        modes = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
        (directory / "1_Pooling" / "config.json").write_text(json.dumps(modes))
        return directory, model

    return build
