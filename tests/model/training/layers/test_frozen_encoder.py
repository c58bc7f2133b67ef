"""The layers that learn: the same outputs and gradients as the whole encoder's, from remembered lower layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.encoder.encoder import Encoder
from model.encoder.windows import Window, Windows
from model.pretrained.base_model import has_token_types
from model.spec import Text
from model.training.layers import frozen_encoder as toplayers
from model.training.layers.frozen_encoder import TopLayers
from tests.model.conftest import TinyModel

PACKED, PADDED = ("bert", "roberta", "xlm-roberta", "camembert", "electra"), ("distilbert", "modernbert", "mpnet")
TEXTS: list[Text] = [("a b c d e f",), ("g",), ("",), ("h i j k l a b c d",), ("b a",)]
PAIRS: list[Text] = [("a b", "c d e"), ("a b c", "d e")]
STEADY = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.2}


def top_of(model: Any, pooling: str = "mean") -> TopLayers:
    return TopLayers(model, pooling=pooling, typed=has_token_types(model.config.to_dict()))


def windows_of(directory: Path, texts: Sequence[Text]) -> list[Window]:
    return Windows(directory, 40).split(texts)


def plain(model: Any, windows: Sequence[Window], pooling: str) -> torch.Tensor:
    """The `transformers` forward pass, one sequence at a time, with gradients."""
    rows = []
    for window in windows:
        typed = has_token_types(model.config.to_dict())
        extra = {"token_type_ids": torch.tensor([window.types])} if typed else {}
        hidden = model(input_ids=torch.tensor([window.ids]), **extra).last_hidden_state[0]
        rows.append(hidden[0] if pooling == "cls" else hidden.mean(0))
    return torch.stack(rows)


def loss_of(pooled: torch.Tensor) -> torch.Tensor:
    """A number that depends on every output in another way."""
    generator = torch.Generator().manual_seed(0)
    return (pooled * torch.randn(pooled.shape, generator=generator)).sum()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", [*PACKED, *PADDED])
def test_without_dropout_it_is_what_the_encoder_serves(family: str, pooling: str, tiny_model: TinyModel) -> None:
    directory, model = tiny_model(family, pooling=pooling, initializer_range=0.2)
    top = top_of(model, pooling)
    assert top.packed == (family in PACKED)
    texts = [*TEXTS, *PAIRS]
    expected = Encoder(directory).embed(texts)[:, -1]
    for _ in range(2):  # computed, then remembered
        found = top.embed(windows_of(directory, texts)).detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("family", [*PACKED, *PADDED])
def test_equal_segments_apart_differ_only_where_the_family_has_types(family: str, tiny_model: TinyModel) -> None:
    """What is remembered of a text must not be taken for another's with the same tokens."""
    directory, model = tiny_model(family, initializer_range=0.2)
    top = top_of(model)
    window = windows_of(directory, [PAIRS[0]])[0]
    turned = Window(0, window.ids, [1 - kind for kind in window.types])
    first, second = top.embed([window]), top.embed([turned])
    assert bool((first - second).abs().max() > 1e-4) == top.typed


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", PACKED)
def test_gradients_are_those_of_the_plain_forward_pass(family: str, pooling: str, tiny_model: TinyModel) -> None:
    directory, packed = tiny_model(family, pooling=pooling, **STEADY)
    _, whole = tiny_model(family, seed=0, pooling=f"{pooling} again", **STEADY)
    windows = windows_of(directory, [*TEXTS, *PAIRS])
    top = top_of(packed, pooling)
    packed.train()
    whole.train()
    loss_of(top.embed(windows)).backward()
    loss_of(plain(whole, windows, pooling)).backward()
    expected = dict(whole.named_parameters())
    compared = 0
    for name, parameter in packed.named_parameters():
        if not parameter.requires_grad:
            assert parameter.grad is None, name
            continue
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-3, rtol=1e-3, msg=name)
        compared += 1
    assert compared == 32, "two layers of 16 parameters"


