"""A base model that carries a trained head: it answers first, and labels decide what is left of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from model.encoder.encoder import Encoder
from model.errors import EncoderError
from model.features.cache import CachedEncoder, FeatureCache
from model.head.fit import fit_head
from model.head.head_config import HeadConfig
from model.head.linear_head import restore_head
from model.pretrained.classifier_head import match_labels
from model.pretrained.head_layouts import LAYOUTS
from model.pretrained.reading import read_pooling
from model.pretrained_head import PretrainedHead
from model.spec import Control, Kind, Label, Sample
from model.training.tuner import FineTuner, TrainingSet, prototype_head
from model.versions.live_model import cold_start
from tests.model.conftest import TinyModel
from tests.support.classifier_base import NAMES, build_classifier, letter_texts, logits_of, write_pooling
from tests.support.encoders import Floats, choices, samples_of, spec_of

TEXTS, TRUTH = letter_texts(60)
CONTROL = choices("lost parcel", "card payment", "refund request")
ORDER = [1, 0, 2]
"""The control's columns in the order of NAMES."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Encoder]:
    directory = tmp_path_factory.mktemp("taught")
    model = build_classifier(directory, steps=40)
    return directory, model, Encoder(directory)


def samples(labels: Sequence[str], count: int, seed: int = 5) -> list[Sample]:
    """Letters labelled with the group's name among `labels`."""
    texts, truth = letter_texts(count, seed)
    return samples_of(*[(text[0], labels[group]) for text, group in zip(texts, truth, strict=True)])


def accuracy(scores: Floats, labels: Sequence[str], wanted: Sequence[str]) -> float:
    found = [labels[index] for index in scores.argmax(1)]
    return float(np.mean([name == wanted[group] for name, group in zip(found, TRUTH, strict=True)]))


@pytest.mark.parametrize("family", LAYOUTS)
def test_a_head_gives_the_logits_of_transformers(family: str, tmp_path: Path) -> None:
    model = build_classifier(tmp_path, family)
    encoder = Encoder(tmp_path)
    assert encoder.pooling == "cls" and encoder.taught is not None
    expected = logits_of(model, tmp_path, TEXTS)
    assert expected.std(0).min() > 0.05, "answers that differ"
    np.testing.assert_allclose(encoder.taught.logits(encoder.embed(TEXTS)[:, -1]), expected, atol=1e-4)


def test_logits_are_the_trained_heads(trained: tuple[Path, Any, Encoder]) -> None:
    directory, model, encoder = trained
    np.testing.assert_allclose(encoder.logits(TEXTS), logits_of(model, directory, TEXTS), atol=1e-4)


def test_without_a_trained_head_logits_are_refused_with_the_remedy(minilm: Encoder) -> None:
    with pytest.raises(EncoderError, match=r"no trained head.*BASE_MODEL must name"):
        minilm.logits(TEXTS)


def test_modernbert_may_pool_by_the_mean(tmp_path: Path) -> None:
    options = {
        "classifier_pooling": "mean",
        "classifier_bias": True,
        "norm_bias": True,
        "classifier_activation": "silu",
    }
    model = build_classifier(tmp_path, "modernbert", **options)
    encoder = Encoder(tmp_path)
    assert encoder.pooling == "mean" and encoder.taught is not None
    expected = logits_of(model, tmp_path, TEXTS)
    np.testing.assert_allclose(encoder.taught.logits(encoder.embed(TEXTS)[:, -1]), expected, atol=1e-4)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_a_head_in_half_precision_is_read(precision: torch.dtype, tmp_path: Path) -> None:
    model = build_classifier(tmp_path)
    model.to(precision).save_pretrained(tmp_path)
    encoder = Encoder(tmp_path)
    assert encoder.taught is not None
    expected = logits_of(model.float(), tmp_path, TEXTS)
    np.testing.assert_allclose(encoder.taught.logits(encoder.embed(TEXTS)[:, -1]), expected, atol=1e-4)


def test_the_first_answers_are_those_of_the_trained_model(trained: tuple[Path, Any, Encoder]) -> None:
    directory, model, encoder = trained
    own = softmax(logits_of(model, directory, TEXTS), axis=1)
    head = fit_head(CONTROL, [], [], encoder)
    scores = head.scores(TEXTS, encoder.embed(TEXTS))
    np.testing.assert_allclose(scores, own[:, ORDER], atol=1e-4)
    assert accuracy(scores, head.labels, [CONTROL.keys()[i] for i in ORDER]) == accuracy(own, NAMES, NAMES) > 0.9


