"""Choices and spans of one text from one pass: what two passes give, for every family."""

from __future__ import annotations

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from tests.model.conftest import FAMILIES, TinyModel
from tests.model.encoder.test_other_encoders import LONG, TEXTS

SINGLE = [text[0] for text in [*TEXTS, LONG] if len(text) == 1]


@pytest.mark.parametrize("layers", [(1, 2), (0, 3)])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_pass_gives_what_two_give(
    family: str, pooling: str, layers: tuple[int, ...], tiny_model: TinyModel
) -> None:
    encoder = Encoder(tiny_model(family, pooling=pooling)[0])
    pooled, tokens = encoder.embed_both(SINGLE, layers)
    np.testing.assert_allclose(pooled, encoder.embed([(text,) for text in SINGLE]), atol=1e-5)
    for found, expected in zip(tokens, encoder.token_states(SINGLE, layers), strict=True):
        assert found.offsets == expected.offsets
        np.testing.assert_allclose(found.states, expected.states, atol=4e-3)


def test_only_texts_of_several_windows_are_read_twice(minilm: Encoder) -> None:
    texts = ["Ann moved to Oslo.", "", "long " * 400, "short"]
    before = minilm.tally.tokens
    minilm.embed_both(texts, (2, 4))
    together = minilm.tally.tokens - before
    minilm.embed([(text,) for text in texts])
    minilm.token_states(texts, (2, 4))
    assert minilm.tally.tokens - before - 2 * together == 7 + 3  # of the first and the last; "" has no piece
    assert minilm.embed_both([], (2,))[0].shape == (0, minilm.depth, minilm.width)
