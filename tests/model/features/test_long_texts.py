"""Long texts: the one sentence that decides is found among a hundred others."""

from __future__ import annotations

import csv
import random
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.encoder.encoder import Encoder
from model.features.cache import CachedEncoder, FeatureCache
from model.features.long_texts import (
    LONG_CHARACTERS,
    LONGEST,
    LabelAwarePooling,
    is_long,
    pool_sentences,
    split_sentences,
)
from model.head.fit import fit_head
from model.spec import Sample, Text
from tests.model.conftest import SAMPLE_DATA
from tests.support.encoders import Floats, Remembering, WordsEncoder, choices

LABELS = ("delivery", "praise", "refund", "billing")
FILLER = (
    "The committee met on Thursday in the small hall.",
    "Rain is expected in the north of the country.",
    "The museum shows paintings of the nineteenth century.",
    "Nobody lived on the island before 1850.",
    "The recipe needs two eggs and a cup of flour.",
    "Trains leave from the third platform.",
    "The bridge was built of granite from the valley.",
    "Her brother studied botany in the capital.",
    "The choir rehearses every second week.",
    "A new species of beetle was found in the forest.",
    "The ministry published figures on fishing.",
    "The river freezes in cold winters.",
    "The team lost its last match by a goal.",
    "Astronomers measured the orbit of the comet again.",
)
PLACES = ("Oslo", "Porto", "Lima", "Kyoto", "Cork", "Tunis", "Perth", "Basel", "Quito", "Turku")
TIMES = ("last spring", "this week", "in June", "on Monday", "long ago", "at noon", "every year", "in 1987")


def test_a_text_is_cut_into_sentences() -> None:
    text = "Short. But this one is longer, isn't it? Yes! It costs 3.50 in any shop here.\nA line of its own, too"
    assert split_sentences(text) == [
        "Short. But this one is longer, isn't it?",
        "Yes! It costs 3.50 in any shop here.",
        "A line of its own, too",
    ]


def test_what_is_said_again_counts_once() -> None:
    footer = "Sent from my telephone, as ever."
    assert split_sentences(f"{footer} And this one is a new one. {footer}") == [footer, "And this one is a new one."]


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("ab .!?\n。"), max_size=1200))
def test_no_word_is_lost_and_no_sentence_is_long(text: str) -> None:
    sentences = split_sentences(text)
    assert sentences
    joined = "".join("".join(sentences).split())
    assert set(joined) == set("".join(text.split()))
    assert all(len(sentence) <= LONGEST for sentence in sentences)


def test_short_texts_and_pairs_are_what_the_encoder_says() -> None:
    encoder = WordsEncoder()
    texts: list[Text] = [("a b",), ("",), ("a", "b " * LONG_CHARACTERS), ("x" * (LONG_CHARACTERS - 1),)]
    assert not any(map(is_long, texts))
    found = LabelAwarePooling(encoder, choices("a", "b")).embed(texts)
    np.testing.assert_array_equal(found, WordsEncoder().embed(texts))
    assert encoder.calls == 1


def test_long_and_short_texts_come_back_in_their_order() -> None:
    focused = LabelAwarePooling(WordsEncoder(), choices("a", "b"))
    texts: list[Text] = [("one sentence more. " * 100,), ("a",), ("another sentence here. " * 100,), ("b",)]
    together = focused.embed(texts)
    np.testing.assert_allclose(together, np.concatenate([focused.embed([text]) for text in texts]), rtol=1e-5)


def test_every_sentence_is_read_once() -> None:
    encoder = WordsEncoder()
    LabelAwarePooling(encoder, choices("a", "b")).embed([("the same sentence again. " * 200,)])
    assert len(encoder.seen) == 1 + 2


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_one_sentence_near_a_label_rules_the_last_layer_and_leaves_the_mean(depth: int) -> None:
    generator = np.random.default_rng(0)
    sentences = generator.normal(size=(60, depth, 48))
    query = generator.normal(size=(3, 48))
    sentences[17, -1] = 3 * query[1]
    found = pool_sentences(sentences, query)
    assert found.shape == (depth, 48)

    def cosine(a: Floats, b: Floats) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine(found[-1], query[1]) > 0.9
    assert cosine(sentences.mean(0)[-1], query[1]) < 0.6
    if depth > 3:
        np.testing.assert_allclose(found[0], sentences.mean(0)[-1])


