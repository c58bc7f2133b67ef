"""Encoders as people publish them: under a prefix, with other heads, in half precision, with the names of 2018."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model.encoder.encoder import Encoder
from model.encoder.windows import Windows
from model.errors import EncoderError
from model.pretrained.base_model import find_base_model
from tests.model.conftest import FAMILIES, LETTERS, ROBERTA_SPECIAL, SPECIAL, TinyModel, tiny_config, write_tokenizer
from tests.model.encoder.test_other_encoders import TEXTS, assert_equal_to_transformers


def rewrite(directory: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the tensors of a checkpoint."""
    path = directory / "model.safetensors"
    tensors = {name: value.clone() for name, value in load_file(path).items()}  # the file stays mapped
    path.unlink()
    save_file(change(tensors), path, metadata={"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_masked_language_model_is_an_encoder_under_a_prefix(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(tiny_config(family)).eval()
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path, family=family)
    assert any(name.startswith(f"{model.base_model_prefix}.") for name in load_file(tmp_path / "model.safetensors"))
    encoder = Encoder(tmp_path)
    assert encoder.taught is None and encoder.pooling == "mean"
    assert_equal_to_transformers(encoder, getattr(model, model.base_model_prefix), TEXTS)


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_bert_with_the_names_of_its_first_checkpoints(prefix: str, tiny_model: TinyModel) -> None:
    directory, model = tiny_model("bert")

    def rename(name: str) -> str:
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        return prefix + old

    rewrite(directory, lambda tensors: {rename(name): value for name, value in tensors.items()})
    assert_equal_to_transformers(Encoder(directory), model, TEXTS)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(family: str, precision: torch.dtype, tiny_model: TinyModel) -> None:
    directory, model = tiny_model(family)
    rewrite(directory, lambda tensors: {name: value.to(precision) for name, value in tensors.items()})
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "dtype": str(precision).removeprefix("torch.")}))
    assert_equal_to_transformers(Encoder(directory), model.to(precision).float(), TEXTS)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_without_one_of_its_tensors_is_refused(family: str, tiny_model: TinyModel) -> None:
    directory, _ = tiny_model(family)
    name = next(name for name in load_file(directory / "model.safetensors") if "layer" in name and "bias" not in name)
    rewrite(directory, lambda tensors: {key: value for key, value in tensors.items() if key != name})
    with pytest.raises(EncoderError, match=r"layer"):
        Encoder(directory)


def test_a_bert_without_segments_reads_a_pair(tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("bert", type_vocab_size=1)
    pair, single = Encoder(directory).embed([("a b", "c"), ("a b",)])
    assert np.isfinite(pair).all() and np.abs(pair - single).max() > 1e-3


def test_a_foreign_architecture_is_refused(tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("bert")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "model_type": "nobodys-transformer"}))
    with pytest.raises(EncoderError, match="cannot be loaded"):
        Encoder(directory)


def test_weights_in_pieces_are_refused_by_name(tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("bert")
    (directory / "model.safetensors").rename(directory / "model-00001-of-00001.safetensors")
    with pytest.raises(EncoderError, match=r"no model\.safetensors"):
        find_base_model(str(directory))


def test_a_vocabulary_alone_makes_the_tokenizer(tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("bert")
    before = Encoder(directory).embed(TEXTS)
    (directory / "tokenizer.json").unlink()
    (directory / "vocab.txt").write_text("\n".join([*SPECIAL, *LETTERS]))
    np.testing.assert_allclose(Encoder(directory).embed(TEXTS), before, atol=1e-6)


def test_merges_and_a_vocabulary_make_the_tokenizer(tiny_model: TinyModel) -> None:
    directory, model = tiny_model("roberta")
    (directory / "tokenizer.json").unlink()
    pieces = [*ROBERTA_SPECIAL, "Ġ", *"abcdefghij", "Ġb"]
    (directory / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (directory / "merges.txt").write_text("#version: 0.2\nĠ b\n")
    assert [window.ids for window in Windows(directory, 40).split([("ab b c",)])] == [[0, 5, 6, 15, 4, 7, 2]]
    assert_equal_to_transformers(Encoder(directory), model, TEXTS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("tokenizer.json", "EOF"), ("spiece.model", "knows 7 tokens, the encoder 16"), ("spm.model", "")],
)
def test_an_unusable_tokenizer_is_an_encoder_error_with_a_remedy(name: str, reason: str, tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("deberta-v2")
    (directory / "tokenizer.json").unlink()
    (directory / name).write_text("{")
    with pytest.raises(EncoderError, match=f"(?s)tokenizer in .*{reason}.*save_pretrained"):
        Encoder(directory)
