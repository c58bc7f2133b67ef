"""Which candidates are averaged, and that what is said of them was not chosen on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.head.calibration import (
    LEAST_SHARE,
    PRIOR_BONUS,
    ZERO_SHOT_SHARES,
    member_shares,
    nested_answers,
    zero_shot_share,
)
from model.head.linear_head import blend_zero_shot
from model.numerics.metrics import log_losses, one_hot
from tests.support.encoders import Floats

NONE = np.zeros(6, dtype=bool)
LOSSES = st.lists(st.floats(0, 5), min_size=1, max_size=12)


def random_answers(candidates: int, rows: int, classes: int, seed: int, sharpness: float = 1.0) -> Floats:
    """Probabilities [c, n, K] without any sense."""
    return np.random.default_rng(seed).dirichlet(np.full(classes, sharpness), (candidates, rows))


def losses_of(answers: Floats, targets: Floats) -> Floats:
    """[c, n]."""
    return np.stack([log_losses(rows, targets) for rows in answers])


def test_the_best_come_first_and_their_shares_follow_the_likelihood() -> None:
    order, shares = member_shares(np.array([0.9, 0.5, 0.52, 0.6, 2.0, 0.7]), NONE, 20, 3)
    assert order.tolist() == [1, 2, 3]
    expected = np.exp(-0.5 * 20 * np.array([0.0, 0.02, 0.1]))
    np.testing.assert_allclose(shares, expected / expected.sum())


def test_more_than_a_hundred_rows_count_as_a_hundred() -> None:
    losses = np.array([0.5, 0.51, 0.52])
    np.testing.assert_allclose(
        member_shares(losses, NONE[:3], 100, 3)[1], member_shares(losses, NONE[:3], 5000, 3)[1], rtol=1e-6
    )


def test_a_label_name_prior_is_worth_two_nats() -> None:
    losses, with_prior = np.array([0.50, 0.55]), np.array([False, True])
    assert member_shares(losses, with_prior, round(PRIOR_BONUS / 0.05) - 1, 2)[0][0] == 1
    assert member_shares(losses, with_prior, round(PRIOR_BONUS / 0.05) + 1, 2)[0][0] == 0


@settings(deadline=None)
@given(LOSSES, st.integers(1, 500), st.integers(1, 6), st.integers(0))
def test_shares_are_a_distribution_over_few(losses: list[float], count: int, members: int, seed: int) -> None:
    with_prior = np.random.default_rng(seed).random(len(losses)) < 0.5
    order, shares = member_shares(np.array(losses), with_prior, count, members)
    assert 1 <= len(order) == len(shares) <= members
    assert len(set(order.tolist())) == len(order)
    assert shares.sum() == pytest.approx(1)
    assert shares.min() >= LEAST_SHARE
    assert (np.diff(shares) <= 1e-12).all()


def nested_by_hand(
    answers: Floats, losses: Floats, with_prior: NDArray[np.bool_], weights: Floats, folds: NDArray[np.int64]
) -> Floats:
    """One row after the other, in plain loops: every row's average is of the candidates that are best elsewhere."""
    candidates, rows, classes = answers.shape
    result = np.zeros((rows, classes))
    for row in range(rows):
        scores = []
        for candidate in range(candidates):
            elsewhere = [other for other in range(rows) if folds[other] != folds[row]]
            total = sum(weights[other] * losses[candidate, other] for other in elsewhere)
            bonus = 2.0 / rows if with_prior[candidate] else 0.0
            scores.append((total / sum(weights[other] for other in elsewhere) - bonus, candidate))
        best = sorted(scores)[:4]
        parts = [(np.exp(-0.5 * min(rows, 100) * (score - best[0][0])), candidate) for score, candidate in best]
        whole = sum(part for part, _ in parts)
        kept = [(part, candidate) for part, candidate in parts if part / whole >= 0.05]
        whole = sum(part for part, _ in kept)
        result[row] = sum(part / whole * answers[candidate, row] for part, candidate in kept)
    return result


@pytest.mark.parametrize("seed", range(5))
def test_nested_answers_equal_plain_loops(seed: int) -> None:
    generator = np.random.default_rng(seed)
    answers = random_answers(7, 30, 3, seed)
    losses = losses_of(answers, one_hot(generator.integers(0, 3, 30), 3))
    with_prior, weights = generator.random(7) < 0.5, generator.uniform(0.1, 2, 30)
    folds = generator.integers(0, 4, 30)
    found = nested_answers(answers, losses, with_prior, weights, folds, 4)
    np.testing.assert_allclose(found, nested_by_hand(answers, losses, with_prior, weights, folds))