def test_a_live_model_serves_it_from_the_first_task_on(trained: tuple[Path, Any, Encoder], tmp_path: Path) -> None:
    directory, model, encoder = trained
    cached = CachedEncoder(encoder, FeatureCache(tmp_path / "features", 16))
    answers = cold_start(spec_of(CONTROL), cached).predict([{"text": text[0]} for text in TEXTS])
    own = softmax(logits_of(model, directory, TEXTS), axis=1)
    for (answer,), row in zip(answers, own, strict=True):
        assert answer.chosen == (CONTROL.keys()[ORDER[int(row.argmax())]],)
        assert answer.score == pytest.approx(row.max(), abs=0.01)


def test_few_labels_do_not_make_it_worse(trained: tuple[Path, Any, Encoder]) -> None:
    encoder = trained[2]
    wanted = [CONTROL.keys()[i] for i in ORDER]
    before = fit_head(CONTROL, [], [], encoder).scores(TEXTS, encoder.embed(TEXTS))
    for count in (1, 3, 6):
        after = fit_head(CONTROL, samples(wanted, count), [], encoder).scores(TEXTS, encoder.embed(TEXTS))
        assert accuracy(after, CONTROL.keys(), wanted) >= accuracy(before, CONTROL.keys(), wanted)


def test_labels_that_contradict_it_win(trained: tuple[Path, Any, Encoder]) -> None:
    encoder = trained[2]
    swapped = ["lost parcel", "card payment", "refund request"]  # the first two groups have each other's name
    cold = fit_head(CONTROL, [], [], encoder)
    assert accuracy(cold.scores(TEXTS, encoder.embed(TEXTS)), CONTROL.keys(), swapped) < 0.5
    head = fit_head(CONTROL, samples(swapped, 36), [], encoder)
    assert accuracy(head.scores(TEXTS, encoder.embed(TEXTS)), CONTROL.keys(), swapped) > 0.9


@pytest.mark.parametrize("count", [0, 12])
def test_a_version_restores_it_without_the_base_model(trained: tuple[Path, Any, Encoder], count: int) -> None:
    encoder = trained[2]
    head = fit_head(CONTROL, samples([CONTROL.keys()[i] for i in ORDER], count), [], encoder)
    restored = restore_head(HeadConfig.from_json(json.loads(json.dumps(head.config().to_json()))), head.tensors())
    features = encoder.embed(TEXTS)
    np.testing.assert_allclose(restored.scores(TEXTS, features), head.scores(TEXTS, features), atol=1e-5)
    assert restored.config() == head.config()


def test_the_prior_at_full_share_is_the_trained_answer(trained: tuple[Path, Any, Encoder]) -> None:
    encoder = trained[2]
    reference, pooled = fit_head(CONTROL, [], [], encoder).reference, encoder.embed(TEXTS)
    np.testing.assert_allclose(softmax(20 * reference.prior(pooled), axis=1), reference.zero_shot(pooled), atol=1e-4)
    tags = replace(CONTROL, kind=Kind.MULTIPLE)
    reference = fit_head(tags, [], [], encoder).reference
    np.testing.assert_allclose(expit(20 * reference.prior(pooled)), reference.zero_shot(pooled), atol=1e-4)


def test_labels_of_a_set_come_from_a_multi_label_model(tmp_path: Path) -> None:
    model = build_classifier(tmp_path, problem_type="multi_label_classification")
    encoder = Encoder(tmp_path)
    head = fit_head(replace(CONTROL, kind=Kind.MULTIPLE), [], [], encoder)
    expected = expit(logits_of(model, tmp_path, TEXTS))[:, ORDER]
    np.testing.assert_allclose(head.scores(TEXTS, encoder.embed(TEXTS)), expected, atol=1e-4)


def test_a_label_that_it_does_not_know_gets_a_small_share(trained: tuple[Path, Any, Encoder]) -> None:
    encoder = trained[2]
    control = choices(*CONTROL.keys(), "complaint")
    head = fit_head(control, [], [], encoder)
    scores = head.scores(TEXTS, encoder.embed(TEXTS))
    np.testing.assert_allclose(scores[:, 3], 1 / 8, atol=1e-6)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)
    known = fit_head(CONTROL, [], [], encoder).scores(TEXTS, encoder.embed(TEXTS))
    np.testing.assert_allclose(scores[:, :3] / scores[:, :3].sum(1, keepdims=True), known, atol=1e-6)


