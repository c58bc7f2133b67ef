"""Accuracy on the unlabelled pool from a stream that was not drawn evenly from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.evidence.pool_accuracy import GROUP_ROWS, _bin, _groups, estimate_accuracy, summarise_pool


def simulate(seed: int, labelled: int = 120, over: float = 0.0) -> tuple[dict[str, Any], float, float]:
    """(estimate, the pool's true accuracy, the stream's) when the least confident quarter is labelled mostly.

    A model that is right with its confidence less `over`."""
    generator = np.random.default_rng(seed)
    confidence = 0.5 + 0.5 * generator.beta(2, 1, 2000)
    right = generator.random(2000) < np.clip(confidence - over, 0, 1)
    keys = generator.random(2000) / np.where(confidence < np.quantile(confidence, 0.25), 8, 1)
    chosen = np.argsort(keys)[:labelled]
    rest = np.setdiff1d(np.arange(2000), chosen)
    estimate = estimate_accuracy(confidence[chosen].tolist(), right[chosen].tolist(), summarise_pool(confidence[rest]))
    assert estimate is not None
    return estimate, float(right[rest].mean()), float(right[chosen].mean())


@pytest.mark.parametrize("over", [0.0, 0.1])
def test_the_estimate_is_close_to_the_truth_where_the_raw_accuracy_is_not(over: float) -> None:
    found = [simulate(seed, over=over) for seed in range(40)]
    raw = np.mean([stream - truth for _, truth, stream in found])
    corrected = np.mean([estimate["accuracy"] - truth for estimate, truth, _ in found])
    assert raw < -0.09, "an uncertain stream looks much worse than the pool"
    assert abs(corrected) < 0.02
    assert np.mean([estimate["bias"] for estimate, _, _ in found]) == pytest.approx(raw, abs=0.02)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    found = [simulate(seed, over=0.05) for seed in range(100)]
    held = [low <= truth <= high for (estimate, truth, _) in found for low, high in [estimate["interval"]]]
    assert np.mean(held) >= 0.9
    assert np.mean([e["interval"][1] - e["interval"][0] for e, _, _ in found]) < 0.3


def test_an_even_stream_is_left_alone() -> None:
    generator = np.random.default_rng(1)
    confidence = generator.uniform(0.3, 1, 3000)
    right = generator.random(3000) < confidence
    estimate = estimate_accuracy(confidence[:400].tolist(), right[:400].tolist(), summarise_pool(confidence[400:]))
    assert estimate is not None and abs(estimate["bias"]) < 0.04


def test_too_few_rows_or_no_pool_give_no_estimate() -> None:
    pool = summarise_pool(np.array([0.5, 0.9]))
    assert estimate_accuracy([0.5] * 29, [True] * 29, pool) is None
    assert estimate_accuracy([0.5] * 50, [True] * 50, summarise_pool(np.zeros(0))) is None


@pytest.mark.parametrize("rows", [[1.0] * 60, [0.0] * 60, [0.0] * 5 + [1.0] * 55, list(np.linspace(0, 1, 200))])
def test_every_group_has_rows_whatever_the_confidences(rows: list[float]) -> None:
    group, shares = _groups(_bin(np.array(rows)), np.ones(50))
    assert np.bincount(group).min() >= GROUP_ROWS and len(np.bincount(group)) == len(shares)
    assert shares.sum() == pytest.approx(1.0)
    estimate = estimate_accuracy(rows, [True] * len(rows), summarise_pool(np.linspace(0, 1, 100)))
    assert estimate is not None and 0 <= estimate["interval"][0] <= estimate["interval"][1] <= 1
