"""bfloat16: close to float32, and never mixed with it in the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.encoder.encoder import Encoder
from model.encoder.precision import choose_device
from model.errors import EncoderError
from model.features.cache import CachedEncoder, FeatureCache
from tests.model.conftest import FAMILIES, TinyModel
from tests.model.encoder.test_other_encoders import TEXTS
from tests.model.encoder.test_packed import MODES, random_windows
from tests.support.encoders import engine_over, random_model


@pytest.mark.parametrize("attention", MODES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_bf16_is_close_and_answers_in_float32(pooling: str, attention: str) -> None:
    model, windows = random_model("bert"), random_windows([1, 4, 4, 20, 60, 60, 200])
    exact = engine_over(model, pooling=pooling, keep=2).forward(windows)
    engine = engine_over(model, pooling=pooling, keep=2, precision="bf16", attention=attention)
    found = engine.forward(windows)
    assert found.dtype == torch.float32 and found.shape == exact.shape
    distance = (found - exact).abs().max()
    assert 1e-4 < distance < 5e-2  # 8 bits of mantissa, outputs of about 1


def test_hidden_states_and_weights_are_bf16_and_norms_float32() -> None:
    engine = engine_over(random_model("bert"), pooling="mean", keep=1, precision="bf16")
    block = engine.blocks[0]
    assert block.attention_norm.weight.dtype == engine.embeddings.words.dtype == torch.float32
    hidden = torch.randn(5, 16).bfloat16()
    assert block.inputs[0](hidden).dtype == torch.bfloat16
    assert block.attention_norm(hidden).dtype == torch.bfloat16


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_in_bf16_under_the_same_digest(family: str, tiny_model: TinyModel) -> None:
    directory, _ = tiny_model(family)
    exact, half = Encoder(directory), Encoder(directory, precision="bf16")
    assert (exact.precision, half.precision) == ("fp32", "bf16")
    assert exact.digest == half.digest
    np.testing.assert_allclose(half.embed(TEXTS)[:, -1], exact.embed(TEXTS)[:, -1], atol=5e-2)


def test_a_fine_tuned_encoder_has_the_precision_of_its_base(tiny_model: TinyModel) -> None:
    directory, _ = tiny_model("bert")
    base = Encoder(directory, precision="bf16")
    assert Encoder(directory, weights=directory / "model.safetensors", base=base).precision == "bf16"


def test_cached_features_of_two_precisions_do_not_mix(tiny_model: TinyModel, tmp_path: Path) -> None:
    directory, _ = tiny_model("bert")
    cache = FeatureCache(tmp_path / "features", 16)
    exact, half = (CachedEncoder(Encoder(directory, precision=name), cache) for name in ("fp32", "bf16"))
    exact.embed(TEXTS)
    assert not any(half.holds(TEXTS))
    half.embed(TEXTS)
    assert (half.hits, half.misses) == (0, len(TEXTS))
    exact.embed(TEXTS)
    assert exact.hits == len(TEXTS)
    cache.close()


def test_a_gpu_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device().type == "cuda"


def test_another_precision_is_refused_by_name(tiny_model: TinyModel) -> None:
    with pytest.raises(EncoderError, match="'fp8' is none of auto, fp32, bf16, int8"):
        Encoder(tiny_model("bert")[0], precision="fp8")
