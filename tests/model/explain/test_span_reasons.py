"""Why a span is shown or is not, and which annotated spans are most like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.explain.nearest_spans import MarkedText, Neighbour, SpanIndex, span_vector
from model.explain.span_reasons import CHAIN, FINETUNED, PRIOR, SpanReasons
from model.features.varied_cache import VariedCache
from model.span import Span, SpanDocument
from model.spans.features.pieces import AROUND, PIECE
from model.spans.features.reading import ReadText, SpanReader
from model.spans.head.fit import Basis, SpanExample
from model.spans.head.fit_layers import fit_layered_head
from model.spans.head.head import SpanHead
from model.spans.head.tuned_marks import TAGGED_DEPTHS, TunedMarks, WordScorer
from model.spans.words import to_words
from model.versions.span_answers import SpanAnswerer, SpanTools
from tests.model.spans.conftest import sentences
from tests.support.span_learner import SpanLearner

TEXT = "Ivan Petrov moved to Quito last year, says Bob."


def place(text: str, part: str, label: str) -> Span:
    return Span(text.index(part), text.index(part) + len(part), label)


@pytest.fixture(scope="module")
def head(learner: SpanLearner) -> SpanHead:
    return learner.fit(sentences(32))


@pytest.fixture(scope="module")
def answerer(learner: SpanLearner, head: SpanHead) -> SpanAnswerer:
    return SpanAnswerer(head, SpanTools(learner.reader))


def reasons(answerer: SpanAnswerer, text: str = TEXT) -> SpanReasons:
    return SpanReasons(answerer, answerer.tools.reader.read([text])[0])


def test_every_span_that_is_shown_has_its_reason(answerer: SpanAnswerer, head: SpanHead) -> None:
    own = reasons(answerer)
    shown = answerer.suggest([own.text])[0].spans
    assert {one.span for one in shown} >= {place(TEXT, "Ivan Petrov", "PER"), place(TEXT, "Quito", "LOC")}
    for one in shown:
        found = own.explain(one.span)
        assert (found.is_shown, found.verdict, found.score) == (True, "likely enough", one.score)
        assert found.probability > found.threshold == head.rules.clicks
        assert found.contrast is not None and found.contrast.difference > 0
        assert [side.name for side in found.sides] == [CHAIN, PRIOR]
        assert sum(side.share for side in found.sides) == pytest.approx(1)
        assert sum(side.share * side.probability for side in found.sides) == pytest.approx(found.probability)
        assert found.rival is not None and found.rival.probability < found.probability
        assert (found.without, found.layer, found.layers) == (None, 1, 1)


@pytest.mark.parametrize(("part", "label"), [("last year", "LOC"), ("moved", "PER"), ("Ivan", "PER"), ("Quito", "PER")])
def test_why_not(answerer: SpanAnswerer, part: str, label: str) -> None:
    found = reasons(answerer).explain(place(TEXT, part, label))
    assert (found.is_shown, found.verdict) == (False, "not likely enough")
    assert found.probability <= found.threshold
    assert found.contrast is not None and found.contrast.difference < 0
    assert found.rival is not None
    if part == "Ivan":
        assert found.rival.span == place(TEXT, "Ivan Petrov", "PER")
    if part == "Quito":
        assert found.rival.span == place(TEXT, "Quito", "LOC")


def test_half_words_count_whole_and_what_is_no_word_is_told(answerer: SpanAnswerer) -> None:
    own = reasons(answerer)
    found = own.explain(Span(2, 8, "PER"))
    assert found.span == place(TEXT, "Ivan Petrov", "PER")
    assert own.explain(place(TEXT, "Quito", "GONE")).verdict == "no chain looks for GONE"
    assert own.explain(Span(4, 5, "PER")).contrast is None
    assert own.likeliest_label(place(TEXT, "Quito", "")) == "LOC" and set(own.labels) == {"LOC", "PER"}
    longer = TEXT + " and " * 20
    far = reasons(answerer, longer).explain(Span(0, len(longer), "PER"))
    assert (far.is_shown, far.verdict) == (False, "longer than the 12 words that are looked for")


def test_what_was_not_read_yet_is_told(answerer: SpanAnswerer) -> None:
    read = answerer.tools.reader.read([TEXT])[0]
    own = SpanReasons(answerer, read.upto(3))
    found = own.explain(place(TEXT, "Quito", "LOC"))
    assert (found.is_shown, found.contrast, found.verdict) == (False, None, "not read yet: ask again")


def test_what_annotators_took_away_is_told(answerer: SpanAnswerer, learner: SpanLearner) -> None:
    read = learner.embed([one.text for one in sentences(32)] + [TEXT])
    examples = [SpanExample(text, one.spans) for text, one in zip(read, sentences(32), strict=False)]
    quito = place(TEXT, "Quito", "LOC")
    examples.append(SpanExample(read[-1], (), (quito,)))
    head = fit_layered_head(learner.basis, examples)
    text = "She lives in Quito with Bob."
    found = reasons(replace(answerer, head=head), text).explain(place(text, "Quito", "LOC"))
    assert (found.is_shown, found.verdict) == (False, "annotators took it away elsewhere")


def test_of_labels_that_overlap_the_chain_is_named(learner: SpanLearner, answerer: SpanAnswerer) -> None:
    documents = []
    for one in sentences(40):
        named = [(own, one.text[own.start : own.end]) for own in one.spans if own.label == "PER"]
        inner = [Span(own.start, own.start + name.index(" "), "FIRST") for own, name in named if " " in name]
        documents.append(SpanDocument(one.text, tuple(sorted([*one.spans, *inner]))))
    labels = ("LOC", "PER", "FIRST")
    basis = Basis(labels, learner.reader.name_vectors(labels), learner.basis.scale, learner.reader.prior)
    read = learner.embed([one.text for one in documents])
    layered = fit_layered_head(basis, [SpanExample(t, d.spans) for t, d in zip(read, documents, strict=True)])
    own = reasons(replace(answerer, head=layered), "Nobody met Ann Petrov at the station of Quito!")
    shown = {one.span.label: one.span for one in own.suggested.spans}
    assert set(shown) == set(labels)
    found = {label: own.explain(span) for label, span in shown.items()}
    assert {label: one.layer for label, one in found.items()} == {"LOC": 1, "PER": 1, "FIRST": 2}
    assert all(one.layers == 2 and one.is_shown for one in found.values())
    assert all(one.contrast is not None and one.contrast.difference > 0 for one in found.values())


def test_a_fine_tuned_encoder_is_one_side_and_its_shift_is_told(answerer: SpanAnswerer, head: SpanHead) -> None:
    encoder = answerer.tools.reader.encoder
    random = np.random.default_rng(0)
    weights = [random.normal(size=(5, encoder.width)).astype(np.float32) * np.float32(0.01) for _ in range(2)]
    bias, names = np.zeros(5, np.float32), np.zeros((2, encoder.width), np.float32)
    marks = TunedMarks(WordScorer(("PER", "LOC"), weights[0], weights[1], bias, names), 0.5, trained_on=16)
    tuned = SpanReader(encoder, None, depths=TAGGED_DEPTHS)
    blend = replace(answerer, marks=marks, tuned=tuned)
    own, span = reasons(blend), place(TEXT, "Quito", "LOC")
    found, alone = own.explain(span), reasons(answerer).explain(span)
    assert [side.name for side in found.sides] == [CHAIN, PRIOR, FINETUNED]
    assert found.sides[2].share == pytest.approx(0.25), "trained on half of the texts it has half of the share"
    assert found.sides[2].probability < 0.5
    assert found.without == pytest.approx(alone.score, abs=1e-5) and found.score < alone.score
    likely = {one[:3]: one.probability for one in own._look(0, len(own.bounds))[0].candidates}
    assert found.probability == pytest.approx(likely[4, 4, head.labels.index("LOC")], abs=0.01)


class Deaf:
    """An encoder that must not be asked."""

    def __init__(self, encoder: object) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> object:
        assert name != "token_states", "nothing is encoded"
        return getattr(self._encoder, name)


def index_of(reader: SpanReader, head: SpanHead, documents: Sequence[SpanDocument]) -> SpanIndex:
    marked = [MarkedText(task, one.text, one.spans) for task, one in enumerate(documents, start=1)]
    return SpanIndex.of_spans(reader, head.space.scale, marked)


def near(
    index: SpanIndex, head: SpanHead, text: ReadText, span: Span, task: int = 0, known: str = ""
) -> list[Neighbour]:
    return index.nearest(span_vector(text, span, head.space.scale), 3, task, (known, None))


def test_the_nearest_spans_agree_and_come_from_the_cache(learner: SpanLearner, head: SpanHead, tmp_path: Path) -> None:
    cache = VariedCache(tmp_path, 64)
    reader = SpanReader(learner.reader.encoder, learner.reader.prior, cache)
    documents = sentences(32)
    (text,) = reader.read([TEXT])
    assert index_of(reader, head, documents).texts == 0, "nothing was read before"
    reader.read([one.text for one in documents[:24]])
    deaf = SpanReader(Deaf(learner.reader.encoder), learner.reader.prior, cache)  # type: ignore[arg-type]
    index = index_of(deaf, head, documents)
    assert (index.texts, index.known) == (18, 24), "a fourth has nothing to mark, and eight texts were not read"
    for part, label in (("Ivan Petrov", "PER"), ("Quito", "LOC")):
        found = near(index, head, text, place(TEXT, part, label))
        assert [one.span.label for one in found] == [label] * 3
        alike = [one.similarity for one in found]
        assert alike == sorted(alike, reverse=True) and alike[0] <= 1
        assert len({one.marked.task for one in found}) == 3
    first = found[0].marked.task
    again = near(index, head, text, place(TEXT, "Quito", "LOC"), task=first)
    assert first not in [one.marked.task for one in again]
    again = near(index, head, text, place(TEXT, "Quito", "LOC"), known=found[0].marked.text)
    assert first not in [one.marked.task for one in again]


def test_nothing_is_near_a_span_without_words_nor_among_none(learner: SpanLearner, head: SpanHead) -> None:
    index = index_of(learner.reader, head, [])
    (text,) = learner.embed([TEXT])
    assert near(index, head, text, place(TEXT, "Quito", "LOC")) == []
    assert span_vector(text, Span(4, 5, "PER"), head.space.scale) is None
    assert (index.texts, index.known) == (0, 0)


def test_of_a_long_text_the_words_around_are_looked_at_and_places_are_those_of_the_text(
    answerer: SpanAnswerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.spans.features.pieces.LONG_TEXT", 1_000)
    text = " ".join(f"On day {number} of it, {TEXT}" for number in range(60))
    own, seen = reasons(answerer, text), list[int]()
    whole = answerer.head.space.features
    shown = {one.span: one for one in own.suggested.spans}
    monkeypatch.setattr(
        type(answerer.head.space),
        "features",
        lambda _, texts, *more: (seen.append(len(texts[0].bounds)), whole(texts, *more))[1],
    )
    at = text.index("Ivan Petrov", 3_000)
    span = Span(at, at + len("Ivan Petrov"), "PER")
    found = own.explain(span)
    assert found.is_shown and found.span == span and found.score == shown[span].score
    assert found.verdict == "likely enough" and found.contrast is not None and found.contrast.difference > 0
    assert max(seen) <= PIECE + 2 * AROUND < len(own.bounds) / 2, "not all of it"
    mark = to_words(own.bounds, span)
    assert mark is not None and {one.word for one in found.contrast.features} <= set(range(mark.first, mark.last + 1))
    inner = own.explain(Span(at, at + len("Ivan"), "PER"))
    assert not inner.is_shown and inner.rival is not None and inner.rival.span == span
