"""The chain against brute force: every sequence of tags is tried, and every slope is taken twice."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from model.numerics.arrays import Floats
from model.numerics.lbfgs import minimise
from model.spans.chain.crf import Chain, Features, Penalties, Weights, _Loss, _potentials, fit_chain
from model.spans.chain.equal_columns import merge_columns
from model.spans.chain.schedule import choose
from model.spans.chain.span_probabilities import Candidate, span_probabilities
from model.spans.chain.tags import TagSet, WordSpan

TAGS = TagSet(("person", "place"))
LENGTHS = (4, 0, 1, 3)
GOLD = np.concatenate(
    [
        TAGS.encode(4, [WordSpan(0, 1, "person"), WordSpan(2, 2, "person")]),
        TAGS.encode(1, []),
        TAGS.encode(3, [WordSpan(0, 2, "place")]),
    ]
)


def random_features(seed: int = 0) -> Features:
    random = np.random.default_rng(seed)
    words = sum(LENGTHS)
    sparse = csr_matrix((random.random((words, 4)) < 0.5).astype(float))
    dense, offset = random.normal(size=(words, 3)), random.normal(size=(words, TAGS.size))
    return Features(LENGTHS, dense, np.array([0, 3, 5]), sparse, offset)


def random_loss(penalties: Penalties) -> tuple[_Loss, Floats]:
    random = np.random.default_rng(1)
    loss = _Loss(random_features(), GOLD, TAGS, penalties, random.random(len(LENGTHS)) + 0.5)
    loss.blank = Weights(**{name: array.astype(float) for name, array in loss.blank.arrays().items()})
    size = sum(array.size for array in loss.blank.arrays().values())
    return loss, random.normal(size=size) / 2


def test_the_gradient_is_that_of_finite_differences() -> None:
    loss, point = random_loss(Penalties())
    _, gradient = loss(point)
    steps = np.eye(len(point)) * 1e-5
    slopes = np.array([(loss(point + step)[0] - loss(point - step)[0]) / 2e-5 for step in steps])
    # Weights of forbidden transitions move nothing but their penalty.
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)


def test_probabilities_of_spans_are_those_of_all_sequences() -> None:
    loss, point = random_loss(Penalties())
    chain = Chain(TAGS, loss.blank.like(point))
    features = random_features()
    emissions, potentials = chain.emissions(features), _potentials(chain.weights, TAGS)
    found = span_probabilities(chain.lattice(features), TAGS, least=1e-12)
    lattice = chain.lattice(features)
    logs = dict(zip(lattice.packing.texts.tolist(), lattice.log_z, strict=True))
    first = 0
    for text, length in enumerate(LENGTHS):
        total, sums = 0.0, dict[WordSpan, float]()
        for tags in itertools.product(range(TAGS.size), repeat=length) if length else ():
            steps = list(itertools.pairwise(tags))
            if not TAGS.starts[tags[0]] or not all(TAGS.allowed[step] for step in steps):
                continue
            score = potentials.begin[tags[0]] + potentials.end[tags[-1]]
            score += sum(emissions[first + word, tag] for word, tag in enumerate(tags))
            weight = float(np.exp(score + sum(potentials.transitions[step] for step in steps)))
            total += weight
            for span in TAGS.decode(tags):
                sums[span] = sums.get(span, 0) + weight
        mine = {WordSpan(own.first, own.last, TAGS.labels[own.label]): own.probability for own in found[text]}
        assert mine == pytest.approx({span: value / total for span, value in sums.items()}, abs=1e-9)
        if length:
            assert logs[text] == pytest.approx(np.log(total))
        first += length


def test_the_likelihoods_of_all_sequences_add_up_to_one() -> None:
    loss, point = random_loss(Penalties())
    chain, features = Chain(TAGS, loss.blank.like(point)), random_features()
    emissions, lattice = chain.emissions(features), chain.lattice(features)
    total = 0.0
    for tags in itertools.product(range(TAGS.size), repeat=LENGTHS[3]):
        if TAGS.starts[tags[0]] and all(TAGS.allowed[step] for step in itertools.pairwise(tags)):
            gold = np.concatenate([GOLD[:5], tags])
            found = chain.log_likelihoods(emissions, lattice, gold)
            total += float(np.exp(found[3]))
            assert found[1] == 0 and found[:3] == pytest.approx(chain.log_likelihoods(emissions, lattice, GOLD)[:3])
    assert total == pytest.approx(1)


def test_tags_are_read_as_they_were_written() -> None:
    spans = [WordSpan(0, 1, "person"), WordSpan(2, 2, "person"), WordSpan(4, 6, "place")]
    tags = TAGS.encode(8, [*spans, WordSpan(7, 7, "unknown")])
    assert tags.tolist() == [1, 2, 1, 0, 3, 4, 4, 0]
    assert TAGS.decode(tags.tolist()) == spans
    assert all(TAGS.allowed[step] for step in itertools.pairwise(tags))
    assert not TAGS.allowed[0, 2] and not TAGS.allowed[1, 4] and not TAGS.starts[2]


def test_tags_of_a_label_share_more_than_others() -> None:
    covariance = TAGS.mix @ TAGS.mix.T
    # O alone; B and I of a label; B of two labels; B of one and I of another
    np.testing.assert_allclose(covariance[0], [1, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(covariance[1], [0, 2, 1.5, 0.75, 0.5], atol=1e-6)


@pytest.mark.parametrize("with_prior", [True, False])
def test_a_fit_learns_what_it_is_told_and_does_so_twice_alike(with_prior: bool) -> None:
    features = random_features()
    features = replace(features, dense=features.dense.astype(np.float32) * 5, offset=features.offset)
    features = features if with_prior else replace(features, offset=None)
    first, second = (fit_chain(features, GOLD, TAGS, iterations=60) for _ in range(2))
    np.testing.assert_array_equal(first.weights.flat(), second.weights.flat())
    likely = [choose(own, 0.5) for own in span_probabilities(first.lattice(features), TAGS)]
    assert [WordSpan(own.first, own.last, TAGS.labels[own.label]) for own in likely[3]] == [WordSpan(0, 2, "place")]
    assert likely[2] == []


def test_a_text_of_no_weight_teaches_nothing() -> None:
    features = random_features()
    weights = np.array([1, 1, 1, 0])
    changed = GOLD.copy()
    changed[5:] = 0
    told, untold = (fit_chain(features, gold, TAGS, weights=weights) for gold in (GOLD, changed))
    np.testing.assert_allclose(told.weights.flat(), untold.weights.flat(), atol=1e-6)


def test_going_on_from_the_minimum_stays_there() -> None:
    features = random_features()
    far = fit_chain(features, GOLD, TAGS, iterations=500)
    further = fit_chain(features, GOLD, TAGS, start=far.weights, iterations=6)
    np.testing.assert_allclose(further.weights.flat(), far.weights.flat(), atol=0.05)


def test_merging_equal_columns_changes_no_step_of_a_fit() -> None:
    random = np.random.default_rng(3)
    own = (random.random((sum(LENGTHS), 5)) < 0.4).astype(np.float32)
    columns = own[:, [0, 1, 2, 0, 3, 4, 0, 2]]  # some stand at the same words
    columns = np.concatenate([columns, np.zeros((len(columns), 2), np.float32)], axis=1)  # and some nowhere
    features = replace(random_features(), sparse=csr_matrix(columns))
    merged, equal = merge_columns(features.sparse)
    assert merged.shape[1] == len(np.unique(columns, axis=1).T)
    weights = random.normal(size=(10, TAGS.size))
    np.testing.assert_allclose(merged @ equal.merge(weights), features.sparse @ weights, atol=1e-6)
    loss = _Loss(features, GOLD, TAGS, Penalties(), None)
    for iterations in (1, 5, 30):
        plain = loss.blank.like(minimise(loss, loss.blank.flat(), iterations).point)
        found = fit_chain(features, GOLD, TAGS, iterations=iterations)
        for name, array in plain.arrays().items():
            np.testing.assert_allclose(found.weights.arrays()[name], array, atol=2e-3, err_msg=name)


def test_spans_that_are_shown_share_no_word_and_are_worth_most() -> None:
    random = np.random.default_rng(2)
    for _ in range(50):
        firsts, lengths = random.integers(0, 6, 7), random.integers(0, 3, 7)
        probabilities = random.random(7)
        rows = zip(firsts, lengths, probabilities, strict=True)
        candidates = [Candidate(int(f), int(f + n), 0, float(p)) for f, n, p in rows]
        chosen = choose(candidates, 0.2)
        assert _value(chosen) == pytest.approx(max(_value(own) for own in _apart(candidates)))
        assert chosen in list(_apart(candidates)) or sorted(chosen) == chosen


def _value(candidates: list[Candidate]) -> float:
    return sum(own.probability - 0.2 for own in candidates)


def _apart(candidates: list[Candidate]) -> list[list[Candidate]]:
    """All sets of candidates that share no word."""
    sets = []
    for size in range(len(candidates) + 1):
        for own in itertools.combinations(candidates, size):
            words = [word for one in own for word in range(one.first, one.last + 1)]
            if len(words) == len(set(words)):
                sets.append(sorted(own))
    return sets


def test_minimise_finds_the_minimum_of_a_quadratic() -> None:
    scales = np.linspace(1, 50, 30)

    def bowl(point: Floats) -> tuple[float, Floats]:
        return float(0.5 * (scales * (point - 3) ** 2).sum()), scales * (point - 3)

    found = minimise(bowl, np.zeros(30), 100, tolerance=1e-12)
    np.testing.assert_allclose(found.point, 3, atol=1e-3)
    assert found.iterations < 100
