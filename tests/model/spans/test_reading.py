"""States of words: from the right pieces, in windows, from the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.encoder.token_states import LENGTH, TokenStates
from model.features.cache import CachedEncoder, FeatureCache
from model.spans.features.reading import SpanReader, layers_at, word_states
from model.spans.transfer.prior import TransferPrior
from model.spans.words import find_words
from tests.support.encoders import WordsEncoder, engine_over, random_model

LONG = " ".join(f"parcel{number} number {number} left Oslo" for number in range(150))
TEXTS = ["Ann Miller moved to Berlin.", "", "\u200b", "日本 and 🙂", LONG]


def test_states_are_those_of_transformers_in_every_layer(minilm: Encoder) -> None:
    import torch
    from transformers import AutoModel

    text = "Ann moved to São Paulo, 日本 🙂."
    found = minilm.token_states([text], (0, 2, 6))[0]
    reference = AutoModel.from_pretrained(minilm.directory, local_files_only=True).eval()
    before, after = minilm._windows.frame
    ids = [*before, *minilm._windows.pieces([text])[0].ids, *after]
    with torch.inference_mode():
        hidden = reference(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    for place, layer in enumerate((0, 2, 6)):
        expected = hidden[layer][0, len(before) : -len(after)].numpy()
        np.testing.assert_allclose(found.states[:, place], expected, atol=4e-3)


def test_both_engines_give_the_same_states() -> None:
    model = random_model("bert")
    engine = engine_over(model, pooling="mean", keep=2)
    from model.encoder.windows import Window

    windows = [Window(0, [2, 5, 6, 3], [0] * 4), Window(1, [2, 7, 3], [0] * 3)]
    states = engine.token_states(windows, (1, 2))
    import torch

    for window, own in zip(windows, states.split([4, 3]), strict=True):
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([window.ids]), output_hidden_states=True).hidden_states
        np.testing.assert_allclose(own[:, 0].float(), hidden[1][0], atol=4e-3)
        np.testing.assert_allclose(own[:, 1].float(), hidden[2][0], atol=4e-3)


def test_a_long_text_is_read_in_windows_and_every_piece_has_a_state(minilm: Encoder) -> None:
    long = minilm.token_states([LONG], (2, 4))[0]
    assert len(long.offsets) > 2 * LENGTH
    assert np.abs(long.states).max(2).min() > 0
    # The first pieces are read as in a text that ends with their window.
    cut = long.offsets[LENGTH - 1][1]
    alone = minilm.token_states([LONG[:cut]], (2, 4))[0]
    np.testing.assert_allclose(long.states[:200], alone.states[:200], atol=4e-3)
    # Texts do not depend on what they are read with.
    again = minilm.token_states(["Hello there.", LONG, "Oslo"], (2, 4))[1]
    np.testing.assert_allclose(again.states, long.states, atol=4e-3)


def test_a_word_is_the_mean_of_its_pieces_and_a_piece_may_be_of_two_words() -> None:
    states = np.arange(12, dtype=np.float16).reshape(3, 2, 2)
    tokens = TokenStates([(0, 2), (2, 4), (4, 8)], states)
    found = word_states([(0, 4), (4, 5), (6, 8), (9, 10)], tokens)
    np.testing.assert_array_equal(found, [[2, 3, 4, 5], [8, 9, 10, 11], [8, 9, 10, 11], [0, 0, 0, 0]])


def test_layers_of_deeper_encoders_lie_at_the_same_depth() -> None:
    assert layers_at((1 / 3, 2 / 3), 6) == (2, 4)
    assert layers_at((1 / 3, 2 / 3), 12) == (4, 8)
    assert layers_at((1 / 3, 2 / 3), 1) == (1,)


def test_what_was_read_comes_from_the_cache_the_same(minilm: Encoder, prior: TransferPrior, tmp_path: Path) -> None:
    reader = SpanReader(minilm, prior, FeatureCache(tmp_path, 64))
    fresh = reader.read([*TEXTS, TEXTS[0]])
    texts = minilm.tally.texts
    kept = SpanReader(minilm, prior, FeatureCache(tmp_path, 64)).read(TEXTS)
    assert minilm.tally.texts - texts <= 1, "only the text without a word is asked for again"
    for one, other in zip(fresh, kept, strict=False):
        assert one.bounds == find_words(one.text)
        np.testing.assert_array_equal(one.states, other.states)
        np.testing.assert_array_equal(one.hidden, other.hidden)
        assert one.states.nbytes + one.hidden.nbytes == reader.bytes_a_word * len(one.bounds)
    assert reader.bytes_a_word == 2048
    np.testing.assert_array_equal(fresh[2].states, np.zeros((1, 768)))  # U+200B has no piece


def test_other_weights_of_the_prior_do_not_find_what_was_kept(
    minilm: Encoder, prior: TransferPrior, tmp_path: Path
) -> None:
    reader = SpanReader(minilm, prior, FeatureCache(tmp_path, 64))
    reader.read(TEXTS[:1])
    changed = {**prior.tensors, "middle.bias": prior.tensors["middle.bias"] + 1}
    other = SpanReader(minilm, TransferPrior(prior.digest, prior.layers, changed), FeatureCache(tmp_path, 64))
    assert not np.array_equal(reader.read(TEXTS[:1])[0].hidden, other.read(TEXTS[:1])[0].hidden)


def test_the_prior_of_another_encoder_is_left_out(minilm: Encoder, prior: TransferPrior) -> None:
    reader = SpanReader(minilm, TransferPrior("00" * 8, prior.layers, prior.tensors))
    assert reader.prior is None
    assert reader.read(TEXTS[:1])[0].hidden.shape == (6, 0)
    assert reader.name_vectors(["PER"]).shape == (0, 384)
    assert reader.bytes_a_word == pytest.approx(1536)


def test_choices_and_spans_of_a_text_are_one_pass_and_the_same(
    minilm: Encoder, prior: TransferPrior, tmp_path: Path
) -> None:
    cached = CachedEncoder(minilm, FeatureCache(tmp_path / "pooled", 64))
    reader = SpanReader(minilm, prior, FeatureCache(tmp_path / "words", 64))
    texts = [*TEXTS, "Bob left.", TEXTS[0]]
    cached.embed([("Bob left.",)])  # known to one cache
    before = minilm.tally.texts
    pooled, read = reader.read_both(cached, texts)
    # "Bob left." is read for the spans; the long text twice, for its windows are others
    assert minilm.tally.texts - before == len(TEXTS) + 2
    bare = SpanReader(minilm, prior)
    for one, other in zip(read, bare.read(texts), strict=True):
        assert (one.text, one.bounds) == (other.text, other.bounds)
        np.testing.assert_allclose(one.states, other.states, atol=8e-3)
        np.testing.assert_allclose(one.hidden, other.hidden, atol=3e-2)
    np.testing.assert_allclose(pooled, minilm.embed([(text,) for text in texts]), atol=4e-3)
    np.testing.assert_array_equal(cached.embed([(text,) for text in texts]), pooled)


def test_another_encoder_of_pooled_outputs_is_asked_by_itself(minilm: Encoder, prior: TransferPrior) -> None:
    reader, other = SpanReader(minilm, prior), WordsEncoder()
    pooled, read = reader.read_both(other, TEXTS[:2])
    np.testing.assert_array_equal(pooled, WordsEncoder().embed([(text,) for text in TEXTS[:2]]))
    assert [own.text for own in read] == TEXTS[:2]
    own, _ = reader.read_both(minilm, TEXTS[:2])
    np.testing.assert_allclose(own, minilm.embed([(text,) for text in TEXTS[:2]]), atol=1e-4)
    assert reader.read_both(minilm, [])[1] == []
