"""Which tasks the strategies pick."""

from __future__ import annotations

import numpy as np
import pytest

from model.acquisition import STRATEGIES, Pool, choose, confidences, entropies, margins

NONE = np.array([], dtype=int)


def pool(rows: int = 80, classes: int = 4, labelled: np.ndarray = NONE, multilabel: bool = False) -> Pool:
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.ones(classes), rows)
    return Pool(p, generator.standard_normal((rows, 8)), labelled, multilabel)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_picks_so_many_distinct_open_rows_and_repeats_itself(name: str, multilabel: bool) -> None:
    labelled = np.arange(0, 80, 7)
    given = pool(labelled=labelled, multilabel=multilabel)
    chosen = choose(name, given, 16, seed=3)
    assert len(set(chosen.tolist())) == 16 and not set(chosen.tolist()) & set(labelled.tolist())
    assert chosen.tolist() == choose(name, given, 16, seed=3).tolist()


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_nearly_used_up_pool_gives_what_is_left(name: str) -> None:
    assert sorted(choose(name, pool(20, labelled=np.arange(17)), 16)) == [17, 18, 19]


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("labelled", [NONE, np.array([1, 2])])
def test_equal_texts_and_equal_answers_are_no_trouble(name: str, labelled: np.ndarray) -> None:
    given = Pool(np.full((40, 3), 1 / 3), np.ones((40, 5)), labelled)
    assert len(set(choose(name, given, 8).tolist())) == 8


def test_uncertainties_by_hand() -> None:
    p = np.array([[0.5, 0.4, 0.1], [0.6, 0.2, 0.2], [0.34, 0.33, 0.33]])
    single = Pool(p, np.ones((3, 2)), NONE)
    assert margins(single) == pytest.approx([0.1, 0.4, 0.01])
    assert confidences(single) == pytest.approx([0.5, 0.6, 0.34])
    assert entropies(single).argmax() == 2
    sets = Pool(np.array([[0.9, 0.45], [0.2, 0.1]]), np.ones((2, 2)), NONE, multilabel=True)
    assert margins(sets) == pytest.approx([0.05, 0.3])
    assert confidences(sets) == pytest.approx([0.9 * 0.55, 0.8 * 0.9])


def test_entropy_agrees_with_scipy() -> None:
    from scipy.stats import entropy

    given = pool()
    assert entropies(given) == pytest.approx(entropy(given.probabilities, axis=1))


def test_margin_takes_the_closest_calls() -> None:
    given = pool()
    assert set(choose("margin", given, 5)) == set(np.argsort(margins(given))[:5])


def blobs(centres: int, each: int) -> np.ndarray:
    generator = np.random.default_rng(1)
    return np.repeat(np.eye(centres), each, axis=0) + 0.01 * generator.standard_normal((centres * each, centres))


@pytest.mark.parametrize("name", ["margin_clusters", "typiclust", "coreset", "badge"])
def test_diverse_strategies_visit_every_cluster(name: str) -> None:
    given = Pool(np.tile([0.4, 0.35, 0.25], (60, 1)), blobs(6, 10), NONE)
    assert {int(row) // 10 for row in choose(name, given, 6)} == set(range(6))


def test_coreset_starts_far_from_what_is_labelled() -> None:
    given = Pool(np.full((60, 2), 0.5), blobs(6, 10), np.arange(50))
    assert int(choose("coreset", given, 1)[0]) >= 50


def test_typiclust_turns_to_margins_with_many_labels() -> None:
    given = pool(200, labelled=np.arange(64))
    assert choose("typiclust", given, 8).tolist() == choose("margin", given, 8).tolist()


def test_unknown_strategies_are_refused() -> None:
    with pytest.raises(KeyError):
        choose("clever", pool(), 3)
