"""Which words decided, against models whose words' true weights are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.explain.occlusion import MIN_LOG_ODDS, MIN_WEIGHT, MOST_WORDS, Piece, cut, explain, pieces_of
from model.spec import Text
from tests.support.encoders import Floats


def additive(*weights: Mapping[str, float]) -> Callable[[Sequence[Text]], Floats]:
    """Log-odds that are the sum of the words' weights, one mapping a label: what each word decides is known."""

    def log_odds(texts: Sequence[Text]) -> Floats:
        words = [" ".join(text).split() for text in texts]
        return np.array([[sum(map(lambda w: one.get(w, 0.0), each)) for one in weights] for each in words])

    return log_odds


def test_the_weights_of_an_additive_model_are_found_exactly() -> None:
    [words] = explain(("my refund is late again",), additive({"refund": 2.0, "late": 0.5, "again": -3.0, "my": 0.05}))
    assert [(word.text, word.weight, word.log_odds) for word in words] == [
        ("refund", 1.0, pytest.approx(2.0)),
        ("late", pytest.approx(0.25), pytest.approx(0.5)),
    ]
    assert (words[0].segment, words[0].start, words[0].end) == (0, 3, 9)


def test_of_two_words_that_say_the_same_neither_is_lost() -> None:
    def either(texts: Sequence[Text]) -> Floats:
        return np.array([[3.0 if "refund" in text[0] or "money" in text[0] else -3.0] for text in texts])

    [words] = explain(("refund my money",), either)
    assert [word.text for word in words] == ["refund", "money"], "leaving one out alone would say that none counts"


def test_each_label_has_words_of_its_own() -> None:
    first, second = explain(("late and broken",), additive({"late": 2.0}, {"broken": 1.0}))
    assert ([word.text for word in first], [word.text for word in second]) == (["late"], ["broken"])


def test_the_words_of_a_pair_name_their_segment() -> None:
    [words] = explain(("a man sleeps", "nobody sleeps"), additive({"nobody": 2.0, "sleeps": 1.0}))
    assert [(word.segment, word.start, word.text) for word in words] == [
        (1, 0, "nobody"),
        (0, 6, "sleeps"),
        (1, 7, "sleeps"),
    ]


def test_a_fact_far_into_a_long_text_is_found_at_its_place() -> None:
    text = " ".join(f"word{index}" for index in range(1500)) + " refund " + "and more " * 300
    asked: list[int] = []

    def log_odds(texts: Sequence[Text]) -> Floats:
        asked.append(sum(len(text[0].split()) for text in texts))
        return additive({"refund": 2.0})(texts)

    [words] = explain((text,), log_odds)
    assert [text[word.start : word.end] for word in words] == ["refund"]
    assert sum(asked) < len(text.split()) + (MOST_WORDS + 1) * (MOST_WORDS + 2), "the text itself is read once"


def test_in_a_long_text_every_label_keeps_its_best_passage() -> None:
    filler = "nothing here " * 40
    weights = additive({"late": 5.0, "slow": 4.0}, {"broken": 0.5})
    late, broken = explain((f"late {filler} slow {filler} slow {filler} slow {filler} slow {filler} broken",), weights)
    assert late[0].text == "late" and [word.text for word in broken] == ["broken"]


@pytest.mark.parametrize("text", [(), ("",), ("", ""), ("!?",), (" " * 5000,)])
def test_a_text_without_words_has_no_reasons(text: Text) -> None:
    assert explain(text, lambda texts: np.zeros((len(texts), 1))) == [[]]


@given(
    st.lists(st.text(max_size=300), min_size=1, max_size=2).map(tuple),
    st.lists(st.floats(-50, 50), min_size=1, max_size=2),
)
def test_spans_name_what_stands_there_and_weights_are_ordered(text: Text, biases: list[float]) -> None:
    def log_odds(texts: Sequence[Text]) -> Floats:
        return np.array([[bias * len("".join(each)) for bias in biases] for each in texts])

    for words in explain(text, log_odds):
        assert all(text[word.segment][word.start : word.end] == word.text != "" for word in words)
        assert [word.weight for word in words] == sorted((word.weight for word in words), reverse=True)
        assert all(MIN_WEIGHT <= word.weight <= 1 and word.log_odds >= MIN_LOG_ODDS for word in words)
        assert len({(word.segment, word.start) for word in words}) == len(words)


def test_cutting_keeps_pieces_in_order_and_takes_the_hole_out() -> None:
    text = ("one two three", "four")
    assert cut(text, [Piece(0, 0, 3), Piece(0, 8, 13), Piece(1, 0, 4)]) == ("one three", "four")
    assert cut(text, [Piece(0, 0, 13)], Piece(0, 4, 7)) == ("one  three", "")
    assert cut(text, []) == ("", "")
    assert pieces_of(text)[-1] == Piece(1, 0, 4)
