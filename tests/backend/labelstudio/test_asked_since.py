"""Since when each question is asked."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from backend.labelstudio.asked_since import ASKED_ALWAYS, Asked

NAMES = st.sets(st.sampled_from(["a", "b", "c"]))


def test_the_questions_of_the_first_config_were_always_asked() -> None:
    asked = ASKED_ALWAYS.follow(["a"], 500)
    assert asked.at("a", 0) and asked.at("unknown", 0)


def test_a_later_question_was_not_asked_before() -> None:
    asked = ASKED_ALWAYS.follow(["a"], 500).follow(["a", "b"], 700)
    assert asked.at("a", 10) and not asked.at("b", 699) and asked.at("b", 700)


def test_a_question_that_went_and_came_back_was_not_asked_between() -> None:
    asked = ASKED_ALWAYS.follow(["a", "b"], 1).follow(["a"], 100).follow(["a", "b"], 200)
    assert [asked.at("b", moment) for moment in (50, 99, 100, 150, 200, 300)] == [True, True, False, False, True, True]


@given(st.lists(st.tuples(NAMES, st.integers(0, 10**17)), max_size=6))
def test_what_was_followed_is_asked_now_and_survives_as_json(configs: list[tuple[set[str], int]]) -> None:
    asked, latest = ASKED_ALWAYS, 0
    for names, moment in configs:
        latest = max(latest, moment)
        asked = asked.follow(names, latest)
    assert Asked.from_json(json.loads(json.dumps(asked.to_json()))) == asked
    if configs:
        assert all(asked.at(name, latest) for name in configs[-1][0])
