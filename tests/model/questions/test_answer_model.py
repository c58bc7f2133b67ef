"""The likelihood of answers against what is counted out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model.questions.answer_model import BUCKETS, Band, Gold, Questions, length_buckets, loss
from model.questions.layout import COLUMNS, NONE_COLUMNS, zero_weights
from model.questions.starting_weights import starting_weights

LENGTHS = [3, 0, 1, 5]
LONGEST = 3


def some_questions(seed: int = 0) -> Questions:
    random = np.random.default_rng(seed)
    words = sum(LENGTHS)
    return Questions(
        random.normal(size=(words, len(COLUMNS))).astype(np.float32),
        random.normal(size=(words, 4)).astype(np.float32),
        np.array([0, 3, 1, 1]),
        random.normal(size=(len(LENGTHS), len(NONE_COLUMNS))).astype(np.float32),
        Band.of(LENGTHS, LONGEST),
    )


def some_weights(seed: int = 1):  # type: ignore[no-untyped-def]
    zero = zero_weights(4)
    return zero.like(np.random.default_rng(seed).normal(size=len(zero.flat)).astype(np.float32) / 8)


def by_hand(questions: Questions, weights, question: int) -> dict[tuple[int, int] | None, float]:  # type: ignore[no-untyped-def]
    """Probability of each answer, and of none."""
    start = sum(LENGTHS[:question])
    rows = questions.words[start : start + LENGTHS[question]] @ weights.words
    rows = rows + questions.states[start : start + LENGTHS[question]] @ weights.states
    scores: dict[tuple[int, int] | None, float] = {None: float(questions.none[question] @ weights.none)}
    for first in range(LENGTHS[question]):
        for last in range(first, min(LENGTHS[question], first + LONGEST)):
            bucket = max(i for i, size in enumerate(BUCKETS) if size <= last - first + 1)
            size = weights.lengths[0, bucket] + weights.lengths[1 + questions.kinds[question], bucket]
            inside = rows[first : last + 1, 1].sum()
            scores[(first, last)] = float(rows[first, 0] + inside + rows[last, 2] + size)
    top = max(scores.values())
    total = sum(np.exp(own - top) for own in scores.values())
    return {place: float(np.exp(own - top) / total) for place, own in scores.items()}


def test_candidates_and_none_have_the_probabilities_that_their_scores_say() -> None:
    questions, weights = some_questions(), some_weights()
    scores, none = questions.scores(weights)
    totals = questions.band.log_totals(scores, none)
    for question in range(len(LENGTHS)):
        expected = by_hand(questions, weights, question)
        assert np.exp(none[question] - totals[question]) == pytest.approx(expected.pop(None), rel=1e-4)
        start = questions.band.starts[question]
        for place, likely in expected.items():
            assert place is not None
            first, last = place
            assert np.exp(scores[start + first, last - first] - totals[question]) == pytest.approx(likely, rel=1e-4)


def test_the_loss_is_that_of_what_is_right_and_its_gradient_is_its_slope() -> None:
    questions, weights = some_questions(), some_weights()
    answers = [[(0, 1), (2, 2)], [], [], [(1, 3)]]
    gold = Gold.of(questions.band, answers, [1.0, 1.0, 0.5, 2.0])
    value, gradient = loss(questions, gold, weights)
    each = [by_hand(questions, weights, question) for question in range(len(LENGTHS))]
    wanted = -sum(
        weight * np.log(sum(own[place] for place in (places or [None])))
        for own, places, weight in zip(each, answers, [1.0, 1.0, 0.5, 2.0], strict=True)
    )
    assert value == pytest.approx(wanted, rel=1e-4)
    flat, slope = weights.flat.astype(np.float64), gradient.flat
    random = np.random.default_rng(3)
    for place in [*random.integers(0, len(flat), 40), *range(len(flat) - 12, len(flat))]:
        step = np.zeros_like(flat)
        step[place] = 0.05
        up, down = (loss(questions, gold, weights.like((flat + sign * step).astype(np.float32)))[0] for sign in (1, -1))
        assert slope[place] == pytest.approx((up - down) / 0.1, abs=5e-3), place


def test_an_answer_that_is_longer_than_is_looked_for_teaches_nothing() -> None:
    gold = Gold.of(Band.of([6], 3), [[(0, 5)]], [1.0])
    assert not gold.answers.any() and not gold.nothing.any() and gold.weights.tolist() == [0.0]
    assert length_buckets(12).tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 6, 6]


def test_what_a_fit_starts_from_cannot_be_changed_by_it() -> None:
    with pytest.raises(ValueError):
        starting_weights(0).words[0] = 1
    assert np.isfinite(starting_weights(7).flat).all() and not starting_weights(7).states.any()
