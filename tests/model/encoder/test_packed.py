"""The packed forward against `transformers`, over all families with BERT's layers and random lengths of 1 to 512."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save_file

from model.encoder.packed import PackedBert
from model.encoder.weights import Weights
from model.encoder.windows import Window
from model.kernels.attention import TIMED_LENGTHS, by_fused_kernel, nearest_length, spans_of
from model.kernels.choice import FormatTiming
from model.kernels.matrix_product import ONEDNN, PLAIN, onednn_works
from model.pretrained.architectures import PACKABLE_FAMILIES, linear_cost, read_shape
from tests.model.conftest import tiny_config
from tests.support.encoders import Floats, engine_over, forward, random_engine, random_model

MODES = ("spans", "padded")
KERNELS = [
    PLAIN,
    pytest.param(ONEDNN, marks=pytest.mark.skipif(not onednn_works(torch.float32, 32, 16), reason="no oneDNN")),
]


def random_windows(lengths: list[int], seed: int = 0, words: int = 16) -> list[Window]:
    """No token is the padding's: of that one RoBERTa would take another position."""
    generator = np.random.default_rng(seed)
    return [
        Window(
            number, generator.integers(4, words, length).tolist(), np.sort(generator.integers(0, 2, length)).tolist()
        )
        for number, length in enumerate(lengths)
    ]


def random_lengths(seed: int, count: int = 9) -> list[int]:
    """Short, middling and the longest, with some that are equal."""
    generator = np.random.default_rng(seed)
    lengths = [1, 512, *(2 ** generator.uniform(0, 9, count)).astype(int).tolist()]
    return sorted([*lengths, *lengths[2:5]])


def expected(model: Any, windows: list[Window], keep: int, pooling: str) -> Floats:
    typed = model.config.to_dict().get("type_vocab_size", 0) > 1
    return np.stack([forward(model, w.ids, w.types if typed else [0] * len(w.ids), keep, pooling) for w in windows])


