"""Which tasks the strategies pick."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.acquisition import diversity, reading_worth
from model.acquisition.strategies import DEFAULT_STRATEGY, STRATEGIES, Pool, choose, confidences, entropies, margins
from model.acquisition.uncertainty import disagreements
from model.head.fit import fit_head
from model.spec import Control, Kind, Label, Sample
from tests.support.encoders import WordsEncoder

NONE = np.array([], dtype=int)


def pool(rows: int = 80, classes: int = 4, labelled: np.ndarray = NONE, multilabel: bool = False) -> Pool:
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.ones(classes), rows)
    members = generator.dirichlet(np.ones(classes), (3, rows))
    return Pool(p, generator.standard_normal((rows, 8)), labelled, multilabel, members=members)


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


def test_what_looks_for_typical_texts_turns_to_margins_with_many_labels() -> None:
    few, many = pool(200, labelled=np.arange(63)), pool(200, labelled=np.arange(64))
    assert choose("typiclust", many, 8).tolist() == choose("margin", many, 8).tolist()
    assert choose("typical_first", many, 8).tolist() == choose("margin_clusters", many, 8).tolist()
    assert choose("typical_first", few, 8).tolist() == choose("typiclust", few, 8).tolist()
    assert choose("typiclust", few, 8).tolist() != choose("margin", few, 8).tolist()


def test_unknown_strategies_are_refused() -> None:
    with pytest.raises(KeyError):
        choose("clever", pool(), 3)


@pytest.mark.parametrize("name", STRATEGIES)
def test_closed_rows_are_never_chosen(name: str) -> None:
    closed = np.arange(1, 80, 2)
    given = replace(pool(labelled=np.array([0, 2])), closed=closed)
    chosen = choose(name, given, 20)
    assert len(set(chosen.tolist())) == 20 and not set(chosen.tolist()) & {0, 2, *closed.tolist()}


def test_disagreement_is_the_mutual_information_of_answer_and_member() -> None:
    from scipy.stats import entropy

    given = replace(pool(), shares=np.array([0.5, 0.3, 0.2]))
    assert given.members is not None
    mean = np.tensordot(given.shares, given.members, 1)
    expected = entropy(mean, axis=1) - np.tensordot(given.shares, entropy(given.members, axis=2), 1)
    assert disagreements(given) == pytest.approx(expected)
    sets = replace(given, multilabel=True, shares=None)
    pairs = np.stack([given.members, 1 - given.members])
    several = (entropy(pairs.mean(1)) - entropy(pairs).mean(0)).sum(1)
    assert disagreements(sets) == pytest.approx(several)


def test_bald_prefers_disagreement_to_doubt_that_all_share() -> None:
    doubt = np.full((2, 10, 2), 0.5)
    doubt[:, 7] = [[0.9, 0.1], [0.1, 0.9]]
    given = Pool(doubt.mean(0), np.ones((10, 2)), NONE, members=doubt)
    assert choose("bald", given, 1).tolist() == [7]
    alone = pool()
    assert alone.members is not None
    for members in (None, alone.members[:1], alone.members[:0]):
        without = replace(alone, members=members)
        assert choose("bald", without, 9).tolist() == choose("entropy", without, 9).tolist()


@pytest.mark.parametrize("name", ["margin_clusters", "typiclust", "typical_first", "coreset", "badge"])
def test_large_pools_are_drawn_from(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    unit = Pool.unit
    monkeypatch.setattr(Pool, "unit", lambda pool, rows: looked.append(len(rows)) or unit(pool, rows))
    monkeypatch.setattr(diversity, "MOST_ROWS", 100)
    labelled = np.arange(20)
    chosen = choose(name, pool(3000, labelled=labelled), 16)
    assert len(set(chosen.tolist())) == 16 and chosen.min() >= 20
    assert max(looked) <= 120
    assert len(set(choose(name, pool(3000, labelled=labelled), 200).tolist())) == 200, "more than are looked at"


def test_thresholds_may_differ_by_label() -> None:
    given = Pool(np.array([[0.3, 0.6], [0.3, 0.2]]), np.ones((2, 2)), NONE, True, np.array([0.3, 0.5]))
    assert margins(given) == pytest.approx([0.0, 0.0])
    assert confidences(given) == pytest.approx([0.3 * 0.6, 0.3 * 0.8])


NODES = (("animals",), ("animals", "cats"), ("animals", "dogs"), ("things",))


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("count", [0, 12])
def test_every_strategy_serves_every_kind_of_control(kind: Kind, count: int) -> None:
    paths = NODES if kind is Kind.TAXONOMY else (("cats",), ("dogs",), ("birds",))
    labels = tuple(Label(path, path[-1]) for path in paths)
    control, encoder = Control("c", kind, ("text",), labels), WordsEncoder()
    texts = [(f"{labels[i % len(labels)].words} run n{i % 9} m{i}",) for i in range(120)]
    samples = [Sample(i, texts[i], {labels[i % len(labels)].key: 1.0}) for i in range(count)]
    head, features = fit_head(control, samples, [], encoder), encoder.embed(texts)
    scores, members = head.scores(texts, features), head.member_scores(texts, features)
    labelled, several = np.arange(count), kind is Kind.MULTIPLE
    given = Pool(scores, features[:, -1], labelled, several, head.threshold, members=members)
    for name in STRATEGIES:
        chosen = choose(name, given, 10)
        assert len(set(chosen.tolist())) == 10 and chosen.min() >= count, name


def test_the_default_is_a_strategy() -> None:
    assert DEFAULT_STRATEGY in STRATEGIES


def marked(worth: np.ndarray, sorts: int, labelled: np.ndarray = NONE) -> Pool:
    """Texts of so many sorts in turn, each sort on an axis of its own."""
    features = np.eye(sorts)[np.arange(len(worth)) % sorts]
    return replace(pool(len(worth), labelled=labelled), features=features, worth=worth, unseen=0.5)


def test_texts_with_spans_are_asked_for_by_sort_at_first() -> None:
    given = marked(np.random.default_rng(1).random(400), 8)
    first = choose(DEFAULT_STRATEGY, given, 64)
    assert len(set(first.tolist())) == 64
    assert any(set(choose(DEFAULT_STRATEGY, given, 8, seed) % 8) != set(range(8)) for seed in range(5)), "any at first"
    missing = set(range(8)) - set(first[:8] % 8)
    assert missing <= set(first[8 : 8 + len(missing)] % 8), "then sorts without a label first"
    known = np.array([0, 1, 2, 3, 8, 9, 10, 11])
    following = choose(DEFAULT_STRATEGY, replace(given, labelled=known), 8)
    assert set(following[:4] % 8) == {4, 5, 6, 7}
    told = [choose(DEFAULT_STRATEGY, replace(given, labelled=known, unseen=0.25), 8, seed) for seed in range(5)]
    assert len({tuple(rows) for rows in told}) > 1 and any(set(rows[:4] % 8) & {0, 1, 2, 3} for rows in told), "any"


def test_then_the_most_doubt_for_each_word_read_is_asked_for_of_every_sort() -> None:
    worth = np.arange(400) / 400
    labelled = np.arange(40)
    chosen = choose(DEFAULT_STRATEGY, marked(worth, 4, labelled), 32)
    assert (chosen[:8] >= 400 - reading_worth.SHORTLIST * 8).all(), "these are labelled before the next plan"
    assert set(chosen[:4] % 4) == {0, 1, 2, 3} and 399 in chosen[:4]
    assert not set(chosen.tolist()) & set(labelled.tolist()) and len(set(chosen.tolist())) == 32


def test_of_a_large_project_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_worth, "MOST_ROWS", 50)
    worth = np.zeros(1000)
    worth[:5] = 1.0
    chosen = [choose(DEFAULT_STRATEGY, marked(worth, 5, np.arange(900, 940)), 8, seed) for seed in range(10)]
    assert len({tuple(rows) for rows in chosen}) > 1
    assert all(len(set(rows.tolist())) == 8 for rows in chosen)
    assert len(choose(DEFAULT_STRATEGY, marked(worth, 5), 60)) == 60, "a batch may be larger"


def test_any_text_is_good_at_first_and_with_few_labels_until_doubts_mean_something() -> None:
    known = [(known, reading_worth.is_any_good(known, unseen)) for known in (0, 7, 8, 31, 32) for unseen in (0.0, 0.9)]
    assert [good for _, good in known] == [True, True, True, True, True, False, True, False, False, False]
