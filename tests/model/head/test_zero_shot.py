"""Classification from label names alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.decoding.answers import decide
from model.head.fit import fit_head, restore_head
from model.head.zero_shot import refine_prototypes, zero_shot
from model.numerics.arrays import normalise
from model.spec import Control, Kind, Label
from tests.model.conftest import Messages
from tests.support.encoders import WordsEncoder, choices


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
