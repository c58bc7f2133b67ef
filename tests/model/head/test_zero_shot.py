"""Classification from label names alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.decoding.answers import decide
from model.export.head import HeadGraph
from model.head.fit import fit_head, restore_head
from model.head.zero_shot import SOUGHT_AGREEMENT, agreement, refine_prototypes, zero_shot
from model.numerics.arrays import Floats, normalise
from model.spec import Control, Kind, Label, Text
from tests.model.conftest import Messages
from tests.support.encoders import WordsEncoder, choices, samples_of


class NarrowEncoder(WordsEncoder):
    """All texts in a narrow cone, as those of e5 models are: unrelated ones have a cosine of about .8."""

    def _row(self, text: Text) -> Floats:
        row = super()._row(text)
        return row / np.linalg.norm(row, axis=1, keepdims=True) + np.full_like(row, 2 / row.shape[1] ** 0.5)


def random(rows: int, width: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


def test_rows_get_unit_length_and_zero_rows_stay_zero() -> None:
    lengths = np.linalg.norm(normalise(np.vstack([random(3), np.zeros((1, 12))])), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 0])


def test_probabilities_sum_to_one() -> None:
    np.testing.assert_allclose(zero_shot(random(20), refine_prototypes(random(5, seed=1), random(9))).sum(1), 1)


def test_a_text_that_is_a_label_name_gets_that_label() -> None:
    names = random(5)
    assert zero_shot(names, refine_prototypes(names, names[:0])).argmax(1).tolist() == [0, 1, 2, 3, 4]


def test_prototypes_have_unit_length_and_move_towards_the_pool() -> None:
    names, pool = random(2), random(2) + 0.7 * random(2, seed=3)
    pool = np.repeat(pool, 20, axis=0)
    moved = refine_prototypes(names, pool)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1)
    near = (normalise(pool[[0, 20]]) * moved).sum(1)
    assert (near > (normalise(pool[[0, 20]]) * normalise(names)).sum(1)).all()


def test_a_pool_that_falls_apart_by_something_else_than_the_names_say_moves_them_less() -> None:
    rng = np.random.default_rng(0)
    feeling, topic = rng.choice([-1, 1], 400), rng.choice([-1, 1], 400)
    pool = 0.25 * rng.normal(size=(400, 12))
    pool[:, :3] += np.stack([np.ones(400), 0.25 * feeling, topic], axis=1)
    names = np.zeros((2, 12))
    names[:, :3] = [[1, -0.5, -0.05], [1, 0.5, 0.05]]
    texts, start = normalise(pool), normalise(names)
    moved = refine_prototypes(names, pool)
    assert agreement(texts @ start.T, texts @ moved.T) >= SOUGHT_AGREEMENT
    assert (((texts @ moved.T).argmax(1) == 1) == (feeling > 0)).mean() > 0.6  # half are right by the topic
    assert np.abs(moved - start).sum() > 0


def test_agreement_is_beyond_chance_and_passes_over_a_name_that_is_near_to_every_text() -> None:
    similarity = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    assert agreement(similarity, similarity) == 1
    assert agreement(similarity, similarity + np.array([5, 0])) == 1
    assert agreement(similarity, similarity[[0, 2, 1, 3]]) == 0
    assert agreement(similarity[:1], similarity[:1]) == 1


def test_a_small_pool_moves_prototypes_less_than_a_large_one() -> None:
    names, pool = random(4), random(200, seed=5) + 1
    small, large = refine_prototypes(names, pool[:4]), refine_prototypes(names, pool)
    assert np.abs(small - normalise(names)).sum() < np.abs(large - normalise(names)).sum()


def test_without_labels_answers_are_humble_and_better_than_chance(messages: Messages) -> None:
    head = fit_head(messages.control, [], [], messages.embedder)
    scores = head.scores(messages.texts, messages.features())
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    accuracy = messages.accuracy(head)
    assert accuracy > 3 / 8
    assert scores.max(1).mean() < accuracy + 0.05


def test_a_pool_of_unlabelled_texts_is_accepted(messages: Messages) -> None:
    pool = [{"text": text[0]} for text in messages.texts]
    head = fit_head(messages.control, [], [*pool, {"other": "no text"}], messages.embedder)
    np.testing.assert_allclose(head.scores(messages.texts, messages.features()).sum(1), 1, atol=1e-5)
    assert messages.accuracy(head) > 3 / 8


def test_no_texts_and_one_label_are_no_trouble() -> None:
    encoder = WordsEncoder()
    head = fit_head(replace(choices("only"), required=True), [], [], encoder)
    assert head.scores([], encoder.embed([])).shape == (0, 1)
    np.testing.assert_allclose(head.scores([("x",)], encoder.embed([("x",)])), [[1.0]])


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTIPLE, Kind.TAXONOMY, Kind.RATING])
def test_a_checkbox_is_not_ticked_before_any_label(kind: Kind) -> None:
    encoder, box = WordsEncoder(), Control("box", kind, ("text",), (Label(("1",), "unreadable"),))
    features = encoder.embed([("the train leaves",)])
    heads = {one: fit_head(one, [], [], encoder) for one in (box, replace(box, required=True))}
    answers = [
        decide(one, head.rules, head.scores([("the train leaves",)], features)[0]) for one, head in heads.items()
    ]
    assert [answer and answer.chosen for answer in answers] == [(), ("1",)]
    assert answers[0] is not None and 0.5 < answers[0].score < 1


def test_answers_to_pairs_are_humbler_and_stay_so_on_disk() -> None:
    text, pair = (choices("same", "other", inputs=names) for names in (("a",), ("a", "b")))
    encoder = WordsEncoder()
    scores = []
    for control, row in ((text, ("same same",)), (pair, ("same", "same"))):
        head = fit_head(control, [], [], encoder)
        kept = restore_head(head.config(), head.tensors())
        features = encoder.embed([row])
        np.testing.assert_allclose(kept.scores([row], features), head.scores([row], features), atol=1e-6)
        scores.append(head.scores([row], features).max())
    assert scores[0] > 0.9 and 0.5 < scores[1] <= 0.75


NAMES = ("cats", "dogs", "birds")
TOPICS = choices(*NAMES)
TEXTS = [(f"{name} n{i}",) for i in range(12) for name in NAMES]
POOL = [{"text": text} for (text,) in TEXTS]


@pytest.mark.parametrize("labels", [0, 15])
def test_an_encoder_to_which_all_texts_are_alike_answers_as_surely_as_another(labels: int) -> None:
    known = samples_of(*[(text, text.split()[0]) for (text,) in TEXTS[:labels]])
    narrow, wide = NarrowEncoder(), WordsEncoder()
    head, other = fit_head(TOPICS, known, POOL, narrow), fit_head(TOPICS, known, POOL, wide)
    assert head.reference.centred and not other.reference.centred
    scores, usual = head.scores(TEXTS, narrow.embed(TEXTS)), other.scores(TEXTS, wide.embed(TEXTS))
    assert (scores.argmax(1) == np.arange(len(TEXTS)) % 3).all()
    assert scores.max(1).mean() > usual.max(1).mean() - 0.1


@pytest.mark.parametrize("labels", [0, 15])
def test_so_it_does_from_disk_and_exported(labels: int) -> None:
    known = samples_of(*[(text, text.split()[0]) for (text,) in TEXTS[:labels]])
    encoder = NarrowEncoder()
    head, features = fit_head(TOPICS, known, POOL, encoder), encoder.embed(TEXTS)
    scores, words = head.scores(TEXTS, features), None
    np.testing.assert_allclose(restore_head(head.config(), head.tensors()).scores(TEXTS, features), scores, atol=1e-5)
    if head.uses_words:
        words = torch.tensor(head.terms.transform(TEXTS).toarray())
    np.testing.assert_allclose(HeadGraph(head)(torch.tensor(features), words).numpy(), scores, atol=1e-4)


def test_few_texts_and_copies_say_nothing_of_an_encoder() -> None:
    assert not fit_head(TOPICS, [], POOL[:5], NarrowEncoder()).reference.centred
    assert not fit_head(TOPICS, [], [POOL[0]] * 40, WordsEncoder()).reference.centred