def assert_exact(engine: PackedBert, model: Any, windows: list[Window]) -> None:
    found = engine.forward(windows)
    assert found.dtype == torch.float32 and found.shape == (len(windows), engine.keep, engine.width)
    np.testing.assert_allclose(found.numpy(), expected(model, windows, engine.keep, engine.pooling), atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("attention", MODES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", PACKABLE_FAMILIES)
def test_random_lengths_equal_transformers(family: str, pooling: str, attention: str, kernel: str) -> None:
    for seed in range(3):
        model = random_model(family, seed=seed)
        engine = engine_over(model, pooling=pooling, keep=3, attention=attention, kernel=kernel)
        assert (engine.kernel, engine.attention, engine.precision) == (kernel, attention, "fp32")
        assert_exact(engine, model, random_windows(random_lengths(seed), seed))


@pytest.mark.parametrize("attention", MODES)
@pytest.mark.parametrize("keep", [1, 2, 3])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_as_many_last_layers_as_are_kept(pooling: str, keep: int, attention: str) -> None:
    model = random_model("bert")
    engine = engine_over(model, pooling=pooling, keep=keep, attention=attention)
    assert_exact(engine, model, random_windows([3, 3, 7, 20]))


@pytest.mark.parametrize("attention", MODES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_order_and_company_do_not_matter(pooling: str, attention: str) -> None:
    model = random_model("roberta")
    engine = engine_over(model, pooling=pooling, keep=2, attention=attention)
    windows = random_windows([40, 1, 7, 1, 300, 7, 18, 17, 16])
    together = engine.forward(windows)
    alone = torch.cat([engine.forward([window]) for window in windows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert_exact(engine, model, windows)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_same_windows_twice_give_the_same(pooling: str) -> None:
    engine, windows = random_engine("bert", pooling=pooling), random_windows([2, 2, 9])
    torch.testing.assert_close(engine.forward(windows), engine.forward(windows), atol=0, rtol=0)


class Counting:
    """A feed-forward layer that notes how many rows it gets."""

    def __init__(self, inner: Any, seen: list[int]) -> None:
        self.inner, self.seen = inner, seen

    def gelu(self, hidden: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(hidden))
        return self.inner.gelu(hidden)  # type: ignore[no-any-return]


def test_only_the_first_tokens_go_through_the_last_feed_forward_layer() -> None:
    engine, seen = random_engine("bert", pooling="cls", kernel=PLAIN), []
    for block in engine.blocks:
        block.grow = Counting(block.grow, seen)  # type: ignore[assignment]
    engine.forward(random_windows([5, 6, 7]))
    assert seen == [18, 18, 3]


@pytest.mark.skipif(not onednn_works(torch.float32, 32, 16), reason="no oneDNN")
def test_onednn_sees_few_numbers_of_rows() -> None:
    """Each new one costs it milliseconds a matrix."""
    engine, seen = random_engine("bert", pooling="mean", kernel=ONEDNN), []
    engine.blocks[0].grow = Counting(engine.blocks[0].grow, seen)  # type: ignore[assignment]
    for length in (*range(1, 33), 257, 288, 510):
        engine.forward(random_windows([length]))
    engine.forward(random_windows([500, 500]))
    assert set(seen) == {16, 32, 288, 512, 1024}


@pytest.mark.skipif(not onednn_works(torch.float32, 32, 16), reason="no oneDNN")
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_no_token_of_a_text_alone_sees_the_rows_to_spare(pooling: str) -> None:
    model = random_model("bert")
    engine = engine_over(model, pooling=pooling, keep=2, kernel=ONEDNN)
    for length in (1, 5, 16, 17, 300):
        assert_exact(engine, model, random_windows([length]))


def test_rows_are_not_rounded_where_new_numbers_of_them_cost_nothing() -> None:
    timing = FormatTiming(ONEDNN, 100.0, 100.0, new_rows_ms=0.01)
    engine, seen = random_engine("bert", pooling="mean", timing=timing), []
    engine.blocks[0].grow = Counting(engine.blocks[0].grow, seen)  # type: ignore[assignment]
    engine.forward(random_windows([5, 8]))
    assert seen == [13]


@pytest.mark.parametrize("products_at", [(), (7,), TIMED_LENGTHS])
def test_attention_goes_the_way_that_was_timed_as_faster(
    products_at: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def spy(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        taken.append(key.shape[2])
        return by_fused_kernel(query, key, value)

    monkeypatch.setattr("model.kernels.attention.by_products", spy)
    timing = FormatTiming(PLAIN, 100.0, 100.0, products_at=products_at)
    windows = random_windows([3, 9, 17, 200])
    found = random_engine("bert", pooling="mean", timing=timing).forward(windows)
    assert set(taken) == {length for length in (3, 9, 17, 200) if nearest_length(length) in products_at}
    torch.testing.assert_close(found, random_engine("bert", pooling="mean").forward(windows), atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_text_whose_states_are_no_numbers_harms_no_other(pooling: str) -> None:
    engine, broken = random_engine("bert", pooling=pooling), 15
    windows = [window for window in random_windows([3, 3, 20, 33, 90]) if broken not in window.ids]
    windows = [*windows[:2], Window(9, [4, broken, 5], [0, 0, 0]), *windows[2:]]
    engine.embeddings.words = engine.embeddings.words.clone()
    engine.embeddings.words[broken] = float("nan")
    pooled, states = engine.both(windows, (1, 2))
    assert pooled[2].isnan().all()
    kept = [window for window in windows if broken not in window.ids]
    expected, expected_states = engine.both(kept, (1, 2))
    torch.testing.assert_close(torch.cat([pooled[:2], pooled[3:]]), expected, atol=1e-5, rtol=0)
    start = sum(len(window.ids) for window in windows[:2])
    torch.testing.assert_close(torch.cat([states[:start], states[start + 3 :]]), expected_states, atol=1e-2, rtol=0)


def test_between_two_timed_lengths_the_nearer_one_holds() -> None:
    assert [nearest_length(length) for length in (1, 9, 10, 19, 20, 40, 41, 82, 83, 5000)] == [
        *(7, 7, 13, 13, 29, 29, 57, 57, 119, 119)
    ]


@pytest.mark.parametrize("family", ["mpnet", "deberta-v2", "modernbert"])
def test_other_layers_are_not_taken_for_berts(family: str) -> None:
    assert read_shape(tiny_config(family).to_dict()) is None


@pytest.mark.parametrize("family", PACKABLE_FAMILIES)
@pytest.mark.parametrize(
    "change",
    [{"hidden_act": "relu", "activation": "relu"}, {"is_decoder": True}, {"position_embedding_type": "relative_key"}],
)
def test_a_variant_of_the_layers_is_not_taken_for_them(family: str, change: dict[str, Any]) -> None:
    config = tiny_config(family).to_dict()
    assert read_shape(config) is not None
    assert read_shape({**config, **change}) is None


def test_cost_counts_every_multiplication_and_addition_of_the_linear_layers() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = random_model("bert")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for layer in model.encoder.layer:  # the parts alone: attention and pooler do not count
            hidden = torch.zeros(1, 16)
            for part in ("query", "key", "value"):
                getattr(layer.attention.self, part)(hidden)
            layer.attention.output.dense(hidden)
            layer.output.dense(layer.intermediate.dense(hidden))
    assert linear_cost(model.config.to_dict()) == counter.get_total_flops()


def test_runs_of_equal_lengths_are_spans() -> None:
    assert spans_of([5, 5, 7, 5]) == [(0, 2, 5), (10, 1, 7), (17, 1, 5)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are given back on Linux only")
def test_what_products_have_copied_of_the_file_is_given_back(tmp_path: Path) -> None:
    model = random_model("bert", vocab_size=30_000)
    path = tmp_path / "model.safetensors"
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    shape = read_shape(model.config.to_dict())
    assert shape is not None
    weights = Weights(path)
    touched = float(weights["embeddings.word_embeddings.weight"].sum())

    def mapped() -> int:
        return sum(part.rss for part in psutil.Process().memory_maps() if part.path == str(path.resolve()))

    before = mapped()
    engine = PackedBert(shape, weights, keep=1, pooling="mean", kernel=ONEDNN)
    assert mapped() < before / 2
    windows = random_windows([5, 9], words=30_000)
    exact = PackedBert(shape, Weights(path), keep=1, pooling="mean").forward(windows)
    torch.testing.assert_close(engine.forward(windows), exact, atol=1e-4, rtol=1e-4)
    assert float(weights["embeddings.word_embeddings.weight"].sum()) == touched


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are given back on Linux only")
def test_a_file_that_is_gone_is_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"embeddings.weight": torch.ones(5, 3)}, path)
    own = path.rename(tmp_path / "moved.safetensors")
    weights = Weights(own)
    assert weights.let_go() > 0 and weights["embeddings.weight"].sum() == 15
    own.unlink()
    assert weights.let_go() == 0 and weights["embeddings.weight"].sum() == 15
