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

from model.encoder.encoder import Encoder, find_base_model
from model.spec import Control, Sample, Text
from tests.support.encoders import Floats, Remembering, choices, samples_of

SAMPLE_DATA = Path(__file__).parents[2] / "docs" / "examples" / "support_messages.csv"
LETTERS = "abcdefghijkl"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
ROBERTAS = ("roberta", "xlm-roberta", "camembert", "mpnet")
FAMILIES = ("bert", "distilbert", "electra", "modernbert", "deberta-v2", *ROBERTAS)

DEBERTA = {
    **{"relative_attention": True, "position_buckets": 8, "pos_att_type": ["c2p", "p2c"], "share_att_key": True},
    **{"norm_rel_ebd": "layer_norm", "position_biased_input": False, "type_vocab_size": 0},
}
MODERN = {
    **{"local_attention": 8, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3},
}
"""Windows of 40 tokens: longer than what the local layers see."""


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


def write_tokenizer(directory: Path, *, family: str = "bert") -> None:
    """A tokenizer that knows twelve letters, with the special tokens where the family has them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ROBERTA_SPECIAL if family in ROBERTAS else SPECIAL
    vocabulary = {word: index for index, word in enumerate([*special, *LETTERS])}
    first, last = (special[0], special[2]) if family in ROBERTAS else (special[2], special[3])
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special[3] if family in ROBERTAS else special[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    pair = f"{first} $A {last} {last} $B {last}" if family in ROBERTAS else f"{first} $A {last} $B:1 {last}:1"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=pair,
        special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])],
    )
    tokenizer.save(str(directory / "tokenizer.json"))


def tiny_config(family: str, **more: Any) -> Any:
    """A three-layer configuration of a family, at most 40 tokens a window but where `more` says otherwise."""
    import transformers as hub

    pad = 1 if family in ROBERTAS else 0  # RoBERTa's positions start behind it
    common = {"vocab_size": len(SPECIAL) + len(LETTERS), "max_position_embeddings": 40, "pad_token_id": pad}
    usual = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, **common}
    if family in ROBERTAS:
        usual["max_position_embeddings"] = 42
    special = {"deberta-v2": DEBERTA, "electra": {"embedding_size": 8}, "modernbert": MODERN}.get(family, {})
    if family == "distilbert":
        return hub.DistilBertConfig(**{"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32, **common, **more})
    if family in ("roberta", "xlm-roberta", "camembert"):
        special = {"type_vocab_size": 1}
    return hub.AutoConfig.for_model(family, **{**usual, **special, **more})


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
        write_tokenizer(directory, family=family)
        (directory / "1_Pooling").mkdir()
        modes = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
        (directory / "1_Pooling" / "config.json").write_text(json.dumps(modes))
        return directory, model

    return build
