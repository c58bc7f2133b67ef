"""Which labels overlap, and how they are dealt out to layers: slips left out, nothing lost, nothing crossing."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.span import ScoredSpan, Span
from model.spans.head.layers import put_together, spans_of
from model.spans.overlaps import (
    CROSSES,
    INSIDE,
    MOST_LAYERS,
    SAME,
    Layer,
    Relation,
    find_overlaps,
    plan_layers,
    relate,
    relations,
)
from model.spans.words import find_words

TEXT = "a b c d e f g h i j"
BOUNDS = find_words(TEXT)
LABELS = ("A", "B", "C", "D")


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (Span(0, 4, "A"), Span(4, 6, "B"), None),
        (Span(0, 4, "B"), Span(0, 4, "A"), Relation(SAME, "A", "B")),
        (Span(0, 4, "A"), Span(0, 6, "B"), Relation(INSIDE, "A", "B")),
        (Span(0, 6, "A"), Span(2, 4, "B"), Relation(INSIDE, "B", "A")),
        (Span(0, 4, "B"), Span(2, 6, "A"), Relation(CROSSES, "A", "B")),
        (Span(0, 4, "A"), Span(0, 6, "A"), Relation(INSIDE, "A", "A")),
    ],
)
def test_two_spans_overlap_in_one_way(one: Span, other: Span, found: Relation | None) -> None:
    assert relate(one, other) == relate(other, one) == found
    assert relations([one, other]) == ({found} if found else set())


def test_one_overlap_is_a_slip_two_are_a_habit() -> None:
    nested, plain = (Span(0, 8, "A"), Span(0, 3, "B")), (Span(0, 8, "A"), Span(9, 12, "B"))
    assert find_overlaps([nested, *[plain] * 9]) == frozenset()
    assert find_overlaps([nested, nested, *[plain] * 9]) == {Relation(INSIDE, "B", "A")}
    assert find_overlaps([nested, nested, *[plain] * 200]) == frozenset(), "not a fiftieth"
    rare = (*nested, Span(9, 12, "C"))
    assert find_overlaps([rare, rare, *[(Span(0, 8, "A"),)] * 200]), "of the texts with the rarer label"


def test_a_text_with_very_many_overlaps_is_looked_at_in_bounded_time() -> None:
    spans = [Span(0, end, LABELS[end % 4]) for end in range(1, 3000)]
    assert relations(spans) <= {Relation(INSIDE, a, b) for a in LABELS for b in LABELS}


def test_without_overlaps_there_is_one_layer() -> None:
    assert plan_layers(LABELS, ()) == (Layer(LABELS),)


def test_one_chain_knows_all_labels_and_inner_ones_are_together() -> None:
    inside = {Relation(INSIDE, inner, outer) for inner, outer in (("B", "A"), ("C", "A"))}
    assert plan_layers(LABELS, inside) == (Layer(LABELS, ("B", "C")), Layer(("B", "C")))


def test_of_two_on_the_same_characters_that_which_overlaps_more_yields() -> None:
    overlaps = {Relation(SAME, "A", "B"), Relation(SAME, "A", "C"), Relation(CROSSES, "A", "D")}
    assert plan_layers(LABELS, overlaps) == (Layer(LABELS, ("A",)), Layer(("A",)))


def test_a_label_within_itself_has_a_layer_for_what_is_within() -> None:
    layers = plan_layers(LABELS, {Relation(INSIDE, "B", "B")})
    assert layers == (Layer(LABELS), Layer(("B",), depth=1))
    spans = (Span(0, 9, "B"), Span(2, 5, "B"), Span(12, 13, "A"))
    assert [spans_of(layer, BOUNDS, spans) for layer in layers] == [spans[::2], spans[1:2]]


def test_the_number_of_layers_is_bounded() -> None:
    labels = tuple(f"L{number}" for number in range(40))
    overlaps = {Relation(INSIDE, *pair) for pair in combinations(labels, 2)}
    layers = plan_layers(labels, overlaps)
    assert len(layers) == 1 + MOST_LAYERS
    assert {label for layer in layers[1:] for label in layer.labels} == set(labels[:-1])


places = st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(LABELS)).map(
    lambda own: Span(BOUNDS[min(own[:2])][0], BOUNDS[max(own[:2])][1], own[2])
)
marked = st.lists(st.frozensets(places, max_size=8), min_size=1, max_size=6)


@given(marked)
def test_every_layer_learns_spans_apart_and_inner_labels_in_full(texts: list[frozenset[Span]]) -> None:
    overlaps = find_overlaps(texts)
    layers = plan_layers(LABELS, overlaps)
    assert layers[0].labels == LABELS and (len(layers) == 1) == (not overlaps)
    for spans in texts:
        own = [spans_of(layer, BOUNDS, spans) for layer in layers]
        for learned, layer in zip(own, layers, strict=True):
            assert set(learned) <= spans and {span.label for span in learned} <= set(layer.labels)
            assert not any(one.overlaps(other) for one, other in combinations(set(learned), 2))
        alone = [span for span in spans if not any(span.overlaps(other) for other in spans - {span})]
        assert set(alone) <= set(own[0])


@given(
    st.lists(st.lists(st.tuples(places, st.floats(0, 1)), max_size=8), max_size=4),
    st.frozensets(st.tuples(places, places).map(lambda pair: relate(*pair)).filter(bool), max_size=6),
)
def test_what_is_put_together_overlaps_only_as_annotators_do(
    layers: list[list[tuple[Span, float]]], overlaps: frozenset[Relation]
) -> None:
    said = [[ScoredSpan(span.start, span.end, span.label, score) for span, score in own] for own in layers]
    found = put_together(said, overlaps)
    every: dict[Span, float] = {}
    for one in (one for own in said for one in own):
        every[one.span] = max(one.score, every.get(one.span, 0.0))
    assert [one.span for one in found] == sorted({one.span for one in found})
    for one, other in combinations(found, 2):
        assert relate(one.span, other.span) in {None, *overlaps}
    for span in set(every) - {one.span for one in found}:
        against = [one for one in found if relate(one.span, span) not in {None, *overlaps}]
        assert max(one.score for one in against) >= every[span], "only the less sure go"


@given(
    st.lists(st.lists(st.tuples(places, st.floats(0, 1)), max_size=8), max_size=4),
    st.frozensets(st.tuples(places, places).map(lambda pair: relate(*pair)).filter(bool), max_size=6),
)
def test_what_is_put_together_is_what_comparing_all_with_all_gives(
    layers: list[list[tuple[Span, float]]], overlaps: frozenset[Relation]
) -> None:
    given = [[ScoredSpan(span.start, span.end, span.label, score) for span, score in own] for own in layers]
    kept: list[ScoredSpan] = []
    for one in sorted((one for own in given for one in own), key=lambda one: (-one.score, one.span)):
        said = [relate(one.span, other.span) for other in kept]
        if all(own is None or own in overlaps for own in said) and all(one.span != other.span for other in kept):
            kept.append(one)
    assert put_together(given, overlaps) == tuple(sorted(kept, key=lambda one: one.span))
