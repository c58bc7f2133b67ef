"""A step reads a part of each text's tokens; who asks afterwards is answered from all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.encoder.windows import Window, Windows
from model.pretrained.base_model import has_token_types
from model.spec import Text
from model.training.layers.frozen_encoder import TopLayers
from model.training.layers.packed_layer import Noise
from model.training.layers.token_dropout import LEAST_TOKENS, MULTIPLE, count_kept, drop_tokens
from tests.model.conftest import TinyModel

LONG, SHORT = " ".join("abcdefghijkl"[place % 12] for place in range(34)), "a b c"
STEADY = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.2}


@given(st.integers(1, 512), st.floats(0.05, 1.0))
def test_short_texts_are_read_whole_and_long_ones_in_equal_parts(tokens: int, share: float) -> None:
    kept = count_kept(tokens, share)
    assert min(tokens, LEAST_TOKENS) <= kept <= tokens and kept >= share * tokens
    assert kept == tokens or (kept % MULTIPLE == 0 and kept < max(LEAST_TOKENS, share * tokens) + MULTIPLE)


def test_the_ends_of_a_text_stay_and_the_rest_is_another_part_each_time() -> None:
    texts = [torch.arange(count, dtype=torch.float32)[:, None] for count in (64, 7, 40)]
    noise = Noise([5])
    first, second = (drop_tokens(texts, 0.5, noise) for _ in range(2))
    for part in (first, second):
        assert [len(own) for own in part] == [32, 7, 24]
        assert [(float(own[0]), float(own[-1])) for own in part] == [(0, 63), (0, 6), (0, 39)]
        for own in part:
            assert (own[1:] > own[:-1]).all(), "in the text's order"
    assert not torch.equal(first[0], second[0])
    noise.begin([5])
    assert all(torch.equal(*both) for both in zip(first, drop_tokens(texts, 0.5, noise), strict=True)), "by the seed"


def _read(tiny_model: TinyModel, **given: Any) -> tuple[TopLayers, Any, list[Window], list[int]]:
    """The layers, their encoder, a long and a short text, and how many tokens the last layer read each time."""
    directory, model = tiny_model("bert", **STEADY)
    top = TopLayers(model, pooling="mean", typed=has_token_types(model.config.to_dict()), **given)
    texts: list[Text] = [(LONG,), (SHORT,)]
    read: list[int] = []
    model.encoder.layer[-1].output.dense.register_forward_hook(lambda module, inputs, output: read.append(len(output)))
    return top, model, Windows(directory, 40).split(texts), read


def test_pooled_outputs_are_of_a_part_while_learning_and_of_all_tokens_afterwards(tiny_model: TinyModel) -> None:
    top, model, windows, read = _read(tiny_model, token_share=0.5)
    whole = sum(len(window.ids) for window in windows)
    model.train()
    part = top.embed(windows)
    model.eval()
    served = top.embed(windows)
    assert read[0] == count_kept(len(windows[0].ids), 0.5) + len(windows[1].ids) < whole == read[1]
    assert (part[0] - served[0]).abs().max() > 1e-3
    torch.testing.assert_close(part[1], served[1])


def test_words_are_judged_one_by_one_and_none_is_left_out(tiny_model: TinyModel) -> None:
    top, model, windows, _ = _read(tiny_model, token_share=0.5)
    model.train()
    assert [len(states) for states in top.states(windows)] == [len(window.ids) for window in windows]


@pytest.mark.parametrize("given", [{"frozen_share": 0.0, "token_share": 0.5}, {"token_share": 1.0}])
def test_where_no_layer_has_read_the_whole_text_all_tokens_are_read(given: Any, tiny_model: TinyModel) -> None:
    top, model, windows, read = _read(tiny_model, **given)
    model.train()
    top.embed(windows)
    assert read == [sum(len(window.ids) for window in windows)]
