"""Spans and labelled texts say no to what cannot be marked."""

from __future__ import annotations

import pytest

from model.span import ScoredSpan, Span, SpanDocument, sorted_spans


@pytest.mark.parametrize(("start", "end"), [(3, 3), (4, 3), (-1, 2)])
def test_a_span_has_a_character_at_least(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="start < end"):
        Span(start, end, "person")


def test_a_span_lies_in_its_text() -> None:
    assert SpanDocument("Ann", (Span(0, 3, "person"),)).spans
    with pytest.raises(ValueError, match="3 characters"):
        SpanDocument("Ann", (Span(0, 4, "person"),))


def test_overlapping_is_sharing_a_character() -> None:
    assert Span(0, 3, "a").overlaps(Span(2, 4, "b"))
    assert not Span(0, 3, "a").overlaps(Span(3, 4, "a"))


def test_a_scored_span_is_a_span_and_spans_sort_in_the_order_of_the_text() -> None:
    span = ScoredSpan(2, 5, "person", 0.9, "seen twice").span
    assert span == Span(2, 5, "person")
    assert sorted_spans([span, Span(0, 1, "x"), span]) == (Span(0, 1, "x"), span)
