"""Agreement of versions, against scikit-learn's kappa."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from model.evidence.stability import are_settled, cohen_kappa, compare_answers


@pytest.mark.parametrize("classes", [2, 5, 77])
def test_kappa_is_that_of_scikit_learn(classes: int) -> None:
    random = np.random.default_rng(classes)
    before = random.integers(0, classes, 400)
    after = np.where(random.random(400) < 0.8, before, random.integers(0, classes, 400))
    words = [f"label {number}" for number in after]
    assert cohen_kappa(before.tolist(), after.tolist()) == pytest.approx(cohen_kappa_score(before, after))
    assert cohen_kappa(words, [f"label {number}" for number in before]) == pytest.approx(
        cohen_kappa_score(after, before)
    )


def test_one_answer_to_everything_is_full_agreement() -> None:
    assert cohen_kappa(["a"] * 5, ["a"] * 5) == 1.0
    assert cohen_kappa([], []) == 1.0
    assert cohen_kappa(["a", "b"], ["b", "a"]) == pytest.approx(-1.0)


def test_sets_are_compared_as_wholes() -> None:
    before, after = [("a", "b"), ("a",), ()], [("a", "b"), ("a", "b"), ()]
    assert compare_answers(before, after) == {"kappa": pytest.approx(0.5, abs=1e-4), "n": 3, "changed": 1}


def test_answers_of_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="3 answers"):
        cohen_kappa([1, 2, 3], [1, 2])


def test_learning_has_settled_after_three_agreements() -> None:
    assert not are_settled([1.0, 1.0])
    assert are_settled([0.5, 0.99, 0.99, 0.995])
    assert not are_settled([0.99, 0.95, 1.0])
