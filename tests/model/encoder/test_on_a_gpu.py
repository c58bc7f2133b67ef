"""What a GPU would be given, tried on torch's `meta` device, which knows shapes and formats and computes nothing: no
GPU is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from model.encoder import engine as engines
from model.encoder.encoder import Encoder
from model.encoder.engine import Engine, training_kernel, training_precision
from model.encoder.packed import CUDA_CHUNK, PackedBert
from model.encoder.padded import PaddedEncoder
from model.encoder.weights import Weights
from model.encoder.windows import in_chunks
from model.kernels import timing
from model.kernels.attention import spans_of
from model.kernels.choice import BF16, FP32, INT8, EngineChoice, FormatTiming, ProductShape
from model.kernels.matrix_product import PLAIN
from model.pretrained.architectures import read_shape
from model.pretrained.base_model import read_config
from model.training.layers.packed_layer import attend
from tests.model.conftest import TinyModel
from tests.model.encoder.test_packed import random_windows

META = torch.device("meta")
DTYPES = {FP32: torch.float32, BF16: torch.bfloat16}
ON_CPUS_ONLY = ("mkldnn", "onednn", "quantized", "fbgemm")
LENGTHS = [1, 4, 4, 20, 39]


class Device(TorchDispatchMode):
    """Notes which operators run there and the formats of products; what is fetched from there is zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[str] = []
        self.products: set[torch.dtype] = set()
        self.fetched = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        self.operators.append(str(func))
        if named.get("device") == torch.device("cpu") and args and isinstance(args[0], Tensor) and args[0].is_meta:
            self.fetched += 1
            return torch.zeros(args[0].shape, dtype=named.get("dtype") or args[0].dtype)
        if str(func).startswith(("aten._local_scalar_dense", "aten.item", "aten.is_nonzero")):
            return False  # transformers asks whether a batch has no padding
        result = func(*args, **named)
        if any(name in str(func) for name in ("mm", "scaled_dot_product")):
            outputs = result if isinstance(result, tuple) else (result,)
            assert all(one.is_meta for one in outputs if isinstance(one, Tensor) and one.dim() > 1), func
            self.products.add(outputs[0].dtype)
        return result


class InMemory(Weights):
    """Tensors that were read before: there is no mapping from the file to another device."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._kept = load_file(path)

    def __getitem__(self, name: str) -> Tensor:
        return self._kept[name]

    def let_go(self) -> int:
        return 0


@contextmanager
def device() -> Iterator[Device]:
    with Device() as found:
        yield found
    assert not [name for name in found.operators if any(own in name for own in ON_CPUS_ONLY)]


def open_there(tiny_model: TinyModel, way: str, precision: str, pooling: str) -> Engine:
    directory, _ = tiny_model("bert", pooling=pooling)
    if way == "padded":
        return PaddedEncoder(directory, None, keep=2, pooling=pooling, precision=precision, device=META)
    shape = read_shape(read_config(directory))
    assert shape is not None
    weights = InMemory(directory / "model.safetensors")
    return PackedBert(shape, weights, keep=2, pooling=pooling, precision=precision, device=META)


@pytest.mark.parametrize("precision", [FP32, BF16])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("way", ["packed", "padded"])
def test_texts_are_read_in_one_masked_attention_a_layer_and_answered_in_float32_on_the_cpu(
    tiny_model: TinyModel, way: str, pooling: str, precision: str
) -> None:
    engine = open_there(tiny_model, way, precision, pooling)
    windows = random_windows(LENGTHS)
    with device() as seen:
        pooled = engine.forward(windows)
    assert (pooled.shape, pooled.dtype, pooled.device.type) == ((5, 2, engine.width), torch.float32, "cpu")
    assert seen.products == {DTYPES[precision]}
    assert sum("scaled_dot_product" in name or "_softmax" in name for name in seen.operators) == 3, "one a layer"
    assert seen.fetched == 1
    if way == "padded":
        return  # which tokens are there it asks the device
    with device():
        pooled, states = engine.both(windows, (0, 3))
    assert (states.shape, states.dtype) == ((sum(LENGTHS), 2, engine.width), torch.float16)
    assert states.device.type == pooled.device.type == "cpu"


def test_texts_are_sent_by_length_in_large_portions_and_come_back_in_the_order_asked(tiny_model: TinyModel) -> None:
    encoder = Encoder(tiny_model("bert")[0])
    texts = [(" ".join("abcd"[(row + place) % 4] for place in range(1 + row * 7 % 11)),) for row in range(40)]
    alone = np.concatenate([encoder.embed([text]) for text in texts])
    encoder._engine.chunk_tokens = CUDA_CHUNK
    np.testing.assert_allclose(encoder.embed(texts), alone, atol=1e-5)
    windows = random_windows([40] * 2000)
    assert [len(chunk) for chunk in in_chunks(windows, CUDA_CHUNK)] == [409] * 4 + [364]


@pytest.mark.parametrize("precision", [FP32, BF16])
def test_a_fine_tunes_attention_is_padded_and_asks_the_gpu_nothing(precision: str) -> None:
    lengths = [3, 3, 5]
    query, key, value = (
        torch.zeros(sum(lengths), 16, dtype=DTYPES[precision], device=META, requires_grad=True) for _ in range(3)
    )
    with device() as seen:
        mixed = attend(query, key, value, spans_of(lengths), heads=2, rate=0.1)
        mixed.float().sum().backward()
    assert mixed.shape == query.shape and mixed.dtype == DTYPES[precision] and seen.fetched == 0
    assert query.grad is not None and query.grad.is_meta and query.grad.dtype == DTYPES[precision]


SHAPE = ProductShape(16, 32, 2)


def test_formats_of_cpus_are_not_timed_there() -> None:
    assert set(dict(timing._layers(SHAPE, META))) == {(FP32, PLAIN), (BF16, PLAIN)}


def test_formats_of_cpus_are_not_chosen_there(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is there a format that gradients would have to be scaled in."""
    config = read_config(tiny_model("bert")[0])
    gpu = torch.device("cuda")
    timed = {name: FormatTiming(PLAIN, rate, rate, {PLAIN: rate}) for name, rate in ((FP32, 100.0), (BF16, 400.0))}
    choice = EngineChoice(timed)
    monkeypatch.setattr(engines, "time_products", lambda config, device, folder: choice)
    for wanted in ("auto", INT8):
        assert engines._serving(wanted, choice, gpu, packed=True) == BF16
        assert engines._serving(wanted, choice, gpu, packed=False) == BF16
        assert training_precision(wanted, config, gpu, None) == BF16
    assert engines._serving(INT8, None, gpu, packed=True) == FP32
    assert {training_kernel(name, config, gpu, None) for name in (FP32, BF16)} == {PLAIN}
    assert set(timing.DTYPES.values()) == {torch.float32, torch.bfloat16}
