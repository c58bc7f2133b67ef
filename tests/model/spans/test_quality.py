"""Exact match and the annotator's clicks."""

from __future__ import annotations

import pytest

from model.span import ScoredSpan, Span, SpanDocument
from model.spans.quality import edits, f1_by_novelty, measure, pair_slips

ANN, OSLO = Span(0, 3, "PER"), Span(10, 14, "LOC")


def scored(span: Span, score: float = 0.9) -> ScoredSpan:
    return ScoredSpan(span.start, span.end, span.label, score)


def test_clicks_count_a_wrong_label_once_and_a_wrong_place_twice() -> None:
    assert edits([ANN, OSLO], [ANN, OSLO]) == 0
    assert edits([], [ANN, OSLO]) == 2
    assert edits([Span(0, 3, "ORG")], [ANN]) == 1
    assert edits([Span(0, 4, "PER")], [ANN]) == 2
    assert edits([ANN], []) == 1


def test_each_wrong_span_is_told_once_beside_the_one_it_shares_most_with() -> None:
    assert pair_slips([ANN, OSLO], [OSLO, ANN]) == ()
    assert pair_slips([Span(0, 3, "ORG")], [ANN]) == (("PER", "ORG", True),)
    assert pair_slips([Span(0, 8, "PER")], [ANN]) == (("PER", "PER", False),)
    assert pair_slips([Span(5, 6, "ORG")], [ANN]) == (("PER", "", False), ("", "ORG", False))
    shown = [Span(9, 14, "LOC"), Span(10, 14, "ORG"), ANN]
    assert pair_slips(shown, [OSLO]) == (("LOC", "ORG", True), ("", "PER", False), ("", "LOC", False))


def test_figures_of_two_texts() -> None:
    found = measure([[scored(ANN), scored(Span(10, 14, "ORG"), 0.5)], []], [[ANN, OSLO], [ANN]])
    assert (found.precision, found.recall) == (0.5, pytest.approx(1 / 3))
    assert found.f1 == pytest.approx(2 * 1 / (2 + 3))
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert found.saved == pytest.approx(1 - 2 / 3)
    assert found.ece == pytest.approx((0.1 + 0.5) / 2)
    assert (found.texts, found.shown) == (2, 2)


def test_suggestions_can_cost_clicks() -> None:
    assert measure([[scored(ANN), scored(OSLO)]], [[Span(5, 6, "PER")]]).saved == -2
    assert measure([[scored(ANN)]], [[]]).saved == -1
    assert measure([[]], [[]]).saved == 0


def test_strings_marked_before_are_told_from_new_ones() -> None:
    labelled = [SpanDocument("ANN left", (ANN,))]
    test = [SpanDocument("Ann is in Oslo", (ANN, OSLO)), SpanDocument("Ann is late", (Span(0, 3, "ORG"),))]
    shown = [[scored(ANN)], [scored(ANN), scored(Span(4, 6, "LOC"))]]
    seen, unseen = f1_by_novelty(shown, test, labelled)
    assert seen == pytest.approx(2 * 1 / (2 + 1)), "shown twice as PER, drawn once"
    assert unseen == 0, "Oslo and the ORG were missed, and `is` is new"
    assert f1_by_novelty(shown, test, []) == (0, pytest.approx(2 * 1 / (3 + 3)))
