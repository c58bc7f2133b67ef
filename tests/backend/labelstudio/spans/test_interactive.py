"""One mark, all its other occurrences; what was removed stays away."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from backend.labelstudio.spans.interactive import Memory, answer_mark, occurrences
from model.span import ScoredSpan, Span
from tests.support.spans import HTML_CONFIG, TEXT_CONFIG, TURNS_CONFIG, opened, recorded

CASES = recorded("edit_and_interactive")
DATA = CASES["interactive"]["task"]["data"]

EMPTY = Memory()


def mark(id_: str, start: int, end: int, label: str = "PER", origin: str = "manual") -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": [label]}
    return {"id": id_, "from_name": "label", "to_name": "text", "type": "labels", "origin": origin, "value": value}


def places(result: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(item["value"]["start"], item["value"]["end"]) for item in result]


def ask(context: list[Any], memory: Memory = EMPTY, now: float = 100.0, text: str = "", **more: Any) -> Any:
    config, pages = opened(TEXT_CONFIG, {"text": text or DATA["text"]})
    return answer_mark(config, pages, {"result": context}, memory, now=now, **more)


def test_the_recorded_request_is_answered_with_the_other_occurrences() -> None:
    config, pages = opened(CASES["interactive"]["label_config"], DATA)
    result, memory = answer_mark(config, pages, CASES["interactive"]["context"], Memory(), now=1.0, score=0.9)
    # "Ada" at 0 and 19 are marked already.
    assert places(result) == [(35, 38), (54, 57)]
    assert all(item["score"] == 0.9 and item["value"]["text"] == "Ada" for item in result)
    assert {item["id"] for item in result} == {one.id for one in memory.suggested}
    assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory


def test_each_recorded_object_is_answered_in_its_own_unit() -> None:
    html = "<p>Ada met <b>Bob</b>, and Bob left</p>"
    config, pages = opened(HTML_CONFIG, {"html": html})
    result, _ = answer_mark(config, pages, CASES["interactive_html"][0], Memory(), now=1.0)
    assert [item["value"]["globalOffsets"] for item in result] == [{"start": 17, "end": 20}]
    turns = [{"text": "😀 Ada"}, {"text": "Yes,  Ada"}]
    config, pages = opened(TURNS_CONFIG, {"dialogue": turns})
    result, _ = answer_mark(config, pages, CASES["interactive_para"][0], Memory(), now=1.0)
    assert [(item["value"]["start"], item["value"]["startOffset"]) for item in result] == [("0", 3)]


def test_smart_false_and_an_empty_context_are_answered_with_nothing() -> None:
    config, pages = opened(TEXT_CONFIG.replace('name="label"', 'name="label" smart="false"'), DATA)
    assert answer_mark(config, pages, {"result": [mark("a", 0, 3)]}, Memory(), now=1.0) == ([], Memory())
    contexts: list[list[Any]] = [[], [None], [{"value": {}}]]
    for context in contexts:
        assert ask(context) == ([], Memory())
    config, pages = opened(TEXT_CONFIG, DATA)
    odds: list[Any] = [None, [], {}, {"result": "x"}]
    for odd in odds:
        assert answer_mark(config, pages, odd, Memory(), now=1.0) == ([], Memory())


def test_what_was_removed_does_not_come_back() -> None:
    result, memory = ask([mark("a", 0, 3)])
    assert places(result) == [(19, 22), (35, 38), (54, 57)]
    kept = [mark(item["id"], *place) for item, place in zip(result, places(result), strict=True) if place != (35, 38)]
    result, memory = ask([mark("a", 0, 3), *kept, mark("b", 8, 11)], memory, now=110.0)
    assert places(result) == [(27, 30)]
    assert memory.removed == {("label", Span(35, 38, "PER"))}
    # "Ada" is taken away as well, and marked again: only what is not removed comes.
    result, memory = ask([mark("c", 0, 3)], memory, now=120.0)
    assert (35, 38) not in places(result) and (54, 57) in places(result)


def test_an_undo_is_not_a_removal() -> None:
    _, memory = ask([mark("a", 0, 3)])
    result, memory = ask([mark("b", 0, 3)], memory, now=110.0)
    assert places(result) == [(19, 22), (35, 38), (54, 57)] and memory.removed == frozenset()


def test_an_answer_that_the_page_dropped_was_not_removed() -> None:
    _, memory = ask([mark("a", 0, 3)])
    result, memory = ask([mark("a", 0, 3), mark("b", 8, 11)], memory, now=100.5)
    assert places(result) == [(27, 30)] and memory.removed == frozenset()
    _, memory = ask([mark("a", 0, 3)])
    _, memory = ask([mark("a", 0, 3), mark("b", 8, 11)], memory, now=130.0)
    assert len(memory.removed) == 3


def test_suggestions_of_another_label_are_not_judged() -> None:
    _, memory = ask([mark("a", 0, 3)])
    _, memory = ask([mark("b", 8, 11, "ORG")], memory, now=130.0)
    assert memory.removed == frozenset() and len(memory.suggested) == 4


def test_a_region_with_a_new_label_is_followed_where_it_stands() -> None:
    context = [mark("p", 0, 3, "ORG", "prediction-changed"), mark("q", 8, 11, "ORG", "prediction")]
    result, _ = ask(context)
    assert {(19, 22), (35, 38), (54, 57)} <= set(places(result))


def test_predicted_spans_of_other_labels_are_let_alone() -> None:
    result, _ = ask([mark("a", 0, 3)], avoid=[Span(35, 40, "ORG")])
    assert places(result) == [(19, 22), (54, 57)]


def test_what_the_head_is_sure_of_comes_besides_for_the_label_marked() -> None:
    also = {"label": [ScoredSpan(8, 11, "PER", 0.97), ScoredSpan(45, 49, "ORG", 0.99), ScoredSpan(0, 3, "PER", 0.9)]}
    result, _ = ask([mark("a", 0, 3)], also=also)
    assert places(result) == [(8, 11), (19, 22), (35, 38), (54, 57)]


def test_a_limit_counts_what_is_there() -> None:
    config, pages = opened(TEXT_CONFIG.replace('<Label value="PER"/>', '<Label value="PER" maxUsages="3"/>'), DATA)
    result, _ = answer_mark(config, pages, {"result": [mark("a", 0, 3)]}, Memory(), now=1.0)
    assert len(result) == 2


@pytest.mark.parametrize(
    ("text", "marked", "found"),
    [
        ("Ada, Adapter, ada, Ada's Ada", "Ada", [(19, 22), (25, 28)]),
        ("New York, New\n York", "New York", [(10, 19)]),
        ("東京は東京だ", "東京", [(3, 5)]),
        ("は東京、東京", "東京", [(4, 6)]),
        ("a.b a.b axb", "a.b", [(4, 7)]),
        ("C++ and C++", "C++", [(8, 11)]),
        ("pre-war war", "war", [(8, 11)]),
        ("... ...", "...", []),
        ("dapt Adapter", "dapt", []),
        ("Adapter dapt dapt", "dapt", [(13, 17)]),
    ],
)
def test_occurrences_are_whole_words_where_a_whole_word_was_marked(
    text: str, marked: str, found: list[tuple[int, int]]
) -> None:
    start = text.index(" " + marked) + 1 if text.startswith("Adapter") else text.index(marked)
    assert sorted(occurrences(text, start, start + len(marked))) == found


def test_a_word_may_touch_a_script_without_blanks() -> None:
    assert list(occurrences("NHKは見る。私のNHKとNHKS", 0, 3)) == [(9, 12)]
    assert list(occurrences("北京和大北京市", 0, 2)) == [(4, 6)]


def test_a_part_of_a_word_is_found_in_other_words() -> None:
    assert list(occurrences("Adapter, adapting", 1, 5)) == [(10, 14)]


def test_a_long_text_is_answered_in_time() -> None:
    text = "Ada met Bob in London, and then he went on to see others. " * 7_000
    context = [mark("a", 0, 3), *(mark(f"x{at}", 8 + 58 * at, 11 + 58 * at) for at in range(300)), mark("z", 15, 21)]
    begin = time.process_time()
    result, memory = ask(context, text=text)
    assert time.process_time() - begin < 5, "quadratic work would take minutes"
    assert len(result) == 500 and len(memory.suggested) == 500
