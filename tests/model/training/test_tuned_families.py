"""Every family learns: a head on its features, and the whole encoder, which is served as it was trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from model.encoder.encoder import Encoder
from model.encoder.windows import Windows
from model.head.fit import fit_head
from model.pretrained.base_model import read_config
from model.pretrained.reading import read_window
from model.spec import Text
from model.training.tuner import FineTuner, TrainingSet, prototype_head
from tests.model.conftest import FAMILIES, TinyModel
from tests.support.classifier_base import letter_texts
from tests.support.encoders import choices, forward, samples_of

NAMES = ("one", "two", "three")
LONG: Text = (" ".join("abcdefghijkl"[i * i % 12] for i in range(100)),)


def lesson_of(encoder: Encoder, texts: list[Text], truth: list[int]) -> TrainingSet:
    targets = np.eye(3)[truth]
    features = encoder.embed(texts)[:, -1]
    start = prototype_head(np.eye(3, features.shape[1]), features, targets)
    return TrainingSet("label", NAMES, False, texts, targets, np.ones(len(texts)), start)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_learns_on_its_features(family: str, tiny_model: TinyModel) -> None:
    encoder = Encoder(tiny_model(family, initializer_range=0.2)[0])
    texts, truth = letter_texts(60)
    rows = samples_of(*[(text[0], NAMES[group]) for text, group in zip(texts, truth, strict=True)])
    head = fit_head(choices(*NAMES), rows, [], encoder)
    others, wanted = letter_texts(60, seed=1)
    assert (head.scores(others, encoder.embed(others)).argmax(1) == wanted).mean() > 0.8


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_it_is_tuned_and_served_as_it_was_trained(
    family: str, pooling: str, tiny_model: TinyModel, tmp_path: Path
) -> None:
    directory, _ = tiny_model(family, pooling=pooling, initializer_range=0.1)
    texts, truth = letter_texts(36)
    texts[0], texts[1] = LONG, ("a b c", "d a")  # several windows, two segments
    losses: list[float] = []
    tuning = FineTuner(directory, [lesson_of(Encoder(directory), texts, truth)], seed=1, threads=1, precision="fp32")
    tuning.run(12, lambda step, loss: losses.append(loss))
    assert np.isfinite(losses).all()
    tuning.save_encoder(tmp_path / "tuned.safetensors")
    served = Encoder(directory, weights=tmp_path / "tuned.safetensors")
    window = read_window(directory, read_config(directory))
    for text in (texts[1], texts[2], LONG):
        parts = Windows(directory, window).split([text])
        vectors = [last_layer(tuning.encoder, part.ids, part.types, pooling) for part in parts]
        expected = np.average(vectors, axis=0, weights=[len(part.ids) for part in parts])
        np.testing.assert_allclose(served.embed([text])[0, -1], expected, atol=1e-5)
    scores = tuning.heads({"label": 1.0}, {"label": 1.0})["label"].scores(served.embed(texts)[:, -1])
    whole = [row for row, text in enumerate(texts) if text != LONG]  # training reads one window at a time
    np.testing.assert_allclose(tuning.answers(0, [texts[row] for row in whole]), scores[whole], atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_and_lower_layers_stay_and_the_upper_ones_learn(
    family: str, tiny_model: TinyModel, tmp_path: Path
) -> None:
    directory, model = tiny_model(family, initializer_range=0.1)
    texts, truth = letter_texts(36)
    tuning = FineTuner(directory, [lesson_of(Encoder(directory), texts, truth)], seed=1, threads=1)
    tuning.run(6, lambda step, loss: None)
    tuning.save_encoder(tmp_path / "tuned.safetensors")
    after, before = load_file(tmp_path / "tuned.safetensors"), model.state_dict()
    moved = {name for name, value in after.items() if name in before and not value.equal(before[name])}
    tables = {name for name in before if name.endswith("embeddings.weight")}
    assert tables and not tables & moved
    learned = {number for number in range(3) if any(re.search(rf"layers?\.{number}\.", name) for name in moved)}
    assert learned == {1, 2}


def last_layer(model: Any, ids: list[int], types: list[int], pooling: str) -> Any:
    return forward(model, ids, types, 1, pooling)[0]
