"""Heads whose labels overlap: names within names are learned and shown, kept on disk, gone on from; and without an
overlap nothing is different."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from bench.support.nested_sets import fit_each, nested_sets, only_nested
from model.simulation.span_replay import CONTROL, spec_of
from model.span import Span, SpanDocument, SpanSample
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import SpanReader
from model.spans.head import fit
from model.spans.head.fit import Basis, SpanExample, fit_span_head
from model.spans.head.fit_layers import fit_layered_head, is_settled
from model.spans.head.head import F1, SpanHead, restore_span_head
from model.spans.head.label_errors import ErrorKind
from model.spans.overlaps import INSIDE, Relation, relate
from model.spans.quality import measure
from model.versions.span_answers import SpanTools, find_errors, fit_span_heads
from tests.model.spans.conftest import sentences

DATA = nested_sets({}, ())["invented_nested"]


@pytest.fixture(scope="module")
def basis(reader: SpanReader) -> Basis:
    scale = StateScale.measure(reader.read([one.text for one in DATA.train[:64]]), reader.width)
    return Basis(DATA.labels, reader.name_vectors(DATA.labels), scale, reader.prior)


def examples(reader: SpanReader, documents: list[SpanDocument]) -> list[SpanExample]:
    read = reader.read([one.text for one in documents])
    return [SpanExample(text, one.spans) for text, one in zip(read, documents, strict=True)]


@pytest.fixture(scope="module")
def head(reader: SpanReader, basis: Basis) -> SpanHead:
    return fit_layered_head(basis, examples(reader, list(DATA.train[:48])))


@pytest.fixture(scope="module")
def longest(reader: SpanReader, basis: Basis) -> SpanHead:
    """What one chain learns of the same texts."""
    return fit_span_head(basis, examples(reader, list(DATA.train[:48])))


def shown(reader: SpanReader, head: SpanHead, documents: list[SpanDocument]) -> list[set[Span]]:
    return [{one.span for one in own.spans} for own in head.spans(reader.read([one.text for one in documents]), F1)]


def test_what_lies_within_is_learned_and_shown(reader: SpanReader, longest: SpanHead, head: SpanHead) -> None:
    test = list(DATA.test[:100])
    drawn = [set(one.spans) for one in test]
    without, found = shown(reader, longest, test), shown(reader, head, test)
    wanted = sum(len(only_nested(own)) for own in drawn)
    assert sum(len(own & only_nested(truth)) for own, truth in zip(found, drawn, strict=True)) > 0.9 * wanted
    assert sum(len(own & only_nested(truth)) for own, truth in zip(without, drawn, strict=True)) < 0.5 * wanted
    assert len(head.inner) == len(head.layers) - 1 <= 3


def test_spans_overlap_only_in_ways_that_were_drawn(reader: SpanReader, head: SpanHead) -> None:
    for own in shown(reader, head, list(DATA.test[:100])):
        for one, other in combinations(own, 2):
            assert relate(one, other) in {None, *head.overlaps}


def test_figures_on_held_out_texts_are_of_all_layers_together(longest: SpanHead, head: SpanHead) -> None:
    assert head.details.held_out["f1"] > longest.details.held_out["f1"] + 0.1
    assert head.details.held_out["f1"] > 0.85


def test_scores_are_probabilities_and_a_text_is_right_as_a_whole(reader: SpanReader, head: SpanHead) -> None:
    test = list(DATA.test[:200])
    found = head.spans(reader.read([one.text for one in test]))
    quality = measure([own.spans for own in found], [one.spans for one in test])
    assert quality.ece < 0.1
    scores = np.array([own.score for own in found])
    right = np.array([{one.span for one in own.spans} == set(doc.spans) for own, doc in zip(found, test, strict=True)])
    assert ((scores > 0) & (scores <= 1)).all() and abs(scores.mean() - right.mean()) < 0.15


def test_it_comes_back_from_json_and_arrays(reader: SpanReader, basis: Basis, head: SpanHead) -> None:
    again = restore_span_head(json.loads(json.dumps(head.config())), head.tensors(), basis.prior)
    read = reader.read([one.text for one in DATA.test[:20]])
    assert again.spans(read) == head.spans(read)
    assert (again.layers, again.overlaps) == (head.layers, head.overlaps)


def test_without_an_overlap_it_is_the_head_of_one_chain(reader: SpanReader) -> None:
    texts = examples(reader, sentences(20))
    scale = StateScale.measure([example.text for example in texts], reader.width)
    basis = Basis(("LOC", "PER"), reader.name_vectors(["LOC", "PER"]), scale, reader.prior)
    layered, plain = fit_layered_head(basis, texts), fit_span_head(basis, texts)
    assert layered.config() == plain.config() and "layered" not in layered.config()
    assert set(layered.tensors()) == set(plain.tensors())
    for name, array in plain.tensors().items():
        np.testing.assert_array_equal(layered.tensors()[name], array)


def test_a_warm_fit_goes_on_in_every_layer(reader: SpanReader, basis: Basis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "ALWAYS_COLD", 8)
    texts = examples(reader, list(DATA.train[:44]))
    before = fit_layered_head(basis, texts[:40])
    after = fit_layered_head(basis, texts, before)
    assert [own.details.cold for own in (after, *after.inner)] == [40] * len(after.layers)
    assert [own.chain.iterations for own in (after, *after.inner)] <= [fit.WARM_ITERATIONS] * len(after.layers)
    assert after.details.held_out == before.details.held_out and after.details.texts == 44
    assert is_settled(after)


def test_when_labels_begin_to_overlap_all_is_fitted_anew(
    reader: SpanReader, basis: Basis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "ALWAYS_COLD", 8)
    flat = [SpanDocument(one.text, tuple(s for s in one.spans if s.label == "name")) for one in DATA.train[:40]]
    before = fit_layered_head(basis, examples(reader, flat))
    assert not before.inner
    after = fit_layered_head(basis, examples(reader, [*flat, *DATA.train[40:46]]), before)
    assert after.inner and after.details.cold == 46
    back = fit_layered_head(basis, examples(reader, [*flat, *flat[:5]]), after)
    assert not back.inner and back.details.cold == 45, "a head of several layers is no start for one"


def test_a_string_within_is_remembered_and_a_removed_one_stays_away(reader: SpanReader, basis: Basis) -> None:
    documents = [
        *DATA.train[:24],
        *(
            SpanDocument("Nobody saw Zyxor Quumble .", (Span(11, 24, "name"), Span(11, 16, "first name")))
            for _ in range(2)
        ),
    ]
    texts = examples(reader, documents)
    found = fit_layered_head(basis, texts)
    assert Span(0, 5, "first name") in shown(reader, found, [SpanDocument("Zyxor is back again .")])[0]
    gone = [
        SpanExample(one.text, one.spans, removed=(Span(0, 5, "first name"),))
        for one in examples(reader, [SpanDocument("Zyxor is here .")] * 4)
    ]
    without = fit_layered_head(basis, [*texts, *gone])
    assert Span(0, 5, "first name") not in shown(reader, without, [SpanDocument("Zyxor is back again .")])[0]


def test_what_lies_within_is_no_suspect(reader: SpanReader) -> None:
    (name,) = (span for span in DATA.train[8].spans if span.label == "first name")
    wrong = replace(DATA.train[8], spans=tuple(span for span in DATA.train[8].spans if span != name))
    documents = [*DATA.train[:8], wrong, *DATA.train[9:48]]
    samples = [SpanSample(place, one.text, one.spans) for place, one in enumerate(documents)]
    spec, tools = spec_of(DATA), SpanTools(reader)
    head = fit_span_heads(spec, {CONTROL: samples}, [], tools)[CONTROL]
    assert head.inner
    found = find_errors(spec.spans[0], samples, head, tools, lambda: True) or []
    assert all(error.suggested not in documents[error.place].spans for error in found)
    assert (8, ErrorKind.MISSED, name) in {(error.place, error.kind, error.suggested) for error in found}
    assert len(found) < 8, "and not each of a hundred spans that lie within others"


def test_the_bench_has_a_chain_for_each_label_beside_it(reader: SpanReader, basis: Basis) -> None:
    each = fit_each(basis, examples(reader, list(DATA.train[:12])))
    assert len(each.inner) == len(DATA.labels) - 1
    assert Relation(INSIDE, "first name", "name") in each.overlaps
    assert any(only_nested(own) for own in shown(reader, each, list(DATA.test[:20])))
