"""Which matrix product, attention and chunk size the packed forward is fastest with: CPU seconds, variants in turn.

    python -m bench.speed.kernels [--texts 60] [--rounds 5] [--skip-large] [--json]

The first table is one product as the layers ask for it, the second whole forwards over real texts. `in use` marks what
the engine chooses on this machine (model/kernels/timing.py). One core.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.support.checkpoints import write_bert_base
from bench.support.report import show
from bench.support.texts import mixed_texts
from model.encoder.encoder import in_chunks
from model.encoder.engine import time_products
from model.encoder.packed import CPU_CHUNK, PackedBert
from model.encoder.padded import PaddedEncoder
from model.encoder.weights import Weights
from model.encoder.windows import Window, Windows
from model.kernels.choice import FP32
from model.kernels.matrix_product import ONEDNN, PACKS, PLAIN, OneDnnLinear, PlainLinear
from model.pretrained.architectures import linear_cost, read_shape
from model.pretrained.base_model import find_base_model, read_config, read_window

APART = "onednn, unfused"
TOKENS = (8, 45, 256, 1024)


class OneDnnApart(OneDnnLinear):
    """oneDNN's product, with activation and residual as operations of their own."""

    def gelu(self, hidden: Tensor) -> Tensor:
        return torch.ops.aten.gelu_(self(hidden))

    def add(self, hidden: Tensor, residual: Tensor) -> Tensor:
        return self(hidden).add_(residual)


KINDS = {PLAIN: PlainLinear, APART: OneDnnApart, ONEDNN: OneDnnLinear}


def cpu_seconds(calls: Mapping[str, Callable[[], Any]], rounds: int, repeat: int = 1) -> dict[str, float]:
    """Median CPU seconds of each call, in turn; the first call of each is not counted."""
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.process_time()
            for _ in range(repeat):
                call()
            seen[name].append((time.process_time() - began) / repeat)
    return {name: statistics.median(times) for name, times in seen.items()}


@torch.inference_mode()
def products(width: int, rounds: int) -> Iterator[dict[str, Any]]:
    """A row per matrix and number of tokens: microseconds and GFLOP/s of each way to compute it."""
    matrices = {
        "query": (width, width, "plain"),
        "grow": (4 * width, width, "gelu"),
        "shrink": (width, 4 * width, "add"),
    }
    for name, (rows, columns, kind) in matrices.items():
        weight, bias = torch.randn(rows, columns) / columns**0.5, torch.randn(rows)
        linears = {label: build(weight, bias) for label, build in KINDS.items()}
        for tokens in TOKENS:
            hidden, residual = torch.randn(tokens, columns), torch.randn(tokens, rows)
            calls = {label: _call(linear, kind, hidden, residual) for label, linear in linears.items()}
            flops = 2 * tokens * rows * columns
            found = cpu_seconds(calls, rounds, max(1, int(5e8 / flops)))
            row: dict[str, Any] = {"width": width, "product": f"{name} ({kind})", "tokens": tokens}
            for label, seconds in found.items():
                row[f"{label} us"], row[f"{label} GF/s"] = round(seconds * 1e6), round(flops / seconds / 1e9)
            yield row


def _call(linear: Any, kind: str, hidden: Tensor, residual: Tensor) -> Callable[[], Tensor]:
    if kind == "gelu":
        return lambda: linear.gelu(hidden)
    if kind == "add":
        return lambda: linear.add(hidden, residual.clone())  # F.linear and add_ would need one, too
    return lambda: linear(hidden)


def forwards(directory: Path, name: str, count: int, rounds: int) -> Iterator[dict[str, Any]]:
    """A row per engine: CPU seconds of all texts, tokens a second, GFLOP/s of the linear layers."""
    config = read_config(directory)
    texts: list[tuple[str, ...]] = [(text,) for text in mixed_texts(count)]
    windows = sorted(Windows(directory, read_window(directory, config)).split(texts), key=lambda w: len(w.ids))
    engines = dict(_engines(directory, config))
    calls = {label: _pass(engine, windows, tokens) for label, (engine, tokens) in engines.items()}
    found = cpu_seconds(calls, rounds)
    tokens, cost = sum(len(window.ids) for window in windows), linear_cost(config)
    for label, seconds in found.items():
        engine, chunk = engines[label]
        in_use = label == "packed" and engine.kernel
        yield {
            **{
                "model": name,
                "engine": label,
                "kernel": engine.kernel,
                "chunk": chunk,
                "texts": count,
                "tokens": tokens,
            },
            **{"cpu_s": round(seconds, 3), "tokens/cpu_s": round(tokens / seconds)},
            **{"GF/s": round(tokens * cost / seconds / 1e9, 1), "in use": "yes" if in_use else ""},
        }


def _engines(directory: Path, config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, int]]]:
    shape, path = read_shape(config), directory / "model.safetensors"
    assert shape is not None
    yield "transformers, padded", (PaddedEncoder(directory, None, keep=1, pooling="mean"), CPU_CHUNK)
    timing = time_products(config, torch.device("cpu"), None).formats[FP32]
    chosen = PackedBert(shape, Weights(path), keep=1, pooling="mean", timing=timing)
    yield "packed", (chosen, CPU_CHUNK)
    for kernel in KINDS:
        yield f"packed, {kernel}", (PackedBert(shape, Weights(path), keep=1, pooling="mean", kernel=kernel), CPU_CHUNK)
    for tokens in (512, 1024, 4096):
        yield f"packed, chunks of {tokens}", (chosen, tokens)
    padded = PackedBert(shape, Weights(path), keep=1, pooling="mean", attention="padded")
    yield "packed, one masked attention", (padded, CPU_CHUNK)
    cls = PackedBert(shape, Weights(path), keep=1, pooling="cls")
    yield "packed, cls", (cls, CPU_CHUNK)


def _pass(engine: Any, windows: Sequence[Window], tokens: int) -> Callable[[], None]:
    def run() -> None:
        for chunk in in_chunks(windows, tokens):
            engine.forward(chunk)

    return run


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=60, help="of MiniLM; a quarter of them for the larger shape")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-large", action="store_true", help="leave the BERT-base shape out")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    PACKS[APART] = OneDnnApart
    widths = (384,) if args.skip_large else (384, 768)
    show("products", [row for width in widths for row in products(width, args.rounds)], args.json)
    show("forwards", list(forwards(find_base_model(), "MiniLM", args.texts, args.rounds)), args.json)
    if not args.skip_large:
        with tempfile.TemporaryDirectory() as scratch:
            large = write_bert_base(Path(scratch))
            show("forwards", list(forwards(large, "BERT-base shape", max(4, args.texts // 4), args.rounds)), args.json)


if __name__ == "__main__":
    main()
