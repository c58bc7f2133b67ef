"""Heads fitted from few labels: better than the cold start, robust to odd samples, restored exactly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.head.fit import fit_head, fit_heads, labels_of, restore_head
from model.head.head_config import HeadConfig
from model.head.linear_head import LinearHead
from model.numerics.holdout import is_held_out, stratified_folds
from model.numerics.metrics import evaluate, one_hot
from model.spec import Control, Kind, Sample, Text
from tests.model.conftest import Messages
from tests.support.encoders import Floats, WordsEncoder, choices, samples_of, spec_of

TOPICS = choices("cats", "dogs", "birds")
TAGS = choices("red", "blue", kind=Kind.MULTIPLE)
PROBES: list[Text] = [("cats sleep",), ("two dogs bark",), ("birds sing here",), ("nothing known",), ("",)]


def topic_samples(count: int) -> list[Sample]:
    names = TOPICS.keys()
    return samples_of(*[(f"{names[i % 3]} n{i} m{i % 7}", names[i % 3]) for i in range(count)])


def tag_samples(count: int) -> list[Sample]:
    sets = [("red",), ("blue",), ("red", "blue"), ()]
    rows = [(i, sets[i % 4]) for i in range(count)]
    return [Sample(i, (" ".join([*tags, f"n{i}", f"m{i % 9}"]),), dict.fromkeys(tags, 1.0)) for i, tags in rows]


def scores(head: LinearHead, texts: Sequence[Text] = PROBES) -> Floats:
    return head.scores(texts, WordsEncoder().embed(texts))


def fit(control: Control, samples: Sequence[Sample], seed: int = 0) -> LinearHead:
    return fit_head(control, samples, [], WordsEncoder(), seed=seed)


@pytest.fixture(scope="session")
def learned(messages: Messages) -> LinearHead:
    return fit_head(messages.control, messages.samples, [], messages.embedder)


@pytest.fixture(scope="session")
def topics() -> LinearHead:
    return fit(TOPICS, topic_samples(30))


def test_64_labels_beat_the_cold_start(messages: Messages, learned: LinearHead) -> None:
    truth = one_hot(np.array([messages.control.keys().index(label) for label in messages.truth]), 8)
    cold = fit_head(messages.control, [], [], messages.embedder)
    before, after = (evaluate(head.scores(messages.texts, messages.features()), truth) for head in (cold, learned))
    assert after["accuracy"] >= before["accuracy"] + 0.05
    assert after["log_loss"] < before["log_loss"]


def test_a_head_says_how_good_it_is(messages: Messages, learned: LinearHead) -> None:
    found = learned.details
    assert found.count == 64 and found.held_out is not None
    assert found.held_out["accuracy"] == pytest.approx(messages.accuracy(learned), abs=0.15)


def test_a_restored_head_gives_the_same_scores(messages: Messages, learned: LinearHead) -> None:
    restored = restore_head(HeadConfig.from_json(json.loads(json.dumps(learned.config().to_json()))), learned.tensors())
    again = restore_head(HeadConfig.from_json(json.loads(json.dumps(restored.config().to_json()))), restored.tensors())
    found = [head.scores(messages.texts, messages.features()) for head in (learned, restored, again)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
    assert np.array_equal(found[2], found[1])
    assert restored.config() == learned.config()


@pytest.mark.parametrize("count", [0, 1, 2, 40])
@pytest.mark.parametrize("control", [TOPICS, TAGS])
def test_any_head_is_restored(control: Control, count: int) -> None:
    head = fit(control, (tag_samples if control is TAGS else topic_samples)(count))
    restored = restore_head(HeadConfig.from_json(json.loads(json.dumps(head.config().to_json()))), head.tensors())
    np.testing.assert_allclose(scores(restored), scores(head), atol=1e-5)


@pytest.mark.parametrize("count", range(6))
def test_scores_are_probabilities_from_the_first_label_on(count: int) -> None:
    found = scores(fit(TOPICS, topic_samples(count)))
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert (found >= 0).all()


def test_the_head_knows_what_it_was_shown(topics: LinearHead) -> None:
    assert scores(topics).argmax(1).tolist()[:3] == [0, 1, 2]


def test_a_sample_with_an_unknown_label_is_ignored(topics: LinearHead) -> None:
    odd = [*topic_samples(30), Sample(99, ("fish swim",), {"fish": 1.0})]
    head = fit(TOPICS, odd)
    assert head.details.count == 30
    assert np.array_equal(scores(head), scores(topics))


def test_unknown_labels_alone_are_like_no_labels() -> None:
    assert np.array_equal(scores(fit(TOPICS, samples_of(("fish swim", "fish")))), scores(fit(TOPICS, [])))


def test_samples_of_one_class_only_are_learned() -> None:
    found = scores(fit(TOPICS, samples_of(*[(f"dogs n{i}", "dogs") for i in range(12)])))
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert found[1].argmax() == 1


def test_labels_of_a_set_are_independent() -> None:
    head = fit(TAGS, tag_samples(48))
    both, neither, one = scores(head, [("red blue n1",), ("n2 m3",), ("red n3",)])
    assert (both > 0.8).all()
    assert (neither < 0.2).all()
    assert one[0] > 0.8 > 0.2 > one[1]
    assert 0 < head.threshold < 1


def test_soft_targets_are_learned_as_shares() -> None:
    hard = topic_samples(90)
    soft = [Sample(s.task, s.text, {s.top: 0.6, "birds": 0.4}) if s.top == "dogs" else s for s in hard]
    dogs = [sample.text for sample in soft if sample.top == "dogs"]
    sure, torn = (scores(fit(TOPICS, samples), dogs).mean(0) for samples in (hard, soft))
    assert sure[1] > 0.8
    np.testing.assert_allclose(torn, [0, 0.6, 0.4], atol=0.12)


def test_a_light_sample_counts_less() -> None:
    rows = topic_samples(24)
    wrong = [Sample(50 + i, (f"dogs odd{i}",), {"birds": 1.0}) for i in range(8)]
    light = [Sample(s.task, s.text, s.target, 0.01) for s in wrong]
    heavy_dogs, light_dogs = (scores(fit(TOPICS, [*rows, *more]))[1, 1] for more in (wrong, light))
    assert light_dogs > heavy_dogs


def test_texts_without_words_are_learned() -> None:
    found = scores(fit(TOPICS, samples_of(*[("", "cats"), ("!", "dogs"), ("?", "birds")] * 4)))
    assert np.isfinite(found).all()


def test_the_same_seed_gives_the_same_head(topics: LinearHead) -> None:
    again = fit(TOPICS, topic_samples(30))
    assert again.config() == topics.config()
    for name, value in topics.tensors().items():
        assert np.array_equal(value, again.tensors()[name]), name


def test_choices_of_the_task_data_are_the_labels_seen() -> None:
    control = Control("listed", Kind.SINGLE, ("text",), (), options_field="options")
    assert labels_of(control, topic_samples(6)) == ("birds", "cats", "dogs")
    assert fit(control, topic_samples(30)).labels == ("birds", "cats", "dogs")


def test_every_control_gets_a_head_also_without_samples() -> None:
    heads = fit_heads(spec_of(TOPICS, replace(TAGS, name="tags")), {}, [], WordsEncoder())
    assert list(heads) == ["label", "tags"]
    assert np.isfinite(scores(heads["tags"])).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2)), min_size=1), st.integers(1, 6), st.integers(0))
def test_equal_texts_are_in_one_fold(rows: list[tuple[str, int]], wanted: int, seed: int) -> None:
    folds = stratified_folds([(text,) for text, _ in rows], one_hot(np.array([c for _, c in rows]), 3), wanted, seed)
    of_text: dict[str, set[int]] = {}
    for (text, _), fold in zip(rows, folds, strict=True):
        of_text.setdefault(text, set()).add(int(fold))
    assert all(len(found) == 1 for found in of_text.values())
    assert set(folds.tolist()) == set(range(min(wanted, len(of_text))))


def test_every_fold_has_its_part_of_every_class() -> None:
    folds = stratified_folds([(f"text {i}",) for i in range(60)], one_hot(np.arange(60) % 3, 3), 5, 0)
    for number in range(3):
        assert np.bincount(folds[np.arange(60) % 3 == number]).tolist() == [4] * 5


def test_about_a_fifth_of_all_texts_is_held_out_for_ever() -> None:
    texts: list[Text] = [(f"text {i}",) for i in range(2000)]
    assert np.mean([is_held_out(text) for text in texts]) == pytest.approx(0.2, abs=0.03)
    assert [is_held_out(text) for text in texts[:50]] == [is_held_out(text) for text in texts[:50]]
