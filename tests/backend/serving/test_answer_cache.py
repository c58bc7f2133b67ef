"""The cache of answers: by model and text, bounded in bytes, never one task's answer to another."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.serving.answer_cache import AnswerCache, answer_key
from model.region import Region, RegionAnswer, Relation, ScoredRelation
from model.span import ScoredSpan
from model.spec import Prediction


def answers(label: str, ranked: int = 0) -> list[Prediction]:
    return [Prediction("label", (label,), 0.5, tuple((f"{label} {i}", 0.1) for i in range(ranked)))]


def test_what_was_not_used_for_longest_goes_first() -> None:
    size = AnswerCache(1 << 20)
    size.put(b"x", answers("x"))
    cache = AnswerCache(3 * size.bytes)
    for key in (b"a", b"b", b"c"):
        cache.put(key, answers(key.decode()))
    assert cache.get(b"a") == answers("a")
    cache.put(b"d", answers("d"))
    assert cache.get(b"b") is None and cache.get(b"a") and cache.get(b"c") and cache.get(b"d")
    assert (cache.hits, cache.misses) == (4, 1)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 10)), max_size=60))
def test_the_bound_holds_and_the_count_is_right(puts: list[tuple[int, int]]) -> None:
    cache = AnswerCache(6000)
    for key, ranked in puts:
        cache.put(bytes([key]), answers("x", ranked))
        assert cache.bytes <= cache.max_bytes
    assert cache.bytes == sum(size for _, size in cache._kept.values())


def test_an_answer_larger_than_the_cache_is_not_kept() -> None:
    cache = AnswerCache(1000)
    cache.put(b"a", answers("a", ranked=100))
    assert len(cache) == 0 and cache.bytes == 0


def marked(count: int) -> Prediction:
    """As a head suggests it: each span with a reason, two answers about it, and a relation to the next."""
    spans, ties = [], []
    for at in range(0, 1000 * count, 1000):
        about = tuple(RegionAnswer("".join(["st", "ate"]), (f"label {at}",), 0.001 * at) for _ in range(2))
        spans.append(ScoredSpan(at, at + 7, "PER", 0.9 - 1e-6 * at, f"seen {at} times as PER; also ORG 0.21", about))
        ends = Region("label", at, at + 7, "PER"), Region("label", at + 1000, at + 1007, "PER")
        ties.append(ScoredRelation(Relation(*ends, (f"tie {at}",), False), 0.5 + 1e-6 * at))
    return Prediction("label", (), 0.5, spans=tuple(spans), relations=tuple(ties))


@pytest.mark.parametrize("count", [1, 5, 40])
def test_marked_text_counts_with_all_that_is_kept_of_it(count: int) -> None:
    """Without it an entry of many spans counted as one of none, and the bound was none."""
    kept = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept += [[marked(count)] for _ in range(50)]
        real = (tracemalloc.get_traced_memory()[0] - before) / 50
    finally:
        tracemalloc.stop()
    cache = AnswerCache(1 << 30)
    cache.put(b"a", kept[0])
    assert 0.7 * real < cache.bytes < 1.6 * real + 700, (real, cache.bytes)


TEXTS = st.dictionaries(st.text(max_size=3), st.text(max_size=4), max_size=3)
OPTIONS = st.dictionaries(st.text(max_size=2), st.lists(st.text(max_size=3), max_size=3), max_size=2)


@given(st.integers(1, 30), TEXTS, OPTIONS, st.integers(1, 30), TEXTS, OPTIONS)
def test_keys_are_equal_only_for_the_same_question(
    one: int, text: dict[str, str], listed: dict[str, list[str]], other: int, text2: dict[str, str], listed2: object
) -> None:
    same = (one, list(text.items()), list(listed.items())) == (other, list(text2.items()), list(listed2.items()))  # type: ignore[attr-defined]
    assert (answer_key(one, text, listed) == answer_key(other, text2, listed2)) == same  # type: ignore[arg-type]


def test_document_and_options_are_not_confused() -> None:
    assert answer_key(1, {"a": "b"}, {}) != answer_key(1, {}, {"a": ["b"]})
    assert answer_key(1, {"a": "\ud800"}, {}) != answer_key(1, {"a": "\ud801"}, {})
