"""How sure the names are of unlabelled texts decides how confident few labels may be."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.head.calibration import (
    MOST_CLASSES,
    SURENESS_RANGE,
    SURENESS_SLOPE,
    SURER_FROM,
    USUAL_CLASSES,
    USUAL_SURENESS,
    expected_log_temperature,
)
from model.head.fit import fit_head
from model.head.linear_head import LinearHead
from model.numerics.arrays import Floats
from model.spec import Kind
from tests.support.encoders import WordsEncoder, choices, samples_of

TOPICS = choices("cats", "dogs", "birds")
CLEAR = [{"text": f"{name} n{i}"} for name in ("cats", "dogs", "birds") for i in range(8)]
VAGUE = [{"text": f"cats dogs birds n{i}"} for i in range(24)]


def sure_by(confidence: float, classes: int = USUAL_CLASSES) -> Floats:
    """Two answers [2, classes]."""
    rest = (1 - confidence) / (classes - 1)
    return np.array([[confidence, *[rest] * (classes - 1)]] * 2)


def topic_head(labels: int, pool: list[dict[str, str]]) -> LinearHead:
    names = TOPICS.keys()
    samples = samples_of(*[(f"{names[i % 3]} n{i} m{i % 7}", names[i % 3]) for i in range(labels)])
    return fit_head(TOPICS, samples, pool, WordsEncoder())


def test_undecided_names_ask_for_humility_and_sure_ones_for_confidence() -> None:
    assert expected_log_temperature(sure_by(0.55)) > 0.1
    assert expected_log_temperature(sure_by(1 / (1 + np.exp(-USUAL_SURENESS)))) == pytest.approx(0)
    assert expected_log_temperature(sure_by(0.88)) < -0.08


def test_to_be_as_sure_among_more_classes_says_more() -> None:
    few, some, many = (expected_log_temperature(sure_by(0.7, classes)) for classes in (2, 20, 70))
    assert few > some > many


def test_of_more_classes_than_were_measured_nothing_is_expected() -> None:
    assert expected_log_temperature(sure_by(0.2, MOST_CLASSES)) > 0
    assert expected_log_temperature(sure_by(0.2, MOST_CLASSES + 1)) == 0


def test_without_texts_or_a_second_class_nothing_is_expected() -> None:
    assert expected_log_temperature(np.zeros((0, 4))) == 0
    assert expected_log_temperature(np.ones((3, 1))) == 0


@given(st.floats(0.25, 1))
def test_what_was_never_measured_is_not_extrapolated(confidence: float) -> None:
    least, most = (SURENESS_SLOPE * (end - USUAL_SURENESS) for end in reversed(SURENESS_RANGE))
    assert least <= expected_log_temperature(sure_by(confidence)) <= most


@pytest.mark.parametrize("labels", [0, 9])
def test_a_head_of_few_labels_is_as_confident_as_its_pool_allows(labels: int) -> None:
    clear, vague = topic_head(labels, CLEAR), topic_head(labels, VAGUE)
    assert clear.temperature < vague.temperature
    texts = [("cats n1",), ("dogs",), ("birds m2",)]
    features = WordsEncoder().embed(texts)
    assert clear.scores(texts, features).max(1).mean() > vague.scores(texts, features).max(1).mean()


def test_few_labels_take_humility_back_and_make_no_head_surer_than_it_is_expected_to_be() -> None:
    clear, vague = topic_head(0, CLEAR).temperature, topic_head(0, VAGUE).temperature
    assert clear < 1 < vague, "all answers held out are right in what follows, by luck"
    assert topic_head(SURER_FROM // 2, CLEAR).temperature == clear
    assert 1 <= topic_head(SURER_FROM // 2, VAGUE).temperature < vague
    assert topic_head(SURER_FROM, CLEAR).temperature < clear


def test_before_any_label_it_is_what_is_expected() -> None:
    head = topic_head(0, VAGUE)
    texts = [(document["text"],) for document in VAGUE]
    answers = head.reference.zero_shot(WordsEncoder().embed(texts))
    assert log(head.temperature) == pytest.approx(expected_log_temperature(answers))


def test_held_out_answers_move_it_little_while_they_are_few() -> None:
    expected = topic_head(0, CLEAR).temperature
    few, many = topic_head(SURER_FROM, CLEAR).temperature, topic_head(200, CLEAR).temperature
    assert many < few < expected  # every one of them is right


def test_sets_of_few_labels_have_no_temperature() -> None:
    tags = choices("red", "blue", kind=Kind.MULTIPLE)
    assert fit_head(tags, [], [{"text": "red"}, {"text": "nothing"}], WordsEncoder()).temperature == 1
