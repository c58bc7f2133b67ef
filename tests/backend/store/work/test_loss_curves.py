"""A curve is as short as a picture needs, goes on after a crash, and goes when its fine-tune is forgotten."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend.store.work.loss_curves import CURVE_POINTS, LossCurve, join_curve, thin


@given(st.lists(st.floats(0, 9), max_size=400))
def test_thinning_keeps_the_ends_and_the_mean(losses: list[float]) -> None:
    points = [(step + 1, loss) for step, loss in enumerate(losses)]
    found = thin(points)
    assert len(found) == min(len(points), CURVE_POINTS)
    assert [step for step, _ in found] == sorted({step for step, _ in found})
    if points:
        assert found[-1][0] == points[-1][0] and all(
            min(losses) - 1e-4 <= loss <= max(losses) + 1e-4 for _, loss in found
        )


def test_an_attempt_that_goes_on_replaces_what_it_does_again() -> None:
    earlier: LossCurve = {"loss": [(1, 2.0), (2, 1.9), (3, 1.0)], "held_out": [(2, 1.5), (3, 1.4)], "starts": [1, 3]}
    joined = join_curve(earlier, [(3, 1.1), (4, 1.0)], [(4, 1.3)], [3])
    assert joined["loss"] == [(1, 2.0), (2, 1.9), (3, 1.1), (4, 1.0)]
    assert joined["held_out"] == [(2, 1.5), (4, 1.3)] and joined["starts"] == [1, 3]
    assert join_curve(None, [], [], []) == {"loss": [], "held_out": [], "starts": []}


def test_curves_of_forgotten_fine_tunes_go(stores: Any) -> None:
    curve: LossCurve = {"loss": [(1, 2.0)], "held_out": [], "starts": [1]}
    stores.loss_curves.save(7, "train-7-gone", curve)
    job = stores.jobs.request_training(7, by="test")[0]["id"]
    stores.loss_curves.save(7, job, curve)
    found = stores.loss_curves.read(7, ["train-7-gone", job, "train-7-none"])
    assert list(found) == [job] and found[job]["loss"] == [[1, 2.0]]
    assert stores.loss_curves.read(7, []) == {}
