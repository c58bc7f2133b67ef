"""When a fine-tune looks at its held-out rows, and when it ends early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.training.recipe import DEFAULT_RECIPE

LOSSES = st.lists(st.floats(0.01, 10), max_size=8)


@given(st.integers(0, 400))
def test_looks_are_in_the_second_half_before_the_end(steps: int) -> None:
    looks = DEFAULT_RECIPE.looks_at(steps)
    assert len(looks) <= DEFAULT_RECIPE.looks
    assert all(steps // 2 <= look < steps and look > 0 for look in looks)


@pytest.mark.parametrize("steps", [60, 100, 200, 300])
def test_looks_are_even(steps: int) -> None:
    looks = sorted(DEFAULT_RECIPE.looks_at(steps))
    gaps = [later - earlier for earlier, later in zip(looks, [*looks[1:], steps], strict=True)]
    assert len(looks) == DEFAULT_RECIPE.looks
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    ("losses", "stop"),
    [
        ([], False),
        ([1.0], False),
        ([1.0, 2.0], False),  # one rise may be noise
        ([1.0, 1.1, 1.2], True),
        ([1.0, 1.01, 1.02], False),  # less than noise
        ([1.0, 1.02, 1.04], True),
        ([1.0, 1.2, 1.1], False),  # falls again
        ([1.0, 0.9, 1.2], False),
        ([1.0, 0.5, 0.6, 0.7], True),
        ([1.0, 1.2, 1.4, 0.8, 0.9], False),
        ([0.5, 2.0, 1.0, 1.1, 1.2], True),
        ([1.0, 1.1, 1.1], False),  # does not rise any more
        ([float("nan")] * 4, False),
    ],
)
def test_it_ends_when_the_loss_has_risen_twice_and_enough(losses: list[float], stop: bool) -> None:
    assert DEFAULT_RECIPE.should_stop(losses) is stop


@given(LOSSES)
def test_a_falling_loss_never_ends_it(losses: list[float]) -> None:
    assert not DEFAULT_RECIPE.should_stop(sorted(losses, reverse=True))


@given(LOSSES, st.floats(0.1, 10))
def test_only_proportions_matter(losses: list[float], scale: float) -> None:
    steps = [round(loss, 2) for loss in losses]
    near = len(steps) > 2 and abs(steps[-1] / min(steps) - DEFAULT_RECIPE.worse) < 1e-6  # rounding may tip it
    assert near or DEFAULT_RECIPE.should_stop(steps) == DEFAULT_RECIPE.should_stop([scale * loss for loss in steps])


@given(st.lists(st.floats(0.01, 10), min_size=3, max_size=8))
def test_it_never_ends_at_the_lowest_loss(losses: list[float]) -> None:
    assert not DEFAULT_RECIPE.should_stop([*losses, min(losses)])
