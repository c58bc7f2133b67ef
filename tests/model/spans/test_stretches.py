"""Long texts are read in stretches: the same words with the same context, a part at a time, and only once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.support.fixtures import write_tiny_base
from model.encoder.encoder import Encoder
from model.features.varied_cache import VariedCache
from model.spans.features.reading import SpanReader
from model.spans.features.stretches import FIRST_STRETCHES, LONG_TEXT, MARGIN, STRETCH, cut_stretches
from model.spans.head.tuned_marks import TunedMarks, WordScorer
from model.spans.transfer.prior import TransferPrior
from model.spans.words import find_words
from model.versions.span_answers import SpanAnswerer, SpanTools
from tests.model.spans.conftest import mark, sentences
from tests.support.span_learner import SpanLearner

LONG = " ".join(f"On day {number} Ann Miller left Oslo, said Bob." for number in range(700))
ODD = ["a" * 30_000, "日本" * 12_000, " " * 20_000, "x " * 9_000 + "y" * 20_000 + " z" * 300, "\u200b" * 17_000]


@pytest.mark.parametrize("text", [LONG, *ODD])
def test_every_word_is_in_one_stretch_with_text_around_it(text: str) -> None:
    bounds = find_words(text)
    stretches, at = cut_stretches(text, bounds), 0
    for one in stretches:
        offset = bounds[at - one.first][0] if bounds else 0
        assert one.text == text[offset : offset + len(one.text)] and find_words(one.text) == list(one.bounds)
        own = [(start + offset, end + offset) for start, end in one.bounds[one.first : one.last]]
        assert own == bounds[at : at + len(own)] and own
        at += len(own)
        if max(end - start for start, end in bounds) < 100:
            assert len(one.text) <= STRETCH + 2 * MARGIN and own[-1][1] - own[0][0] <= STRETCH
            assert one.first == 0 or one.bounds[one.first][0] > MARGIN - 100
    assert at == len(bounds)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """For what is read when, which does not depend on what is made of it: a long text takes it no time."""
    return Encoder(write_tiny_base(tmp_path_factory.mktemp("narrow")))


@pytest.mark.long
def test_a_long_text_read_in_stretches_is_as_one_that_is_read_whole(
    minilm: Encoder, prior: TransferPrior, tmp_path: Path
) -> None:
    reader, text = SpanReader(minilm, prior, VariedCache(tmp_path, 256)), LONG[: LONG_TEXT + 2 * MARGIN]
    (found,) = reader.read([text])
    (whole,) = SpanReader(minilm, prior)._rows({text: find_words(text)}, {}).values()
    assert len(found.bounds) == len(whole) and not found.rest and found.share == 1.0
    states = np.concatenate([found.states, found.hidden], axis=1).astype(np.float32)
    alike = (states * whole).sum(1) / np.linalg.norm(states, axis=1) / np.linalg.norm(whole.astype(np.float32), axis=1)
    assert np.quantile(alike, 0.02) > 0.85 and np.median(alike) > 0.95, "other windows, like states"
    assert reader.unread([text]) == [] == reader.unread(["short"])


def test_a_text_that_is_just_short_enough_is_read_whole(narrow: Encoder, tmp_path: Path) -> None:
    short = LONG[:LONG_TEXT]
    (same,) = SpanReader(narrow, None, VariedCache(tmp_path, 256)).read([short])
    (cold,) = SpanReader(narrow)._rows({short: find_words(short)}, {}).values()
    np.testing.assert_array_equal(np.concatenate([same.states, same.hidden], axis=1), cold)


def test_in_haste_only_the_first_stretches_are_read_and_what_is_there_already(narrow: Encoder, tmp_path: Path) -> None:
    cache = VariedCache(tmp_path, 256)
    hasty, whole = SpanReader(narrow, None, cache, hasty=True), SpanReader(narrow, None, cache)
    stretches = cut_stretches(LONG, find_words(LONG))
    count = len(stretches)
    assert len(hasty.unread([LONG])) == count > FIRST_STRETCHES + 1
    (found,) = hasty.read([LONG])
    assert [*found.bounds, *found.rest] == find_words(LONG) == list(found.all_bounds)
    assert 0.3 < found.share < 0.8 and len(found.states) == len(found.bounds) == len(found.words)
    later = hasty.unread([LONG])
    assert len(later) == count - FIRST_STRETCHES
    hasty.read([later[-1]])  # with a gap before it
    assert hasty.read([LONG])[0].rest == found.rest
    for text in later:
        hasty.read([text])
    assert hasty.unread([LONG]) == [] and hasty.read([LONG])[0].rest == ()
    np.testing.assert_array_equal(hasty.read([LONG])[0].states, whole.read([LONG])[0].states)


def test_of_what_was_not_read_strings_marked_before_are_suggested_and_the_score_is_lower(
    minilm: Encoder, prior: TransferPrior, learner: SpanLearner, tmp_path: Path
) -> None:
    head = learner.fit([*sentences(40), mark("Zyx Corp moved.", ("Zyx Corp", "LOC"))])
    text = LONG[: LONG_TEXT + MARGIN] + " Later Zyx Corp rented it. " + LONG[:200]
    cache = VariedCache(tmp_path, 256)
    (partial,) = SpanReader(minilm, prior, cache, hasty=True).read([text])
    (whole,) = SpanReader(minilm, prior, cache).read([text])
    (hurried,), (calm,) = head.spans([partial]), head.spans([whole])
    start = text.index("Zyx Corp")
    assert start > partial.bounds[-1][1], "in what was not read"
    assert any((one.start, text[one.start : one.end]) == (start, "Zyx Corp") for one in hurried.spans)
    before = partial.bounds[-1][0] - 100
    early = [(one.start, one.end, one.label) for one in calm.spans if one.end < before]
    assert [(one.start, one.end, one.label) for one in hurried.spans if one.end < before] == early and len(early) > 500
    assert all(one.end <= len(text) for one in hurried.spans) and hurried.score <= 1


def test_texts_that_share_a_stretch_read_it_once(narrow: Encoder, tmp_path: Path) -> None:
    reader = SpanReader(narrow, None, VariedCache(tmp_path, 256))
    shared, other = LONG, LONG[:20_000] + " And more of it."
    one, two, again = reader.read([shared, other, shared])
    assert one.text == shared == again.text and two.text == other
    np.testing.assert_array_equal(one.states[:1000], two.states[:1000])


def test_a_text_that_was_read_farther_is_cut_to_what_another_reader_has(narrow: Encoder, tmp_path: Path) -> None:
    (whole,) = SpanReader(narrow, None, VariedCache(tmp_path, 256)).read([LONG])
    cut = whole.upto(100)
    assert len(cut.bounds) == len(cut.states) == len(cut.hidden) == 100 and cut.all_bounds == list(whole.bounds)
    assert whole.upto(len(whole.bounds)) is whole and 0 < cut.share < 0.05


@pytest.mark.long
def test_two_encoders_that_have_read_unequally_far_answer_for_what_both_have(
    minilm: Encoder, prior: TransferPrior, tmp_path: Path
) -> None:
    base = SpanReader(minilm, prior, VariedCache(tmp_path, 256), hasty=True)
    tools, learner = SpanTools(base), SpanLearner.open(SpanReader(minilm, prior), ["LOC", "PER"], [LONG[:500]])
    tuned, head = tools.tuned_reader(minilm), learner.fit(sentences(16))
    assert tuned.hasty
    random, width = np.random.default_rng(0), minilm.width
    weight, gated = (random.normal(size=(5, width)).astype(np.float32) for _ in range(2))
    scorer = WordScorer(("LOC", "PER"), weight, gated, np.zeros(5, np.float32), base.name_vectors(["LOC", "PER"]))
    answerer = SpanAnswerer(head, tools, TunedMarks(scorer, 0.3, 16), tuned)
    long = LONG[: LONG_TEXT + MARGIN]
    (partial,) = base.read([long])
    for text in tuned.unread([long]):
        tuned.read([text])
    assert tuned.read([long])[0].rest == () and partial.rest
    for read in (partial, base.read(["Ann Miller left Oslo."])[0]):
        (found,) = answerer.suggest([read])
        assert all(one.end <= len(read.text) for one in found.spans) and 0 <= found.score <= 1
