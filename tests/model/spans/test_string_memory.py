"""The second occurrence is free, a removal stays away, and what is suggested has to earn its place."""

from __future__ import annotations

import json

import pytest

from model.spans.chain.tags import WordSpan
from model.spans.string_memory import PLAIN, TELLING, MemoryBuilder, Said, StringMemory, matches

NEW_YORK = WordSpan(1, 2, "LOC")


def words(text: str) -> list[str]:
    return text.split()


def spans_of(memory: StringMemory, text: str, said: dict[WordSpan, float] | None = None) -> list[WordSpan]:
    return [found.span for found in memory.find(words(text), said or {})]


@pytest.fixture
def builder() -> MemoryBuilder:
    found = MemoryBuilder()
    found.learn(words("in New York today"), [NEW_YORK])
    return found


def test_a_string_marked_once_is_suggested_wherever_it_comes_again(builder: MemoryBuilder) -> None:
    assert spans_of(builder.memory(), "New York and New York City") == [WordSpan(0, 1, "LOC"), WordSpan(3, 4, "LOC")]
    assert spans_of(builder.memory(), "new york") == []


def test_a_string_left_unmarked_is_not_suggested(builder: MemoryBuilder) -> None:
    builder.learn(words("the New York Times"), [WordSpan(1, 3, "ORG")])
    assert spans_of(builder.memory(), "to New York") == [WordSpan(1, 2, "LOC")], "a part of another mark says nothing"
    builder.learn(words("I love New York"), [])
    assert spans_of(builder.memory(), "to New York") == []


def test_a_removal_stays_away_until_the_string_is_marked_again(builder: MemoryBuilder) -> None:
    builder.learn(words("oh New York"), [], removed=[NEW_YORK])
    memory = builder.memory()
    assert memory.is_removed(["New", "York"], "LOC") and not memory.is_removed(["New", "York"], "ORG")
    assert spans_of(memory, "to New York", {NEW_YORK: 0.4}) == []
    for _ in range(3):
        builder.learn(words("in New York today"), [NEW_YORK])
    assert not builder.memory().is_removed(["New", "York"], "LOC")
    assert spans_of(builder.memory(), "to New York") == [NEW_YORK]


def test_a_mark_that_replaced_a_suggestion_is_no_removal_of_itself(builder: MemoryBuilder) -> None:
    builder.learn(words("in New York today"), [NEW_YORK], removed=[NEW_YORK, WordSpan(1, 1, "LOC")])
    memory = builder.memory()
    assert not memory.is_removed(["New", "York"], "LOC")
    assert memory.is_removed(["New"], "LOC")


def test_a_plain_word_needs_the_head_and_a_number_more_of_it() -> None:
    builder = MemoryBuilder()
    builder.learn(words("take aspirin 40"), [WordSpan(1, 1, "drug"), WordSpan(2, 2, "dose")])
    memory = builder.memory()
    text = "aspirin or 40"
    assert spans_of(memory, text) == []
    said = {WordSpan(0, 0, "drug"): 0.3, WordSpan(2, 2, "dose"): 0.4}
    assert spans_of(memory, text, said) == [WordSpan(0, 0, "drug")]


def test_suggestions_that_were_wrong_cost_their_class_its_place() -> None:
    builder = MemoryBuilder()
    builder.learn(words("Ann Bob Eve"), [WordSpan(0, 0, "PER"), WordSpan(1, 1, "PER"), WordSpan(2, 2, "PER")])
    assert spans_of(builder.memory(), "with Bob") == [WordSpan(1, 1, "PER")]
    builder.learn(words("Ann is a name"), [], said=Said())
    memory = builder.memory()
    assert (memory.tried, memory.right) == ((1, 0), (0, 0))
    assert memory.earned(TELLING) < 1 == memory.earned(PLAIN)
    assert spans_of(memory, "with Bob") == []
    assert spans_of(memory, "with Bob", {WordSpan(1, 1, "PER"): 0.2}) == [WordSpan(1, 1, "PER")]


def test_where_the_head_shows_something_the_memory_is_not_judged(builder: MemoryBuilder) -> None:
    builder.learn(words("in New York"), [], said=Said([NEW_YORK], {NEW_YORK: 0.9}))
    assert builder.memory().tried == (0, 0)


def test_all_places_of_a_string_are_found_but_its_own() -> None:
    text = words("Ann saw Ann and Ann B")
    assert matches(text, WordSpan(2, 2, "PER")) == [WordSpan(0, 0, "PER"), WordSpan(4, 4, "PER")]


def test_it_is_written_and_read_as_json(builder: MemoryBuilder) -> None:
    builder.learn(words("oh New York"), [], removed=[NEW_YORK], said=Said())
    memory = builder.memory()
    again = StringMemory.from_json(json.loads(json.dumps(memory.to_json())))
    assert again.to_json() == memory.to_json()
    assert again.is_removed(["New", "York"], "LOC") and again.earned(TELLING) == memory.earned(TELLING)