def test_an_unknown_label_is_learned(trained: tuple[Path, Any, Encoder]) -> None:
    encoder = trained[2]
    wanted = ["complaint", "lost parcel", "refund request"]  # the first group's name is new, its old one unused
    control = choices(*CONTROL.keys(), "complaint")
    head = fit_head(control, samples(wanted, 36), [], encoder)
    assert accuracy(head.scores(TEXTS, encoder.embed(TEXTS)), head.labels, wanted) > 0.9


def test_labels_that_the_control_lacks_are_left_out(trained: tuple[Path, Any, Encoder]) -> None:
    directory, model, encoder = trained
    scores = fit_head(choices("refund_request", "LostParcel"), [], [], encoder).scores(TEXTS, encoder.embed(TEXTS))
    expected = softmax(logits_of(model, directory, TEXTS)[:, [2, 1]], axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_foreign_labels_are_answered_by_their_names(trained: tuple[Path, Any, Encoder]) -> None:
    head = fit_head(choices("a", "b", "c"), [], [], trained[2])
    assert head.reference.taught is None
    assert head.config().taught is None


def test_weights_that_were_tuned_on_have_no_trained_head(trained: tuple[Path, Any, Encoder], tmp_path: Path) -> None:
    other = tmp_path / "other"
    from transformers import AutoModel

    AutoModel.from_pretrained(trained[0]).save_pretrained(other)
    assert Encoder(trained[0], weights=other / "model.safetensors").taught is None


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert"])
def test_a_fine_tune_goes_on_from_its_weights(family: str, tmp_path: Path) -> None:
    directory = tmp_path / "base"
    build_classifier(directory, family, steps=40)
    base = Encoder(directory)
    texts, truth = letter_texts(36, 5)
    targets = np.eye(3)[truth]
    names = base.embed([(name,) for name in NAMES])[:, -1]
    start = prototype_head(names, base.embed(texts)[:, -1], targets)
    tuning = FineTuner(
        directory, [TrainingSet("label", NAMES, False, texts, targets, np.ones(36), start)], seed=1, threads=1
    )
    assert accuracy(tuning.answers(0, TEXTS), NAMES, NAMES) > 0.9, "before the first step"
    tuning.run(10, lambda step, loss: None)
    tuning.save_encoder(tmp_path / "tuned.safetensors")
    served = Encoder(directory, weights=tmp_path / "tuned.safetensors")
    head = tuning.heads({"label": 1.0}, {"label": 1.0})["label"]
    assert accuracy(head.scores(served.embed(TEXTS)[:, -1]), NAMES, NAMES) > 0.9


def test_another_pooling_than_the_heads_has_no_trained_head(tmp_path: Path) -> None:
    build_classifier(tmp_path)
    write_pooling(tmp_path, "mean_tokens")
    encoder = Encoder(tmp_path)
    assert encoder.pooling == "mean" and encoder.taught is None


def test_a_model_without_head_is_pooled_by_the_mean(tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("bert")
    (directory / "1_Pooling" / "config.json").unlink()
    assert read_pooling(directory) == "mean"
    assert Encoder(directory).taught is None


@pytest.mark.parametrize("more", [{"problem_type": "regression"}, {"names": ["score"]}])
def test_a_regression_is_no_trained_head(more: dict[str, Any], tmp_path: Path) -> None:
    build_classifier(tmp_path, **more)
    encoder = Encoder(tmp_path)
    assert encoder.pooling == "mean" and encoder.taught is None


def test_an_incomplete_head_is_told_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from safetensors.torch import load_file, save_file

    build_classifier(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    assert Encoder(tmp_path).taught is None
    assert "is not used" in caplog.text


def head_of(*names: str) -> PretrainedHead:
    return PretrainedHead(
        names, False, "tanh", 1e-5, {"dense.weight": np.eye(4), "output.weight": np.eye(len(names), 4)}
    )


def columns(taught: PretrainedHead, control: Control) -> tuple[int, ...] | None:
    found = match_labels(taught, control, control.keys())
    return found.columns if found else None


@pytest.mark.parametrize(
    ("model", "labels", "expected"),
    [
        (["POSITIVE", "NEGATIVE"], ["negative", "positive"], (1, 0)),
        (["card_payment", "lostParcel"], ["Card payment", "Lost parcel"], (0, 1)),
        (["a", "b", "c"], ["c", "d", "a"], (2, -1, 0)),
        (["a", "b", "c"], ["c", "d", "e", "a"], None),
        (["a", "b", "c"], ["a", "d"], None),
        (["LABEL_0", "LABEL_1"], ["good", "bad"], None),
        (["a", "A", "b"], ["a", "b"], (0, 2)),
        (["a", "b"], ["a", "A", "b"], (0, -1, 1)),
        (["+", "-"], ["*", "/"], None),
        (["+", "-"], ["-", "+"], (1, 0)),
        (["1", "0", "-1"], ["-1", "0", "1"], (2, 1, 0)),
        (["1", "0"], ["-1", "0", "2"], None),
        (["-1", "1", "0"], ["1", "0", "neutral"], (1, 2, -1)),
        (["C", "Java", "Go"], ["C#", "java", "go"], (-1, 1, 2)),
        (["C", "C++", "C#"], ["C#", "C", "C++"], (2, 0, 1)),
        (["yes", "Yes", "YES "], ["Yes", "YES ", "yes"], (1, 2, 0)),
        (["yes", "no", "maybe"], ["YES", "Yes", "no", "maybe"], None),
        (["yes", "YES", "no", "maybe"], ["Yes", "no", "maybe"], (-1, 2, 3)),
        (["👍", "👎"], ["👎", "👍"], (1, 0)),
        (["👍🏽", "👎"], ["👍", "👎"], None),
        (["\u2764\ufe0f", "b"], ["b", "\u2764"], (1, 0)),
        (["\u2764", "b"], ["\u2764\ufe0f", "b"], (0, 1)),
        (["\u2764\ufe0e", "b"], ["\u2764\ufe0f", "b"], (0, 1)),
        (["\u2764", "\u2764\ufe0f", "b"], ["b", "\u2764\ufe0f", "\u2764"], (2, 1, 0)),
        (["\u2764", "\u2764\ufe0f", "b", "c"], ["\u2764\ufe0e", "b", "c"], (-1, 2, 3)),
        (["\u2764", *"bcde"], ["\u2764\ufe0e", "\u2764\ufe0f", *"bcde"], (-1, -1, 1, 2, 3, 4)),
        (["1\ufe0f\u20e3", "2\u20e3"], ["2\ufe0f\u20e3", "1\u20e3"], (1, 0)),
        (["\U0001f468\u200d\U0001f469", "b", "c"], ["\U0001f468\U0001f469", "b", "c"], (-1, 1, 2)),
        (["co\u00adop", "\ufeffbar"], ["bar\u200b", "Coop"], (1, 0)),
        (["\ufe0f", "b"], ["\ufe0e", "b"], None),
        (["cafe\u0301", "bar"], ["caf\u00e9", "bar"], (0, 1)),
        (["Ⅳ", "V"], ["IV", "V"], None),
        (["1.0", "2.0"], ["10", "20"], None),
        (["level -1", "level 1"], ["Level_1", "level -1"], (1, 0)),
        (["Input/Output", "other"], ["other", "Input/Output"], (1, 0)),
    ],
)
def test_labels_match_as_words(model: list[str], labels: list[str], expected: tuple[int, ...] | None) -> None:
    assert columns(head_of(*model), choices(*labels)) == expected


def test_the_alias_the_shown_text_or_the_end_of_a_path_match() -> None:
    labels = (
        Label(("POS",), "I like it (a friendly message)"),
        Label(("bad",), "Negative (an angry message)"),
        Label(("other", "neutral"), "Other / Neutral"),
    )
    control = Control("label", Kind.TAXONOMY, ("text",), labels)
    assert columns(head_of("pos", "negative", "neutral"), control) == (0, 1, 2)


def test_stars_match_their_number() -> None:
    labels = tuple(Label((str(star),), f"{star} out of 3 stars") for star in (1, 2, 3))
    control = Control("stars", Kind.RATING, ("text",), labels)
    assert columns(head_of("1 star", "2 stars", "3 stars"), control) == (0, 1, 2)
    assert columns(head_of("LABEL_1", "LABEL_2", "LABEL_3"), control) is None