def test_where_no_sentence_is_closer_than_the_whole_the_last_layer_is_nearly_the_mean() -> None:
    generator = np.random.default_rng(1)
    sentences = np.tile(generator.normal(size=(2, 4, 48)), (30, 1, 1)) + generator.normal(0, 0.1, size=(60, 4, 48))
    found, mean = pool_sentences(sentences, generator.normal(size=(3, 48)))[-1], sentences.mean(0)[-1]
    assert np.linalg.norm(found - mean) < 0.2 * np.linalg.norm(mean)


@pytest.mark.long
def test_a_fact_at_token_1500_decides(minilm: Encoder) -> None:
    """Among 2,000 tokens of other things. A guess is .25, the mean of the sentences .27 without a label."""
    control = choices(*LABELS)
    texts, truth = long_texts(90)
    assert all(is_long(text) for text in texts)
    embedder = LabelAwarePooling(Remembering(minilm), control)
    samples = [Sample(i, text, {label: 1.0}) for i, (text, label) in enumerate(zip(texts[:60], truth, strict=False))]
    right = {}
    for count in (0, 60):
        head = fit_head(control, samples[:count], [], embedder)
        answers = np.array(head.labels)[head.scores(texts[60:], embedder.embed(texts[60:])).argmax(1)]
        right[count] = (answers == np.array(truth[60:])).mean()
    assert right[0] >= 0.45
    assert right[60] >= 0.45


def long_texts(count: int) -> tuple[list[Text], list[str]]:
    """About 2,000 tokens of filler, and one message at three quarters of it."""
    with SAMPLE_DATA.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if 30 < len(row["text"]) < 100]
    generator = random.Random(0)
    truth = [LABELS[index % len(LABELS)] for index in range(count)]
    facts = {label: iter([row["text"] for row in rows if row["label"] == label]) for label in LABELS}
    texts: list[Text] = []
    for label in truth:
        said = [f"{generator.choice(TIMES)} in {generator.choice(PLACES)}: {line}" for line in FILLER * 9]
        generator.shuffle(said)
        sentences = [*said[:95], next(facts[label]), *said[95:]]
        texts.append((" ".join(sentences),))
    return texts, truth


def test_long_texts_are_pooled_once_for_the_same_label_names(tmp_path: Path) -> None:
    texts: list[Text] = [
        (f"A first sentence about {topic} and so on. " * 3 + "Filler for the rest of it. " * 80,) for topic in LABELS
    ]
    base = WordsEncoder()
    with closing(FeatureCache(tmp_path, 4)) as cache:
        cached = CachedEncoder(base, cache)
        first = LabelAwarePooling(cached, choices(*LABELS)).embed([*texts, ("a short one",)])
        read, cached.misses, cached.hits = len(base.seen), 0, 0
        again = LabelAwarePooling(cached, choices(*LABELS)).embed([*texts, ("a short one",)])
        assert np.array_equal(first, again)
        assert (len(base.seen), cached.hits, cached.misses) == (read, 1, 0), "no sentence was looked at again"
        other = LabelAwarePooling(cached, choices(*LABELS[:2])).embed(texts)
    plain = LabelAwarePooling(base, choices(*LABELS)).embed(texts)
    np.testing.assert_allclose(first[:-1], plain, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(other, LabelAwarePooling(base, choices(*LABELS[:2])).embed(texts), rtol=2e-3, atol=2e-3)
    assert not np.allclose(other, plain, rtol=2e-3, atol=2e-3), "other queries, other features"
