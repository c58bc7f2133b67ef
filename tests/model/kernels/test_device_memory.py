"""A GPU whose memory is full: texts are read in halves; one that is too long alone is an error with a code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.encoder.encoder import Encoder
from model.encoder.padded import PaddedEncoder
from model.errors import DeviceFull
from model.kernels.device_memory import FULL
from model.training import __main__ as training
from model.training import run
from tests.model.conftest import TinyModel
from tests.model.encoder.test_packed import random_windows
from tests.support.encoders import random_engine

WINDOWS = random_windows([1, 4, 4, 20, 39, 39, 60])


def with_room_for(tokens: int, compute: Callable[..., Any]) -> Callable[..., Any]:
    """`compute`, which runs out of memory with more numbers than that in its first argument."""

    def limited(first: torch.Tensor, *others: Any, **more: Any) -> Any:
        if first.numel() > tokens:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {first.numel()} tokens")
        return compute(first, *others, **more)

    return limited


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_what_does_not_fit_at_once_is_read_in_halves(pooling: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = random_engine("bert", pooling=pooling, attention="padded")
    pooled, states = engine.both(WINDOWS, (0, 3))
    engine.embeddings = with_room_for(61, engine.embeddings)  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING):
        halves = engine.both(WINDOWS, (0, 3))
    torch.testing.assert_close(halves[0], pooled, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(halves[1], states, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(engine.forward(WINDOWS), pooled, atol=1e-5, rtol=1e-4)
    assert engine.token_states(WINDOWS, (3,)).shape == (len(states), 1, engine.width)
    assert "does not suffice for 7 texts at once: they are read in halves" in caplog.text


def test_the_padded_way_is_halved_as_well(tiny_model: TinyModel) -> None:
    engine = PaddedEncoder(tiny_model("bert")[0], None, keep=2, pooling="mean")
    windows = [window for window in WINDOWS if len(window.ids) < 40]
    pooled, states = engine.both(windows, (0, 3))
    whole = engine._model.forward
    engine._model.forward = lambda input_ids, **more: with_room_for(41, whole)(input_ids, **more)  # type: ignore[method-assign]
    for found, expected in zip(engine.both(windows, (0, 3)), (pooled, states), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(engine.forward(windows), pooled, atol=1e-5, rtol=1e-4)


def test_a_text_that_does_not_fit_alone_is_an_error_with_a_code_and_a_remedy(tiny_model: TinyModel) -> None:
    encoder = Encoder(tiny_model("bert")[0])
    engine: Any = encoder._engine
    engine.embeddings = with_room_for(3, engine.embeddings)
    with pytest.raises(DeviceFull, match="CUDA_VISIBLE_DEVICES") as caught:
        encoder.embed([("a b c d",)])
    assert caught.value.code == "device_full"


def test_a_fine_tune_that_does_not_fit_ends_with_that_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def begin(directory: Path, team: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(run, "Training", begin)
    assert training.main([str(tmp_path)]) == 1
    assert FULL in capfd.readouterr().out
