"""What a fine-tuned encoder says of words beside the head: scores, the mean of both, age, and state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.errors import VersionError
from model.span import Span
from model.spans.chain.span_probabilities import Candidate
from model.spans.features.reading import SpanReader
from model.spans.head.calibration import SpanCalibration
from model.spans.head.head import ShowRules
from model.spans.head.tuned_marks import TAGGED_DEPTHS, TunedMarks, WordScorer, mix, restore_tuned_marks
from tests.model.spans.conftest import sentences
from tests.support.span_learner import SpanLearner

TEXTS = ["Ann Miller moved to Oslo.", "it rains"]


@pytest.fixture(scope="module")
def scorer(learner: SpanLearner) -> WordScorer:
    random = np.random.default_rng(0)
    width = learner.reader.encoder.width
    weight, gated = (random.normal(size=(5, width)).astype(np.float32) for _ in range(2))
    names = learner.reader.name_vectors(["PER", "LOC"])
    bias = random.normal(size=5).astype(np.float32)
    return WordScorer(("PER", "LOC"), weight, gated, bias, names, 0.5, learner.reader.prior)


def test_scores_are_what_the_formula_says(learner: SpanLearner, scorer: WordScorer) -> None:
    last = SpanReader(learner.reader.encoder, depths=TAGGED_DEPTHS)
    base, tuned = learner.reader.read(TEXTS), last.read(TEXTS)
    found = scorer.log_scores(base, tuned)
    states = np.concatenate([text.states for text in tuned]).astype(np.float32)
    capital = np.array([[text.text[start].isupper()] for text in base for start, _ in text.bounds], np.float32)
    assert scorer.prior is not None
    prior = scorer.prior.log_probabilities(np.concatenate([text.hidden for text in base]), scorer.names)
    wanted = states @ scorer.coefficients.T + scorer.bias + capital * (states @ scorer.gated.T) + 0.5 * prior
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)
    assert scorer.candidates([], [], 12) == []


def test_the_mean_is_by_share_and_by_the_labels_names(learner: SpanLearner) -> None:
    head = learner.fit(sentences(16))
    assert head.labels == ("LOC", "PER")
    own = [[Candidate(0, 1, 1, 0.8), Candidate(3, 3, 0, 0.5)]]
    tuned = [[Candidate(0, 1, 0, 0.4), Candidate(4, 4, 1, 0.9), Candidate(5, 5, 2, 0.9)]]
    found = mix(head, own, ("PER", "LOC", "GONE"), tuned, 0.25)[0]
    assert [one[:3] for one in found] == [(0, 1, 1), (3, 3, 0), (4, 4, 0)], "a label that the head lacks is left out"
    assert [one.probability for one in found] == pytest.approx([0.7, 0.375, 0.225])
    found = mix(head, own, ("PER",), [[]], 0.25)[0]
    assert [one.probability for one in found] == pytest.approx([0.6, 0.5]), "what it does not know, the head says alone"


def test_an_older_one_counts_less_and_is_shown_more_as_the_head_would(learner: SpanLearner, scorer: WordScorer) -> None:
    head = learner.fit(sentences(16))
    calibration, rules = SpanCalibration(2.0, 1.0), ShowRules(0.9, 0.8)
    part = TunedMarks(scorer, 0.4, 8, 12, calibration, calibration, rules)
    assert part.aged(8) is part and part.aged(16).weight == pytest.approx(0.2)
    blend = part.blend(head, [[]], [[]])
    assert blend.head.calibration.slope == pytest.approx((head.calibration.slope + 2) / 2)
    assert blend.head.rules.clicks == pytest.approx((head.rules.clicks + 0.9) / 2)
    fresh = replace(part, trained_on=16).blend(head, [[]], [[]])
    assert fresh.head.calibration == calibration and fresh.head.rules == rules


def test_its_state_is_kept_to_the_bit(learner: SpanLearner, scorer: WordScorer) -> None:
    part = TunedMarks(scorer, 0.3, 64, 14, SpanCalibration(0.9, 0.1), SpanCalibration(1.1, -0.2), ShowRules(0.5, 0.3))
    again = restore_tuned_marks(part.config(), part.tensors(), learner.reader.prior)
    assert again.config() == part.config()
    assert all((again.tensors()[name] == array).all() for name, array in part.tensors().items())
    with pytest.raises(VersionError, match="prior"):
        restore_tuned_marks(part.config(), part.tensors(), None)
    with pytest.raises(VersionError, match="not a fine-tune"):
        restore_tuned_marks(part.config(), {}, learner.reader.prior)


def test_the_head_shows_what_it_is_given(learner: SpanLearner) -> None:
    head = learner.fit(sentences(16))
    read = learner.reader.read(["Zoe Quux moved to Oslo last year."])
    told = head.spans(read, candidates=[[Candidate(0, 1, 1, 0.99)]])[0].spans
    assert Span(0, 8, "PER") in [one.span for one in told]
    (text,) = told_nothing = head.spans(read, candidates=[[]])
    assert len(told_nothing) == 1 and Span(0, 8, "PER") not in [one.span for one in text.spans]
