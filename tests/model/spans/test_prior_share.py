"""The prior alone keeps a say: as much as evidence leaves it."""

from __future__ import annotations

import numpy as np
import pytest

from model.spans.chain.span_probabilities import Candidate
from model.spans.head.calibration import HUMBLE, SpanCalibration, humble
from model.spans.head.fit import cold_head
from model.spans.head.prior_share import PriorShare, expected_share, learned_share
from tests.model.spans.conftest import sentences
from tests.support.span_learner import SpanLearner


def test_a_span_is_as_likely_as_both_say_on_average() -> None:
    fitted = [Candidate(0, 1, 0, 0.8), Candidate(3, 3, 1, 0.4)]
    alone = [Candidate(0, 1, 0, 0.4), Candidate(0, 1, 1, 0.2)]
    found = PriorShare(0.25, 1.0).blend(fitted, alone)
    assert [own[:3] for own in found] == [(0, 1, 0), (0, 1, 1), (3, 3, 1)]
    assert [own.probability for own in found] == pytest.approx([0.7, 0.05, 0.3])


def test_less_is_expected_of_it_with_more_spans_and_less_trust() -> None:
    shares = [expected_share(1.0, spans) for spans in (0, 3, 20, 100, 10_000)]
    assert shares[0] == 0.75 and shares[-1] == pytest.approx(0.25, abs=0.01)
    assert shares == sorted(shares, reverse=True)
    assert expected_share(0.5, 20) < expected_share(1.0, 20) / 4
    assert expected_share(0.0, 0) == 0


def test_held_out_texts_move_it_to_what_they_hold_likely() -> None:
    worse, better = np.full(64, -4.0), np.full(64, -1.0)
    assert learned_share(better, worse, 0.4) < 0.2 < 0.4 < 0.6 < learned_share(worse, better, 0.4)
    assert learned_share(better, better, 0.4) == pytest.approx(0.4)
    assert learned_share(better[:0], worse[:0], 0.4) == 0.4
    assert learned_share(np.full(5000, -1.0), np.full(5000, -9.0), 0.4) == 0, "then it is not asked"
    assert learned_share(worse, better, 0.0) == 0


def test_it_makes_probabilities_honest() -> None:
    assert humble(0.0) == HUMBLE
    assert humble(0.3) == SpanCalibration()
    assert humble(0.9).shift > humble(0.4).shift > 0 and humble(0.9).slope == 1
    assert HUMBLE.slope < humble(0.1).slope < 1


def test_a_head_blends_what_its_chain_and_the_prior_say(learner: SpanLearner) -> None:
    from dataclasses import replace

    head = learner.fit(sentences(16))
    assert 0 < head.alone.share < 0.75 and head.alone.trust > 0
    texts = learner.embed([own.text for own in sentences(6, 300)])
    fitted = replace(head, alone=replace(head.alone, share=0.0)).candidates(texts)
    cold = cold_head(learner.basis)
    alone = replace(cold, space=replace(cold.space, offset_weight=head.alone.trust)).candidates(texts)
    for found, *sides in zip(head.candidates(texts), fitted, alone, strict=True):
        expected = head.alone.blend(*sides)
        assert [own[:3] for own in found] == [own[:3] for own in expected]
        assert [own.probability for own in found] == pytest.approx([own.probability for own in expected], abs=1e-5)