@pytest.mark.parametrize("family", [*PACKED, *PADDED])
def test_a_step_moves_the_upper_layers_and_nothing_else(family: str, tiny_model: TinyModel) -> None:
    directory, model = tiny_model(family, initializer_range=0.2)
    top = top_of(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(top.embed(windows_of(directory, TEXTS))).backward()
        optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    upper = {id(p) for layer in top.layers[1:] for p in layer.parameters()}
    lower = {id(p) for layer in top.layers[:1] for p in layer.parameters()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert not {names[key] for key in lower} & moved
    assert not {name for name in moved if "embeddings" in name}
    assert len({names[key] for key in upper} & moved) > 0.8 * len(upper)


def test_a_single_layer_learns_with_the_norm_before_it(tiny_model: TinyModel) -> None:
    _, model = tiny_model("bert", num_hidden_layers=1)
    top = top_of(model)
    assert top.frozen == 0
    still = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert {name.split(".")[0] for name in still} == {"embeddings", "pooler"}


@pytest.mark.parametrize("family", PACKED)
def test_little_memory_changes_nothing_and_is_kept_to(
    family: str, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, model = tiny_model(family, initializer_range=0.2)
    windows = windows_of(directory, TEXTS)
    sizes = [4 * 16 * len(window.ids) for window in windows]  # bytes of float32 [tokens, 16]
    results = []
    for limit in (0, sizes[0] + sizes[1], 1 << 20):
        monkeypatch.setattr(toplayers, "REMEMBERED_BYTES", limit)
        top = top_of(model)
        results += [top.embed(windows).detach(), top.embed(windows).detach(), top.embed(windows[::-1]).detach().flip(0)]
        kept = sum(value.numel() * value.element_size() for value in top._remembered.values())
        assert kept == top._bytes <= limit
        assert (kept == 0) == (limit == 0)
    assert kept == sum(sizes), "all of it where there is room"
    for found in results:
        torch.testing.assert_close(found, results[0], atol=1e-5, rtol=1e-5)


def test_the_lower_layers_run_once_a_text(tiny_model: TinyModel) -> None:
    directory, model = tiny_model("bert")
    top = top_of(model)
    asked: list[int] = []
    model.embeddings.register_forward_hook(lambda module, inputs, output: asked.append(output.shape[1]))
    windows = windows_of(directory, [TEXTS[0], TEXTS[1], TEXTS[0]])
    top.embed(windows)
    top.embed(windows[1:])
    assert len(asked) == 2


def test_only_what_learns_has_dropout(tiny_model: TinyModel) -> None:
    directory, model = tiny_model("bert", hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    top, windows = top_of(model), windows_of(directory, TEXTS[:2])
    model.train()
    torch.manual_seed(0)
    first, second = top.embed(windows), top.embed(windows)
    assert (first - second).abs().max() > 1e-3
    assert model.training
    calm = top._run_lower(windows)
    model.eval()
    torch.testing.assert_close(calm, top._run_lower(windows))
    assert torch.equal(top.embed(windows), top.embed(windows))


@pytest.mark.parametrize("family", PACKED)
def test_what_is_drawn_later_is_computed_ahead(family: str, tiny_model: TinyModel) -> None:
    directory, model = tiny_model(family, initializer_range=0.2)
    windows = windows_of(directory, [*TEXTS, *PAIRS, TEXTS[0]])
    expected = top_of(model).embed(windows).detach()
    top = top_of(model)
    top.remember(windows)
    asked: list[int] = []
    model.embeddings.register_forward_hook(lambda module, inputs, output: asked.append(output.shape[1]))
    torch.testing.assert_close(top.embed(windows).detach(), expected, atol=1e-5, rtol=1e-5)
    assert asked == []


def test_what_is_needed_first_is_remembered_where_room_is_short(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, model = tiny_model("bert")
    windows = windows_of(directory, [TEXTS[3], TEXTS[0], TEXTS[1]])
    monkeypatch.setattr(toplayers, "REMEMBERED_BYTES", 4 * 16 * (len(windows[0].ids) + len(windows[1].ids)))
    top = top_of(model)
    top.remember(windows)
    assert set(top._remembered) == {toplayers._key(window) for window in windows[:2]}


def test_half_precision_is_remembered_in_half_the_bytes(tiny_model: TinyModel) -> None:
    """As on a machine with bfloat16; here torch emulates it."""
    directory, model = tiny_model("bert", **STEADY)
    windows = windows_of(directory, TEXTS)
    exact = top_of(model)
    expected = exact.embed(windows).detach()
    top = TopLayers(model, pooling="mean", typed=True, keep=torch.bfloat16)
    model.train()
    with torch.autocast("cpu", torch.bfloat16):
        top.remember(windows)
        pooled = top.embed(windows)
    assert {value.dtype for value in top._remembered.values()} == {torch.bfloat16}
    assert top._bytes * 2 == exact._bytes
    torch.testing.assert_close(pooled.detach().float(), expected, atol=5e-2, rtol=5e-2)
    loss_of(pooled.float()).backward()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in learned)


def test_all_layers_learn_where_none_is_frozen(tiny_model: TinyModel) -> None:
    _, model = tiny_model("bert")
    top = TopLayers(model, pooling="mean", typed=True, frozen_share=0.0)
    still = {name.split(".")[0] for name, value in model.named_parameters() if not value.requires_grad}
    assert top.frozen == 0 and still == {"embeddings", "pooler"}
