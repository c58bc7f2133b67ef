"""The copying rate, from rows whose annotators copy at a known rate."""

from __future__ import annotations

import numpy as np
import pytest

from model.evidence.anchoring_bias import estimate_anchoring
from model.evidence.row import EvidenceRow, Judgement

pytestmark = pytest.mark.slow

Rows = list[EvidenceRow]


def draw(rate: float, count: int, blind: float, seed: int, shift: float = 0.0) -> Rows:
    """Rows of a model whose confidence is off by `shift`; shown wrong answers are accepted at `rate`."""
    random = np.random.default_rng(seed)
    confidence, kind = random.uniform(0.1, 1.0, count), random.random(count)
    right = random.random(count) < np.clip(confidence - shift, 0, 1)
    is_blind = kind < blind
    agreed = right | (~is_blind & (random.random(count) < rate))
    return [
        EvidenceRow("label", Judgement(float(c), bool(a), 0.0), blind=bool(b), explore=bool(blind <= k < 2 * blind))
        for c, a, b, k in zip(confidence, agreed, is_blind, kind, strict=True)
    ]


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6])
def test_with_tests_enough_the_rate_is_within_five_points(rate: float) -> None:
    errors = []
    for seed in range(5):
        found = estimate_anchoring(draw(rate, 8000, 0.2, seed))
        assert found is not None
        errors.append(abs(found["rate"] - rate))
    assert np.mean(np.array(errors) <= 0.05) >= 0.8


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6])
def test_with_few_tests_the_interval_says_so(rate: float) -> None:
    """And it holds the truth, whatever the confidence is worth."""
    found = [estimate_anchoring(draw(rate, 1000, 0.05, seed, shift=0.08)) for seed in range(16)]
    intervals = [item["interval"] for item in found if item is not None]
    assert len(intervals) == 16
    assert np.mean([low <= rate <= high for low, high in intervals]) >= 0.9
    least = 0.1 if rate else 0.03
    assert np.mean([high - low for low, high in intervals]) > least


def test_as_many_labels_more_as_it_lacks_make_the_rate_ten_points_sure() -> None:
    halves = []
    for seed in range(5):
        few = estimate_anchoring(draw(0.3, 350, 0.12, seed))
        assert few is not None and few["lacking"] > 0
        enough = estimate_anchoring(draw(0.3, 350 + few["lacking"], 0.12, seed))
        assert enough is not None
        halves.append((enough["interval"][1] - enough["interval"][0]) / 2)
    assert 0.07 <= np.median(halves) <= 0.13
    most = estimate_anchoring(draw(0.3, 20_000, 0.2, 0))
    assert most is not None and most["lacking"] == 0


def test_nobody_copies_what_nobody_was_shown() -> None:
    assert estimate_anchoring(draw(0.3, 15, 1.0, 0)) is None
    assert estimate_anchoring(draw(0.3, 400, 1.0, 0)) is None, "nothing was shown"
    assert estimate_anchoring(draw(0.3, 400, 0.0, 0)) is None, "nothing was blind"
    assert estimate_anchoring([]) is None


def test_a_model_that_is_never_wrong_tells_nothing() -> None:
    rows = [EvidenceRow("label", Judgement(0.99, True, 0.0), blind=number % 5 == 0) for number in range(500)]
    found = estimate_anchoring(rows)
    assert found is not None and found["interval"][1] - found["interval"][0] > 0.7
