"""From probabilities to an answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.answers import RUNNERS_UP, AnswerRules, carry_over, decide
from model.labels import LabelledAnswer
from model.spec import Control, Kind, Label, Prediction
from tests.support.encoders import choices

ABC = choices("a", "b", "c")
TAGS = choices("a", "b", "c", kind=Kind.MULTIPLE)
STARS = choices("1", "2", "3", "4", "5", kind=Kind.RATING)
SHARE = st.floats(0, 1)


def answer(
    control: object, row: Sequence[float], labels: str = "abc", options: Sequence[str] | None = None, **more: float
) -> Prediction | None:
    return decide(control, AnswerRules(tuple(labels), **more), np.array(row), options)  # type: ignore[arg-type]


def sure(found: Prediction | None) -> Prediction:
    assert found is not None
    return found


def test_a_single_choice_is_the_likeliest_label() -> None:
    found = sure(answer(ABC, [0.2, 0.5, 0.3]))
    assert (found.control, found.chosen, found.score) == ("label", ("b",), 0.5)
    assert found.ranking == (("b", 0.5), ("c", 0.3), ("a", 0.2))


def test_a_set_holds_all_labels_over_the_threshold_and_its_score_is_the_product() -> None:
    found = sure(answer(TAGS, [0.9, 0.2, 0.8], threshold=0.5))
    assert found.chosen == ("a", "c")
    assert found.score == pytest.approx(0.9 * 0.8 * 0.8)


def test_a_lower_threshold_adds_labels_to_the_set() -> None:
    found = sure(answer(TAGS, [0.9, 0.2, 0.8], threshold=0.2))
    assert found.chosen == ("a", "b", "c")
    assert found.score == pytest.approx(0.9 * 0.2 * 0.8)


def test_a_set_may_be_empty() -> None:
    found = sure(answer(TAGS, [0.1, 0.2, 0.3], threshold=0.5))
    assert (found.chosen, found.score) == ((), pytest.approx(0.9 * 0.8 * 0.7))


def test_a_rating_is_the_median_not_the_likeliest() -> None:
    found = sure(answer(STARS, [0.4, 0.05, 0.25, 0.1, 0.2], labels="12345"))
    assert (found.chosen, found.score) == (("3",), 0.25)


def test_the_median_goes_by_number_whatever_the_order_of_the_columns() -> None:
    stars = choices(*[str(number) for number in range(1, 11)], kind=Kind.RATING)
    found = sure(decide(stars, AnswerRules(("10", "9", "1", "2")), np.array([0.4, 0.2, 0.3, 0.1])))
    assert found.chosen == ("9",)


def test_only_options_are_chosen_and_their_shares_sum_to_one() -> None:
    found = sure(answer(ABC, [0.2, 0.5, 0.3], options=["a", "c"]))
    assert (found.chosen, found.score) == (("c",), 0.6)
    assert [key for key, _ in found.ranking] == ["c", "a"]


def test_a_label_that_left_the_control_is_never_chosen() -> None:
    found = sure(answer(choices("a", "c"), [0.1, 0.8, 0.1]))
    assert found.chosen == ("a",)
    assert all(key != "b" for key, _ in found.ranking)
    assert sure(answer(choices("a", "c", kind=Kind.MULTIPLE), [0.1, 0.9, 0.7])).chosen == ("c",)


def test_there_is_no_answer_when_no_label_remains() -> None:
    assert answer(choices("x", "y"), [0.2, 0.5, 0.3]) is None
    assert answer(ABC, [0.2, 0.5, 0.3], options=[]) is None
    assert answer(ABC, [0.2, 0.5, 0.3], options=["x"]) is None


def test_when_no_remaining_label_has_any_share_they_are_equal() -> None:
    assert sure(answer(ABC, [0.0, 1.0, 0.0], options=["a", "c"])).score == 0.5


def test_the_ranking_is_bounded() -> None:
    names = [f"n{number}" for number in range(30)]
    found = sure(decide(choices(*names), AnswerRules(tuple(names)), np.full(30, 1 / 30)))
    assert len(found.ranking) == RUNNERS_UP


@settings(deadline=None, max_examples=150)
@given(
    row=st.lists(SHARE, min_size=5, max_size=5),
    kind=st.sampled_from(Kind),
    options=st.none() | st.lists(st.sampled_from("123456")),
    threshold=SHARE,
)
def test_scores_are_shares_and_answers_are_allowed(
    row: list[float], kind: Kind, options: list[str] | None, threshold: float
) -> None:
    control = choices(*"1234", kind=kind)
    found = answer(control, row, labels="12345", options=options, threshold=threshold)
    allowed = set("1234") if options is None else set(options) & set("12345")
    if found is None:
        assert not allowed
        return
    assert 0 <= found.score <= 1
    assert all(0 <= share <= 1 for _, share in found.ranking)
    assert {key for key, _ in found.ranking} == allowed >= set(found.chosen)
    assert kind is Kind.MULTIPLE or len(found.chosen) == 1


def test_a_duplicates_label_is_as_sure_as_such_labels_agree() -> None:
    own = sure(answer(ABC, [0.2, 0.5, 0.3]))
    found = sure(carry_over(ABC, own, LabelledAnswer(((("c",), 1.0),), 0.95)))
    assert (found.chosen, found.score) == (("c",), pytest.approx(0.95 + 0.05 * 0.3))
    assert dict(found.ranking) == pytest.approx({"a": 0.01, "b": 0.025, "c": 0.965})
    alone = sure(carry_over(ABC, None, LabelledAnswer(((("c",), 1.0),), 0.95)))
    assert (alone.chosen, alone.score) == (("c",), 0.95), "no version is needed"


def test_duplicates_that_disagree_give_their_distribution() -> None:
    own = sure(answer(ABC, [0.2, 0.5, 0.3]))
    found = sure(carry_over(ABC, own, LabelledAnswer(((("a",), 0.75), (("b",), 0.25)), 0.8)))
    assert (found.chosen, found.score) == (("a",), pytest.approx(0.8 * 0.75 + 0.2 * 0.2))
    doubtful = carry_over(ABC, sure(answer(ABC, [0.0, 0.1, 0.9])), LabelledAnswer(((("a",), 1.0),), 0.3))
    assert sure(doubtful).chosen == ("c",), "labels that hardly agree say less than the version"


def test_labels_that_can_no_longer_be_chosen_are_not_carried_over() -> None:
    own = sure(answer(ABC, [0.2, 0.5, 0.3]))
    known = LabelledAnswer(((("gone",), 1.0),), 0.95)
    assert carry_over(ABC, own, known) is own and carry_over(ABC, None, known) is None
    assert carry_over(ABC, own, LabelledAnswer(((("c",), 1.0),), 0.95), ["a", "b"]) is own
    offered = sure(carry_over(ABC, own, LabelledAnswer(((("mine",), 1.0),), 0.95), ["mine"]))
    assert offered.chosen == ("mine",)


def test_sets_blanks_and_trees_are_carried_over_whole() -> None:
    own = sure(answer(TAGS, [0.9, 0.2, 0.8], threshold=0.5))
    found = sure(carry_over(TAGS, own, LabelledAnswer(((("a", "b"), 1.0),), 0.9)))
    assert (found.chosen, found.score) == (("a", "b"), 0.9)
    same = sure(carry_over(TAGS, own, LabelledAnswer(((("a", "c"), 1.0),), 0.9)))
    assert same.score == pytest.approx(0.9 + 0.1 * own.score)
    blank = sure(carry_over(ABC, sure(answer(ABC, [0.2, 0.5, 0.3])), LabelledAnswer((((), 1.0),), 0.9)))
    assert (blank.chosen, blank.score) == ((), 0.9)
    nodes = tuple(Label(path, path[-1]) for path in (("x",), ("x", "y"), ("x", "z")))
    tree = Control("label", Kind.TAXONOMY, ("text",), nodes)
    deep = sure(carry_over(tree, None, LabelledAnswer(((("x/y",), 0.75), (("x/z",), 0.25)), 0.8)))
    assert deep.chosen == ("x/y",) and deep.levels == (("x", 0.8), ("x/y", pytest.approx(0.6)))
