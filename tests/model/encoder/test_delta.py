"""Weights that hold only what training changed: the same features as the whole file, and the rest shared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model.encoder.encoder import Encoder
from model.encoder.packed import PackedBert
from model.encoder.padded import PaddedEncoder
from model.errors import EncoderError
from model.kernels.matrix_product import ONEDNN
from model.pretrained.architectures import PACKABLE_FAMILIES
from tests.model.conftest import FAMILIES, TinyModel, tiny_config, write_tokenizer
from tests.model.encoder.test_other_encoders import TEXTS, assert_equal_to_transformers

Tensors = dict[str, torch.Tensor]
TOP = ("layer.2.", "layers.2.")


def write_delta(path: Path, tensors: Tensors) -> Path:
    save_file(tensors, path, metadata={"format": "pt", "understudy": "delta"})
    return path


def tuned_of(base: Tensors, changes: Callable[[str], bool]) -> Tensors:
    """Tensors as training might leave them: the ones that `changes` names moved."""
    torch.manual_seed(7)
    moved = {name: value + 0.1 * torch.randn_like(value) for name, value in base.items() if changes(name)}
    assert moved
    return {**{name: value.clone() for name, value in base.items()}, **moved}


def is_top(name: str) -> bool:
    return any(layer in name for layer in TOP)


@pytest.fixture
def both(tiny_model: TinyModel, tmp_path: Path) -> Callable[..., tuple[Encoder, Path, Path]]:
    """Builds (base encoder, whole file, delta) of an encoder whose last layer was trained."""

    def build(family: str, changes: Callable[[str], bool] = is_top, **more: Any) -> tuple[Encoder, Path, Path]:
        directory, model = tiny_model(family, initializer_range=0.1, **more)
        state: Tensors = model.state_dict()
        tuned = tuned_of(state, changes)
        save_file({name: value.contiguous() for name, value in tuned.items()}, tmp_path / "whole.safetensors")
        delta = {name: value for name, value in tuned.items() if changes(name)}
        return Encoder(directory), tmp_path / "whole.safetensors", write_delta(tmp_path / "delta.safetensors", delta)

    return build


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_delta_gives_the_features_of_the_whole_file(
    family: str, pooling: str, both: Callable[..., tuple[Encoder, Path, Path]]
) -> None:
    base, whole, delta = both(family, pooling=pooling)
    wanted = Encoder(base.directory, weights=whole).embed(TEXTS)
    before = base.embed(TEXTS)
    assert np.abs(wanted - before).max() > 1e-2
    for lender in (None, base):
        found = Encoder(base.directory, weights=delta, base=lender)
        np.testing.assert_array_equal(found.embed(TEXTS), wanted)
        assert found.taught is None and found.precision == base.precision
    np.testing.assert_array_equal(base.embed(TEXTS), before)  # the lender is as it was


@pytest.mark.parametrize("family", PACKABLE_FAMILIES)
def test_unchanged_layers_and_tables_are_the_bases_own(
    family: str, both: Callable[..., tuple[Encoder, Path, Path]]
) -> None:
    base, whole, delta = both(family)
    lender, borrower = base._engine, Encoder(base.directory, weights=delta, base=base)._engine
    assert isinstance(lender, PackedBert) and isinstance(borrower, PackedBert)
    assert borrower.embeddings is lender.embeddings
    shared = [one is other for one, other in zip(borrower.blocks, lender.blocks, strict=True)]
    assert shared == [True, True, False]
    alone = Encoder(base.directory, weights=whole, base=base)._engine
    assert isinstance(alone, PackedBert) and not any(block in lender.blocks for block in alone.blocks)


@pytest.mark.parametrize("family", ["mpnet", "deberta-v2", "modernbert"])
def test_a_padded_engine_shares_unchanged_tensors(family: str, both: Callable[..., tuple[Encoder, Path, Path]]) -> None:
    base, _, delta = both(family)
    lender, borrower = base._engine, Encoder(base.directory, weights=delta, base=base)._engine
    assert isinstance(lender, PaddedEncoder) and isinstance(borrower, PaddedEncoder)
    own, other = lender._model.state_dict(), borrower._model.state_dict()
    shared = {name for name, value in own.items() if value.data_ptr() == other[name].data_ptr()}
    assert set(own) - shared == {name for name in own if is_top(name)}


def test_one_changed_tensor_of_a_layer_is_enough(both: Callable[..., tuple[Encoder, Path, Path]]) -> None:
    base, whole, delta = both("bert", lambda name: name == "encoder.layer.1.output.LayerNorm.bias")
    wanted = Encoder(base.directory, weights=whole).embed(TEXTS)
    np.testing.assert_array_equal(Encoder(base.directory, weights=delta, base=base).embed(TEXTS), wanted)


def test_changed_word_embeddings_replace_the_bases(both: Callable[..., tuple[Encoder, Path, Path]]) -> None:
    base, whole, delta = both("bert", lambda name: name == "embeddings.word_embeddings.weight")
    wanted = Encoder(base.directory, weights=whole).embed(TEXTS)
    np.testing.assert_array_equal(Encoder(base.directory, weights=delta, base=base).embed(TEXTS), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_as_in_the_base_models_file_prefix_and_all(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(tiny_config(family, initializer_range=0.1)).eval()
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path, family=family)
    stored = load_file(tmp_path / "model.safetensors")
    tuned = tuned_of(stored, is_top)
    delta = write_delta(tmp_path / "delta.safetensors", {name: tuned[name] for name in tuned if is_top(name)})
    model.load_state_dict(tuned, strict=False)
    found = Encoder(tmp_path, weights=delta, base=Encoder(tmp_path))
    assert_equal_to_transformers(found, getattr(model, model.base_model_prefix), TEXTS)


def test_prepacked_layers_are_shared_as_well(both: Callable[..., tuple[Encoder, Path, Path]]) -> None:
    from model.encoder.weights import Weights

    base, _, delta = both("bert")
    own = base.directory / "model.safetensors"
    shape = base._engine.shape
    options: dict[str, Any] = {"keep": 2, "pooling": "mean", "kernel": ONEDNN}
    lender = PackedBert(shape, Weights(own), **options)
    borrower = PackedBert(shape, Weights(delta, own), base=lender, **options)
    assert [one is other for one, other in zip(borrower.blocks, lender.blocks, strict=True)] == [True, True, False]


def test_the_digest_tells_deltas_and_bases_apart(both: Callable[..., tuple[Encoder, Path, Path]]) -> None:
    base, whole, delta = both("bert")
    encoders = [base, Encoder(base.directory, weights=whole), Encoder(base.directory, weights=delta)]
    assert len({encoder.digest for encoder in encoders}) == 3
    assert Encoder(base.directory, weights=delta, base=base).digest == encoders[2].digest
    path = base.directory / "model.safetensors"
    state = {name: value.clone() for name, value in load_file(path).items()}
    path.unlink()
    save_file({name: value + 0.01 for name, value in state.items()}, path, metadata={"format": "pt"})
    assert Encoder(base.directory, weights=delta).digest != encoders[2].digest


@pytest.mark.parametrize("family", ["bert", "mpnet"])
@pytest.mark.parametrize("change", [{"encoder.layer.2.output.dense.bias": torch.zeros(3)}, {"nobody": torch.zeros(3)}])
def test_a_delta_of_another_encoder_is_refused(
    family: str, change: Tensors, tiny_model: TinyModel, tmp_path: Path
) -> None:
    directory, _ = tiny_model(family)
    delta = write_delta(tmp_path / "delta.safetensors", change)
    with pytest.raises(EncoderError, match=next(iter(change))):
        Encoder(directory, weights=delta)


def test_the_encoder_of_another_directory_lends_nothing(tiny_model: TinyModel) -> None:
    (one, _), (other, _) = tiny_model("bert"), tiny_model("bert", seed=1)
    np.testing.assert_array_equal(
        Encoder(one, weights=one / "model.safetensors", base=Encoder(other)).embed(TEXTS), Encoder(one).embed(TEXTS)
    )