def test_a_row_has_no_say_in_its_own_answer() -> None:
    targets, folds = one_hot(np.arange(20) % 2, 2), np.arange(20) % 5
    answers = random_answers(6, 20, 2, 0)
    before, after = losses_of(answers, targets), losses_of(answers, targets)
    after[:, folds == 2] = np.random.default_rng(1).uniform(0, 9, (6, 4))
    first, second = (nested_answers(answers, losses, NONE, np.ones(20), folds, 4) for losses in (before, after))
    assert np.array_equal(first[folds == 2], second[folds == 2])
    assert not np.allclose(first[folds != 2], second[folds != 2])


def test_rows_of_one_fold_choose_for_themselves() -> None:
    targets = one_hot(np.zeros(3, dtype=int), 2)
    answers = np.stack([np.tile([0.9, 0.1], (3, 1)), np.tile([0.1, 0.9], (3, 1))])
    found = nested_answers(answers, losses_of(answers, targets), NONE[:2], np.ones(3), np.zeros(3, dtype=int), 1)
    np.testing.assert_allclose(found, answers[0])


def test_the_luck_of_the_best_of_many_is_not_taken_for_skill() -> None:
    """Candidates that know nothing: chosen and judged on the same rows the best one looks better than it is."""
    optimism, honest = [], []
    for seed in range(40):
        targets = one_hot(np.random.default_rng([seed, 1]).integers(0, 2, 40), 2)
        answers, folds = random_answers(40, 40, 2, seed, sharpness=4.0), np.arange(40) % 5
        losses, with_prior = losses_of(answers, targets), np.zeros(40, dtype=bool)
        order, shares = member_shares(losses.mean(1), with_prior, 40, 1)
        naive = float(log_losses(np.tensordot(shares, answers[order], 1), targets).mean())
        nested = float(log_losses(nested_answers(answers, losses, with_prior, np.ones(40), folds, 1), targets).mean())
        optimism.append(nested - naive)
        honest.append(nested - losses.mean())
    assert np.mean(optimism) > 0.05
    assert abs(np.mean(honest)) < 0.03, "the loss of one that was drawn blindly"


def ones(targets: Floats) -> Floats:
    return np.ones(len(targets))


def sure_of(targets: Floats, share: float) -> Floats:
    """Answers that give the right class this much probability."""
    classes = targets.shape[1]
    return targets * share + (1 - targets) * (1 - share) / (classes - 1)


TARGETS = one_hot(np.arange(30) % 3, 3)


def test_labels_that_teach_nothing_leave_the_zero_shot_answer() -> None:
    fitted = random_answers(1, 30, 3, 3)[0]
    assert zero_shot_share(fitted, sure_of(TARGETS, 0.9), TARGETS, ones(TARGETS)) == 1.0


def test_a_misleading_zero_shot_answer_is_dropped() -> None:
    wrong = sure_of(np.roll(TARGETS, 1, axis=1), 0.9)
    assert zero_shot_share(sure_of(TARGETS, 0.6), wrong, TARGETS, ones(TARGETS)) <= 0.05
    few = slice(0, 3)
    assert zero_shot_share(sure_of(TARGETS, 0.6)[few], wrong[few], TARGETS[few], ones(TARGETS[few])) <= 0.05


def test_the_fewer_the_labels_the_more_of_it_stays() -> None:
    """Both sides equally good: nothing but the pseudo-labels decides."""
    shares = []
    for count in (3, 9, 30, 300):
        targets = one_hot(np.arange(count) % 3, 3)
        answers = sure_of(targets, 0.6)
        shares.append(zero_shot_share(answers, answers, targets, ones(targets)))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] >= 0.6 and shares[-1] <= 0.05


def test_rows_of_little_weight_have_little_say() -> None:
    fitted, base = sure_of(TARGETS, 0.8), sure_of(TARGETS, 0.45)
    fitted[:10] = sure_of(np.roll(TARGETS, 1, axis=1), 0.98)[:10]
    heavy, light = (np.where(np.arange(30) < 10, weight, 1.0) for weight in (5.0, 0.001))
    assert zero_shot_share(fitted, base, TARGETS, heavy) > zero_shot_share(fitted, base, TARGETS, light)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 10_000))
def test_it_is_never_worse_than_the_zero_shot_answer(count: int, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    targets = one_hot(generator.integers(0, classes, count), classes)
    fitted, base = random_answers(2, count, classes, seed, sharpness=0.4)
    weights = generator.uniform(0.1, 2, count)
    share = zero_shot_share(fitted, base, targets, weights)
    assert share in ZERO_SHOT_SHARES
    costs = [(weights * log_losses(rows, targets)).sum() for rows in (blend_zero_shot(fitted, base, share), base)]
    assert costs[0] <= costs[1] + 1e-6
