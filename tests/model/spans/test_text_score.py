"""How likely a text is right as it is shown: the sum over what may be there, and as often true as it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.span import SpanDocument
from model.spans.chain.tags import WordSpan
from model.spans.head.calibration import SpanCalibration
from model.spans.head.fit import SpanExample, _hold_out, fit_span_head
from model.spans.head.head import F1
from model.spans.head.text_score import right_as_shown
from tests.model.spans.conftest import sentences
from tests.support.span_learner import SpanLearner


def test_all_that_is_shown_must_be_right_and_nothing_else_there() -> None:
    shown = {WordSpan(0, 1, "person"): 0.8, WordSpan(4, 4, "place"): 0.5}
    assert right_as_shown(shown, shown) == pytest.approx(0.4)
    assert right_as_shown({}, {}) == 1
    out = {WordSpan(0, 0, "person"): 0.1, WordSpan(1, 2, "place"): 0.1}  # cannot be where the shown one is right
    assert right_as_shown(shown, {**shown, **out}) == pytest.approx(0.4)
    rivals = {WordSpan(7, 8, "person"): 0.3, WordSpan(8, 8, "place"): 0.2}  # at most one of them is there
    assert right_as_shown(shown, {**shown, **rivals}) == pytest.approx(0.4 * 0.5)
    apart = {WordSpan(7, 8, "person"): 0.3, WordSpan(9, 9, "place"): 0.2}
    assert right_as_shown({}, apart) == pytest.approx(0.7 * 0.8)
    assert 0 < right_as_shown({WordSpan(0, 0, "person"): 0.0}, {}) < 0.01


def careless(count: int, offset: int) -> list[SpanDocument]:
    """Every fourth span that should be marked is not."""
    random = np.random.default_rng(offset)
    texts = sentences(count, offset)
    return [replace(own, spans=tuple(span for span in own.spans if random.random() < 0.75)) for own in texts]


def test_texts_are_right_as_often_as_their_scores_say(learner: SpanLearner) -> None:
    head = learner.fit(careless(96, 0))
    test = careless(160, 1000)
    texts = learner.embed([own.text for own in test])
    found = head.spans(texts)
    scores = np.array([own.score for own in found])
    pairs = zip(found, test, strict=True)
    right = np.array([{one.span for one in own.spans} == set(document.spans) for own, document in pairs])
    assert scores.mean() == pytest.approx(right.mean(), abs=0.2)
    assert scores[right].mean() > scores[~right].mean() + 0.1
    assert ((scores > 0) & (scores <= 1)).all()
    assert [head.spans([text])[0].score for text in texts[:5]] == pytest.approx(scores[:5], abs=1e-3)


def test_the_sigmoid_of_texts_is_fitted_to_those_held_out(learner: SpanLearner) -> None:
    examples = [
        SpanExample(text, own.spans)
        for text, own in zip(learner.embed([own.text for own in careless(96, 0)]), careless(96, 0), strict=True)
    ]
    head = fit_span_head(learner.basis, examples)
    held_out = replace(_hold_out(learner.basis, examples), share=head.alone)
    scores, right = map(np.array, zip(*held_out.text_pairs(head.rules.clicks, head.calibration), strict=True))
    assert head.text_calibration != SpanCalibration()
    calibrated = head.text_calibration.sigmoid(scores)
    losses = [-np.log(np.where(right, own, 1 - own).clip(1e-4)).mean() for own in (calibrated, scores)]
    assert losses[0] < losses[1]
    assert calibrated.mean() == pytest.approx(right.mean(), abs=0.05)


def test_for_f1_more_is_shown_than_for_clicks(learner: SpanLearner) -> None:
    head = learner.fit(careless(96, 0))
    assert head.rules.f1 <= head.rules.clicks
    texts = learner.embed([own.text for own in careless(80, 2000)])
    shown = [sum(len(own.spans) for own in head.spans(texts, aim)) for aim in ("clicks", F1)]
    assert shown[0] <= shown[1]
