"""The padded ways, which GPUs go, answer in bfloat16 as the packed one does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.encoder.padded import CUDA_BATCH, PaddedEncoder
from model.pretrained.architectures import PACKABLE_FAMILIES
from tests.model.conftest import TinyModel
from tests.model.encoder.test_packed import MODES, random_windows
from tests.support.encoders import engine_over, random_engine

ODD = (1, 1, 3, 7, 7, 13, 31, 33, 39)
LAYERS = (0, 2, 3)
CLOSE = 5e-2
"""Of outputs of about 1, with 8 bits of mantissa."""


def assert_close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == expected.dtype == dtype and found.shape == expected.shape
    assert (found.float() - expected.float()).abs().max() < CLOSE


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", PACKABLE_FAMILIES)
def test_odd_lengths_in_bf16_are_answered_as_by_the_packed_way(
    family: str, pooling: str, tiny_model: TinyModel
) -> None:
    """In batches of one, of a few, and of all, as a GPU has them."""
    directory, model = tiny_model(family, pooling=pooling, initializer_range=0.1)
    packed = engine_over(model, pooling=pooling, keep=3, precision="bf16")
    engine = PaddedEncoder(directory, None, keep=3, pooling=pooling, precision="bf16")
    windows = random_windows(list(ODD))
    pooled, states = packed.both(windows, LAYERS)
    for engine.batch_tokens in (1, 2 * max(ODD), CUDA_BATCH):
        assert_close(engine.forward(windows), pooled, torch.float32)
        assert_close(engine.token_states(windows, LAYERS), states, torch.float16)
        for found, expected in zip(engine.both(windows, LAYERS), (pooled, states), strict=True):
            assert_close(found, expected, expected.dtype)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_padded_attention_in_bf16_is_that_of_spans(pooling: str) -> None:
    """The way of BERT's layers on a GPU."""
    spans, masked = (
        random_engine("bert", pooling=pooling, keep=3, precision="bf16", attention=attention) for attention in MODES
    )
    windows = random_windows(list(ODD))
    assert_close(masked.forward(windows), spans.forward(windows), torch.float32)
    assert_close(masked.token_states(windows, LAYERS), spans.token_states(windows, LAYERS), torch.float16)
