"""Long texts are answered in pieces and learned in parts: as if they were whole, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from backend.labelstudio.task_spec import parse_label_config
from model.encoder.encoder import Encoder
from model.features.varied_cache import VariedCache
from model.span import Span, SpanSample
from model.spans.chain.crf import Chain, Weights
from model.spans.chain.span_probabilities import Candidate, span_probabilities
from model.spans.chain.tags import MANY_TAGS, TagSet
from model.spans.features.parts import choose_texts, read_parts
from model.spans.features.pieces import AROUND, PIECE, Piece, candidates_in_pieces
from model.spans.features.reading import ReadText, SpanReader
from model.spans.features.stretches import LONG_TEXT, STRETCH
from model.spans.head import fit
from model.spans.head.fit import LONGEST_OF_ALL
from model.spans.head.held_out import both_sides
from model.spans.transfer.prior import TransferPrior
from model.spans.words import find_words
from model.versions.span_answers import SpanTools, find_errors, fit_span_heads
from tests.model.spans.conftest import sentences
from tests.support.marked_project import spans_config

LONG = " ".join(f"On day {number} Ann Miller left Oslo, said Bob." for number in range(700))

FEW_WORDS = " ".join(
    f"On day {number} Ann Miller left Oslo notwithstanding intercontinental misunderstandings." for number in range(210)
)
"""A long text of half as many words, which a fit takes half as long for."""


def read_text(text: str, states: np.ndarray | None = None) -> ReadText:
    bounds = find_words(text)
    rows = np.zeros((len(bounds), 2), np.float16) if states is None else states
    return ReadText(text, bounds, rows, np.zeros((len(bounds), 0), np.float16))


def drawn_chain(labels: int) -> Chain:
    random, tags = np.random.default_rng(labels), TagSet(tuple(f"l{place}" for place in range(labels)))
    weights = Weights.zeros(0, 0, tags)
    weights.pairs[...] = random.normal(size=weights.pairs.shape)
    weights.begin[...], weights.end[...] = random.normal(size=(2, tags.size))
    return Chain(tags, weights)


def ask_whole(chain: Chain, scores: Sequence[np.ndarray], longest: int = 12) -> list[list[Candidate]]:
    lattice = chain.lattice_of(np.concatenate(scores), [len(own) for own in scores])
    return span_probabilities(lattice, chain.tags, longest)


@pytest.mark.parametrize("labels", [2, MANY_TAGS])
def test_a_long_text_in_pieces_is_as_likely_marked_as_the_whole(labels: int) -> None:
    assert AROUND >= LONGEST_OF_ALL
    texts = [read_text(text) for text in ("short one.", LONG, "x " * 10_000, "another", " " * 20_000)]
    chain, random = drawn_chain(labels), np.random.default_rng(1)
    scores = [3 * random.normal(size=(len(own.bounds), chain.tags.size)).astype(np.float32) for own in texts]
    asked, pauses = list[int](), list[int]()

    def ask(pieces: Sequence[Piece]) -> list[list[Candidate]]:
        asked.append(len(pieces))
        own = [piece.of(texts) for piece in pieces]
        assert all([one.text[a:b] for a, b in one.bounds] == one.words for one in own)
        assert all(len(one.text) <= LONG_TEXT for one in own), "a pattern that looks at all of it looks at a piece"
        return ask_whole(chain, [scores[piece.text][piece.begin : piece.end] for piece in pieces])

    found = candidates_in_pieces(texts, chain.tags.size, ask, lambda: pauses.append(len(asked)))
    assert pauses == list(range(1, len(asked))), "between any two portions"
    assert len(asked) >= 2 and sum(asked) > 2 * len(LONG.split()) / PIECE
    for own, whole in zip(found, ask_whole(chain, scores), strict=True):
        ours, theirs = ({one[:3]: one.probability for one in side} for side in (own, whole))
        assert max((abs(ours.get(key, 0.03) - theirs.get(key, 0.03)) for key in {*ours, *theirs}), default=0) < 2e-3
        assert own == sorted(own)
    assert len(found[1]) > 500 and not found[4]


def test_many_tags_are_mixed_and_carried_on_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, random = drawn_chain(MANY_TAGS // 2), np.random.default_rng(2)
    scores = [random.normal(size=(length, chain.tags.size)).astype(np.float32) for length in (7, 1, 30)]
    rows = scores[2]
    assert chain.tags.size >= MANY_TAGS
    np.testing.assert_allclose(chain.tags.mixed(rows), rows @ chain.tags.mix, atol=1e-4)
    lattice = chain.lattice_of(np.concatenate(scores), [7, 1, 30])
    monkeypatch.setattr("model.spans.chain.transitions.MANY_TAGS", 10_000)
    plain = chain.lattice_of(np.concatenate(scores), [7, 1, 30])
    for name in ("log_z", "forward", "backward", "ahead"):
        np.testing.assert_allclose(getattr(lattice, name), getattr(plain, name), rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(lattice.pairs(), plain.pairs(), rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(lattice.pairs().sum(), 6 + 29, rtol=1e-4)


class Reader(SpanReader):
    """Of no encoder: states that count, so that it shows whose they are."""

    def __init__(self) -> None:
        self.width, self.prior, self.read_texts = 1, None, list[str]()

    def read(self, texts: Sequence[str], known: object = None) -> list[ReadText]:
        self.read_texts += texts
        return [read_text(text, np.arange(len(find_words(text)), dtype=np.float16)[:, None]) for text in texts]

    def read_stretches(self, stretches: Sequence) -> list[tuple[np.ndarray, np.ndarray]]:
        self.read_texts += [one.text for one in stretches]
        return [
            (np.arange(len(one.bounds), dtype=np.float16)[:, None], np.zeros((len(one.bounds), 0), np.float16))
            for one in stretches
        ]


@pytest.mark.parametrize("text", ["", "short one", LONG, "日本" * 12_000, "x " * 9_000 + "y" * 20_000 + " z" * 300])
def test_parts_hold_every_word_that_no_span_keeps_whole(text: str) -> None:
    bounds = find_words(text)
    marks = [Span(bounds[at][0], bounds[min(at + 9, len(bounds) - 1)][1], "A") for at in range(0, len(bounds), 11)]
    parts = read_parts(Reader(), [text], [marks])
    assert all(text[own.offset :].startswith(own.text.text) for own in parts)
    words = [(start + own.offset, end + own.offset) for own in parts for start, end in own.text.bounds]
    lost = set(bounds) - set(words)
    assert len(words) == len(set(words)) and set(words) <= set(bounds)
    inside = [span for own in parts for span in own.within(marks)]
    crossing = len(marks) - len(inside)
    assert crossing < len(parts) and len(lost) <= 10 * crossing
    moved = [Span(span.start + own.offset, span.end + own.offset, "A") for own in parts for span in own.within(marks)]
    assert set(moved) <= set(marks)
    if len(text) > LONG_TEXT:
        assert len(parts) > 1 and all(own.text.source == text and len(own.text.states) for own in parts)
        assert all(len(own.text.text) <= STRETCH or len(own.text.bounds) == 1 for own in parts)
    else:
        assert parts[0].text.source == text and not parts[0].offset


def test_only_as_much_is_read_as_a_fit_takes_and_of_the_rest_the_words_are_known() -> None:
    texts = [LONG, "one two three", LONG.replace("Oslo", "Bergen")]
    reader = Reader()
    parts = read_parts(reader, texts, [()] * 3, 2_500)
    read = [own for own in parts if own.text.bounds]
    assert 0 < sum(len(own.text.bounds) for own in read) <= 2_500 < sum(len(own.text.all_bounds) for own in parts)
    assert sum(map(len, reader.read_texts)) < 20_000
    others = [own for own in parts if not own.text.bounds]
    assert others and all(own.text.all_words and not len(own.text.states) for own in others)
    assert [own.place for own in parts] == sorted(own.place for own in parts)


def test_what_a_fit_takes_does_not_depend_on_the_order_and_is_never_nothing() -> None:
    texts, words = [f"text {number}" for number in range(20)], [10] * 20
    kept = choose_texts(texts, words, 55)
    assert len(kept) == 5
    again = choose_texts(texts[::-1], words, 55)
    assert {texts[place] for place in kept} == {texts[::-1][place] for place in again}
    assert choose_texts(["huge"], [10**6], 100) == {0}, "else a text longer than a fit would teach nothing"
    assert choose_texts(texts, words, 200) == set(range(20)) and choose_texts([], [], 5) == set()


@pytest.mark.long
def test_a_long_labelled_text_is_learned_and_its_errors_lie_where_they_are(
    minilm: Encoder, prior: TransferPrior, tmp_path: Path
) -> None:
    tools = SpanTools(SpanReader(minilm, prior, VariedCache(tmp_path, 256)))
    spec = parse_label_config(spans_config(("PER", "LOC")))
    few = [SpanSample(place, own.text, own.spans) for place, own in enumerate(sentences(24))]
    text = FEW_WORDS[:17_000]
    names = (("Ann Miller", "PER"), ("Oslo", "LOC"))
    spans = [Span(at, at + len(name), label) for name, label in names for at in _all(text, name)]
    wrong = next(span for span in spans if span.label == "LOC" and span.start > 12_000)
    drawn = [span for span in spans if span != wrong] + [Span(wrong.start, wrong.end, "PER")]
    samples = [*few, SpanSample(99, text, tuple(sorted(drawn)))]
    head = fit_span_heads(spec, {"label": samples}, [], tools)["label"]
    assert head.details.texts == len(few) + 3, "its parts count"
    (found,) = head.spans(tools.reader.read([text]))
    assert len({one.span for one in found.spans} & set(spans)) > 0.95 * len(spans)
    errors = find_errors(spec.spans[0], samples, head, tools, lambda: True) or []
    given = {(one.place, one.given) for one in errors if one.given is not None}
    assert (len(few), Span(wrong.start, wrong.end, "PER")) in given
    assert all(span in samples[place].spans for place, span in given)


def _all(text: str, part: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(part, at)]


def test_what_is_held_out_does_not_depend_on_how_much_is_asked_at_once(
    minilm: Encoder, prior: TransferPrior, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, spec = SpanTools(SpanReader(minilm, prior)), parse_label_config(spans_config(("PER", "LOC")))
    few = [SpanSample(place, own.text, own.spans) for place, own in enumerate(sentences(12))]
    head = fit_span_heads(spec, {"label": few}, [], tools)["label"]
    texts, drawn = tools.reader.read([own.text for own in few]), [own.spans for own in few]
    whole = both_sides(head, texts, drawn)
    monkeypatch.setattr("model.spans.head.held_out.MOST_SCORES", 1)
    for ours, theirs in zip(both_sides(head, texts, drawn)[:2], whole[:2], strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert [own[:3] for own in one] == [own[:3] for own in other]
            np.testing.assert_allclose([own.probability for own in one], [own.probability for own in other], atol=1e-5)
    np.testing.assert_allclose(both_sides(head, texts, drawn)[2], whole[2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("large", [False, True])
def test_of_few_long_documents_only_as_many_parts_are_held_out_as_tell_enough(
    minilm: Encoder, prior: TransferPrior, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    tools, spec = SpanTools(SpanReader(minilm, prior)), parse_label_config(spans_config(("PER", "LOC")))
    few = [SpanSample(place, own.text, own.spans) for place, own in enumerate(sentences(24))]
    monkeypatch.setattr("model.spans.head.fit.ENOUGH_SPANS", 1)
    monkeypatch.setattr("model.spans.head.fit.LARGE", 1 if large else 10**9)
    asked = list[int]()
    whole = fit.fold_head
    monkeypatch.setattr("model.spans.head.fit.fold_head", lambda *given: (asked.append(given[3]), whole(*given))[1])
    fit_span_heads(spec, {"label": few}, [], tools)
    assert asked == ([0] if large else [0, 1, 2, 3])
