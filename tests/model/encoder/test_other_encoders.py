"""Tiny random encoders of several families equal the `transformers` forward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.encoder.windows import Windows
from model.pretrained.base_model import read_config
from model.pretrained.reading import read_window
from model.spec import Text
from tests.model.conftest import FAMILIES, TinyModel
from tests.support.encoders import Floats, forward

TEXTS: list[Text] = [("a b c d e f",), ("g",), ("",), ("h i j k l a b",), ("a b", "c d e"), ("b a c",)]
LONG: Text = (" ".join("abcdefghijkl"[i * i % 12] for i in range(100)),)


def expected(encoder: Encoder, model: Any, text: Text) -> Floats:
    """Each window through the `transformers` model by itself, weighted by its tokens."""
    window = read_window(encoder.directory, read_config(encoder.directory))
    parts = Windows(encoder.directory, window).split([text])
    vectors = [forward(model, part.ids, part.types, encoder.depth, encoder.pooling) for part in parts]
    return np.asarray(np.average(vectors, axis=0, weights=[len(part.ids) for part in parts]))


def assert_equal_to_transformers(encoder: Encoder, model: Any, texts: list[Text]) -> None:
    for text, found in zip(texts, encoder.embed(texts), strict=True):
        kept = (
            -1 if len(text) > 1 else 0
        )  # of a pair only the last layer is the sequence's own (model/encoder/pairs.py)
        np.testing.assert_allclose(found[kept:], expected(encoder, model, text)[kept:], atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_equals_transformers(family: str, pooling: str, tiny_model: TinyModel) -> None:
    directory, model = tiny_model(family, pooling=pooling)
    encoder = Encoder(directory)
    assert (encoder.depth, encoder.width, encoder.pooling) == (3, 16, pooling)
    assert_equal_to_transformers(encoder, model, TEXTS)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_long_text_is_the_mean_of_its_windows(family: str, pooling: str, tiny_model: TinyModel) -> None:
    directory, model = tiny_model(family, pooling=pooling)
    assert read_window(directory, read_config(directory)) == 40
    assert_equal_to_transformers(Encoder(directory), model, [LONG, TEXTS[0]])


def test_bert_with_another_activation_equals_transformers(tiny_model: TinyModel) -> None:
    directory, model = tiny_model("bert", hidden_act="relu")
    assert_equal_to_transformers(Encoder(directory), model, TEXTS)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_does_not_change_a_text(family: str, tiny_model: TinyModel) -> None:
    encoder = Encoder(tiny_model(family)[0])
    alone = np.concatenate([encoder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.embed(TEXTS), alone, atol=1e-5)


def test_cls_pooling_differs_from_mean_pooling(tiny_model: TinyModel) -> None:
    mean, cls = (Encoder(tiny_model("bert", pooling=pooling)[0]) for pooling in ("mean", "cls"))
    assert np.abs(mean.embed(TEXTS) - cls.embed(TEXTS)).max() > 1e-3
    assert mean.digest != cls.digest


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_the_digest_follows_the_weights(family: str, tiny_model: TinyModel) -> None:
    directory, other = tiny_model(family)[0], tiny_model(family, seed=1)[0]
    assert Encoder(directory).digest == Encoder(directory).digest
    assert Encoder(directory).digest != Encoder(other).digest


@pytest.mark.parametrize("family", FAMILIES)
def test_replaced_weights_are_the_ones_used(family: str, tiny_model: TinyModel) -> None:
    directory, other = tiny_model(family)[0], tiny_model(family, seed=1)[0]
    tuned = Encoder(directory, weights=other / "model.safetensors")
    np.testing.assert_allclose(tuned.embed(TEXTS), Encoder(other).embed(TEXTS), atol=1e-6)
    assert tuned.digest != Encoder(directory).digest
