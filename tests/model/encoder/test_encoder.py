"""The packed BERT against the forward pass of `transformers`, on the packaged MiniLM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.encoder.pairs import INTERACTION_LAYERS
from model.encoder.windows import OVERLAP_TOKENS, Windows
from model.spec import Text
from tests.support.encoders import Floats, forward

LONG = " ".join(f"number {i} of a very long message about parcel {i % 7}" for i in range(90))
TEXTS: list[Text] = [
    ("Where is my parcel?",),
    ("",),
    ("I want my money back, the chair arrived with a broken leg and nobody answers the phone at your shop.",),
    ("Danke",),
    ("日本語 and emoji 🙂 mixed, naïve café",),
    ("Thanks!",),
]
PAIR: Text = ("How long does delivery take?", "Three to five working days within the country.")


@pytest.fixture(scope="module")
def reference(minilm: Encoder) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(minilm.directory, local_files_only=True).eval()


@pytest.fixture(scope="module")
def windows(minilm: Encoder) -> Windows:
    return Windows(minilm.directory, 256)


def tokens_of(minilm: Encoder, text: Text) -> tuple[list[int], list[int]]:
    from transformers import AutoTokenizer

    encoded = AutoTokenizer.from_pretrained(minilm.directory, local_files_only=True)(*text)
    return encoded["input_ids"], encoded["token_type_ids"]


def expected(minilm: Encoder, reference: Any, text: Text) -> Floats:
    return forward(reference, *tokens_of(minilm, text), keep=4)


def test_the_packaged_encoder_keeps_four_layers(minilm: Encoder) -> None:
    assert (minilm.depth, minilm.width, minilm.pooling) == (4, 384, "mean")


def test_texts_of_different_lengths_equal_transformers_in_every_layer(minilm: Encoder, reference: Any) -> None:
    found = minilm.embed(TEXTS)
    assert found.dtype == np.float32
    for text, pooled in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(pooled, expected(minilm, reference, text), atol=1e-4)


def test_a_pair_of_texts_has_token_types(minilm: Encoder, reference: Any) -> None:
    assert set(tokens_of(minilm, PAIR)[1]) == {0, 1}
    joint = expected(minilm, reference, PAIR)[INTERACTION_LAYERS:]
    np.testing.assert_allclose(minilm.embed([PAIR])[0, INTERACTION_LAYERS:], joint, atol=1e-4)


def test_a_pair_holds_what_its_segments_share_and_where_they_differ(minilm: Encoder, reference: Any) -> None:
    first, second = (expected(minilm, reference, (segment,))[-1] for segment in PAIR)
    a, b = first / np.linalg.norm(first), second / np.linalg.norm(second)
    shared, apart = minilm.embed([PAIR])[0, :INTERACTION_LAYERS]
    np.testing.assert_allclose(shared, a * b * np.sqrt(minilm.width), atol=1e-4)
    np.testing.assert_allclose(apart, np.abs(a - b), atol=1e-4)
    assert shared.sum() / np.sqrt(minilm.width) == pytest.approx(a @ b, abs=1e-4)  # a linear head can find the cosine


def test_a_pair_is_not_its_joined_text(minilm: Encoder) -> None:
    pair, joined = minilm.embed([PAIR, ("\n".join(PAIR),)])
    assert np.abs(pair - joined).max() > 1e-3


def test_the_order_of_a_pair_matters(minilm: Encoder) -> None:
    pair, turned = minilm.embed([PAIR, PAIR[::-1]])
    assert np.abs(pair - turned).max() > 1e-3


def test_a_text_in_a_window_is_read_in_one(windows: Windows) -> None:
    assert len(windows.split([TEXTS[0]])) == 1


def test_windows_of_a_long_text_overlap_and_cover_it(minilm: Encoder, windows: Windows) -> None:
    parts = [window.ids[1:-1] for window in windows.split([(LONG,)])]
    assert len(parts) > 2
    assert all(len(part) <= 254 for part in parts)
    together = parts[0]
    for part in parts[1:]:
        assert together[-OVERLAP_TOKENS:] == part[:OVERLAP_TOKENS]
        together = together + part[OVERLAP_TOKENS:]
    assert together == windows_free_ids(minilm, (LONG,))


def windows_free_ids(minilm: Encoder, text: Text) -> list[int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(minilm.directory / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return list(tokenizer.encode(*text).ids[1:-1])


def test_a_long_text_is_the_token_weighted_mean_of_its_windows(
    minilm: Encoder, reference: Any, windows: Windows
) -> None:
    parts = windows.split([(LONG,)])
    vectors = [forward(reference, part.ids, part.types, keep=4) for part in parts]
    weighted = np.average(vectors, axis=0, weights=[len(part.ids) for part in parts])
    np.testing.assert_allclose(minilm.embed([(LONG,)])[0], weighted, atol=1e-4)


def test_a_long_answer_beside_a_short_question_is_read_in_windows_with_the_question(windows: Windows) -> None:
    question = "Where is my parcel?"
    start = windows.split([(question,)])[0].ids
    parts = windows.split([(question, LONG)])
    assert len(parts) > 2
    assert all(part.ids[: len(start)] == start for part in parts)


def test_what_else_is_in_the_batch_does_not_change_a_text(minilm: Encoder) -> None:
    everything = [*TEXTS, PAIR, (LONG,)]
    together = minilm.embed(everything)
    alone = np.concatenate([minilm.embed([text]) for text in everything])
    backwards = minilm.embed(everything[::-1])[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, backwards, atol=1e-5)


def test_the_same_text_twice_gives_the_same_result(minilm: Encoder) -> None:
    first, second = minilm.embed([TEXTS[0], TEXTS[0]])
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_no_texts_give_an_empty_array(minilm: Encoder) -> None:
    assert minilm.embed([]).shape == (0, 4, 384)
