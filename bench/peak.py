"""How much of one core's peak the encoder uses: useful FLOPs per CPU second against the fastest matrix product.

    python -m bench.peak [--rounds 5] [--texts 200] [--models minilm,bert-base] [--json]
    python -m bench.peak --kernels [--rounds 5] [--texts 60] [--models minilm,bert-base] [--json]
    python -m bench.peak --roofline FILE [--rounds 5] [--texts 60] [--models minilm,bert-base] [--json]
    python -m bench.peak --peers [--rounds 5] [--sizes 1,100,1000] [--threads 1] [--engines "openvino int8"] [--json]

The peak is the best of three products (`F.linear`, oneDNN with prepacked weights, `torch.mm`) on the models' own shapes
with 1,024 rows, per number format that the machine can do, in turn with the engines; `chosen`: the format of
PRECISION=auto, whose share is held against the bar. Useful FLOPs are those of the linear layers and of attention over
real tokens; padding, softmax, norms, GELU and tokenising take time but do not count. `pipeline` is the resident
`transformers` pipeline with batch size 1: peak over its rate is the most that any engine could win over it.

`--kernels`: which matrix product, attention and chunk size the packed forward is fastest with, variants in turn: one
product as the layers ask for it, then whole forwards over real texts. `in use` marks what the engine chooses on this
machine (model/kernels/timing.py). `--roofline`: each part's time in the faster float format, what it attains of the
peak and of bandwidth, the least it could take, and the share of the peak that would follow; drawn into FILE, an SVG.

`--peers`: each number format beside ONNX Runtime, OpenVINO (requirements-bench.txt) and a resident pipeline on the same
texts, in turn; how each is set up is told in tests/support/encoder_peers.py. `cosine`: of the mean of the last layer to
float32's. Models that they need are kept in artifacts/peers. 1,000 texts run in every second round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.support.fixtures import timed_formats, usable_formats, write_bert_base, write_classifier
from bench.support.load import middle
from bench.support.report import LIST_OF_COUNTS, command, judge, list_of, numbers, show
from bench.support.served import cores, pinned
from bench.support.texts import mixed_texts
from model.encoder.encoder import Encoder, find_base_model
from model.encoder.engine import time_products
from model.encoder.packed import CPU_CHUNK, PackedBert
from model.encoder.padded import PaddedEncoder
from model.encoder.weights import Weights
from model.encoder.windows import Window, Windows, in_chunks
from model.kernels.choice import BF16, FP32, INT8
from model.kernels.matrix_product import ONEDNN, PACKS, PLAIN, OneDnnLinear, PlainLinear
from model.pretrained.architectures import BaseConfig, linear_cost, read_shape
from model.pretrained.base_model import read_config
from model.pretrained.reading import read_window
from tests.support.encoder_peers import ENGINES, OURS, EngineProcess, Setup, missing
from tests.support.encoder_roofline import measure_roofline
from tests.support.encoder_rounds import compare_peers, cosine_to, rows_of_peers
from tests.support.peer_server import build_pipeline
from tests.support.rig import ROOT

ROWS = 1024
SECONDS = 0.4
"""Of CPU time a product and round."""

SHAPES = {"384x1536": (384, 1536), "768x3072": (768, 3072)}
BARS = {"MiniLM": 0.60, "BERT-base shape": 0.75}
"""The bar of docs/performance.md, of the bf16 peak; without bf16 in the hardware of the fp32 peak."""

SIZES = {"minilm": "MiniLM", "bert-base": "BERT-base shape"}
APART = "onednn, unfused"
TOKENS = (8, 45, 256, 1024)
WIDTHS = {"minilm": 384, "bert-base": 768}

Row = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """What a forward pass of a BERT encoder multiplies."""

    layers: int
    width: int
    inner: int

    def flops(self, tokens: int) -> float:
        """Of one sequence: 2 per weight and token, and 4 * tokens^2 * width a layer for scores and their mixing."""
        linear = 2 * tokens * (4 * self.width**2 + 2 * self.width * self.inner)
        return float(self.layers * (linear + 4 * tokens**2 * self.width))


def shape_of(directory: Path) -> Shape:
    """From the encoder's config."""
    config = read_config(directory)
    return Shape(int(config["num_hidden_layers"]), int(config["hidden_size"]), int(config["intermediate_size"]))


def products(dtype: str, inputs: int, outputs: int) -> dict[str, Callable[[], Any]]:
    """The ways to multiply [ROWS, inputs] by [inputs, outputs]; one that this torch lacks is left out."""
    if dtype == INT8:
        return {"oneDNN prepacked": int8_product(inputs, outputs)}
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    hidden, weight = torch.randn(ROWS, inputs).to(kind), torch.randn(outputs, inputs).to(kind)
    bias, turned = torch.zeros(outputs, dtype=kind), weight.t()
    ways: dict[str, Callable[[], Any]] = {
        "F.linear": lambda: F.linear(hidden, weight, bias),
        "torch.mm": lambda: torch.mm(hidden, turned),
    }
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        multiply = torch.ops.mkldnn._linear_pointwise
        multiply(hidden, packed, bias, "none", [], "")
        ways["oneDNN prepacked"] = lambda: multiply(hidden, packed, bias, "none", [], "")
    except (RuntimeError, AttributeError):
        pass
    return ways


def int8_product(inputs: int, outputs: int) -> Callable[[], Any]:
    """Of hidden states that are bytes already, as int8_product.py asks for it."""
    hidden = torch.randint(0, 256, (ROWS, inputs), dtype=torch.uint8)
    packed = torch.ops.onednn.qlinear_prepack(torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8), None)
    weight = (packed, torch.ones(outputs), torch.zeros(outputs, dtype=torch.int32))
    rest: tuple[Any, ...] = (torch.zeros(outputs), 1.0, 0, torch.float32, "none", [], "none")
    return lambda: torch.ops.onednn.qlinear_pointwise(hidden, 1.0, 128, *weight, *rest)


def flops_per_second(work: Callable[[], Any], flops: float, seconds: float) -> float:
    """GFLOP per CPU second of `work`, repeated for so many CPU seconds, once at least."""
    began, count = time.process_time(), 0
    while (took := time.process_time() - began) < seconds or not count:
        work()
        count += 1
    return flops * count / took / 1e9


@dataclass(frozen=True)
class Candidate:
    """An engine with its texts: `run()` reads all of them, which is `flops` of useful work; `warm()` reads one."""

    model: str
    engine: str
    format: str
    warm: Callable[[], Any]
    run: Callable[[], Any]
    flops: float


def candidates(model: str, texts: Sequence[str], scratch: Path, formats: Sequence[str]) -> Iterator[Candidate]:
    """Our encoder in each number format, and the pipeline on fewer of the same texts."""
    directory = find_base_model() if model == "minilm" else write_bert_base(scratch / "encoder")
    shape, name = shape_of(directory), SIZES[model]
    few = list(texts[: max(1, len(texts) // 4)])
    work = useful(shape, few)
    for precision in formats:
        embed = partial(_embed, Encoder(directory, precision=precision, timings=scratch))
        warm = partial(embed, few[:1])
        yield Candidate(name, "understudy", precision, warm, partial(embed, texts), useful(shape, texts))
        yield Candidate(name, "understudy, 1 text", precision, warm, partial(_each, embed, few), work)
    pipeline = build_pipeline(str(write_classifier(directory, scratch / f"{model}-classifier", ["a", "b"])))
    yield Candidate(name, "pipeline, batch 1", FP32, partial(pipeline, few[:1]), partial(pipeline, few), work)


def _embed(encoder: Encoder, texts: Sequence[str]) -> Any:
    return encoder.embed([(text,) for text in texts])


def _each(embed: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> None:
    for text in texts:
        embed([text])


def useful(shape: Shape, texts: Sequence[str]) -> float:
    """FLOPs of reading all texts, special tokens included."""
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(find_base_model() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return sum(shape.flops(len(encoding.ids)) for encoding in tokenizer.encode_batch(list(texts)))


def measure(
    models: Sequence[str], count: int, rounds: int, scratch: Path, formats: Sequence[str]
) -> tuple[list[Row], Any]:
    """(rows of the products, rates of the engines), all measured in turn."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    texts = mixed_texts(count)
    # A large model would else take most of the time: it reads a fifth of the texts.
    counts = {"minilm": count, "bert-base": -(-count // 5)}
    engines = [one for model in models for one in candidates(model, texts[: counts[model]], scratch, formats)]
    ways = {
        (dtype, name, way): (work, 2.0 * ROWS * shape[0] * shape[1])
        for dtype in formats
        for name, shape in SHAPES.items()
        for way, work in products(dtype, *shape).items()
    }
    rates: dict[Any, list[float]] = defaultdict(list)
    for one in engines:
        one.warm()
    with torch.inference_mode():
        for _ in range(rounds):
            for key, (work, flops) in ways.items():
                rates[key].append(flops_per_second(work, flops, SECONDS))
            for one in engines:
                rates[one].append(flops_per_second(one.run, one.flops, 0.0))
    gemms = [
        {"format": dtype, "shape": f"{ROWS}x{name}", "by": way, "gflop/cpu_s": middle(rates[dtype, name, way])}
        for dtype, name, way in ways
    ]
    return gemms, [(one, middle(rates[one])) for one in engines]


def rate_engines(gemms: Sequence[Row], engines: Sequence[tuple[Candidate, float]], chosen: str) -> list[Row]:
    """Each engine's fraction of the rate of its format's best product, with the bar next to ours; the pipeline is held
    against that of the chosen format."""
    rows = []
    for one, rate in engines:
        ours = one.engine.startswith("understudy")
        of = one.format if ours else chosen
        best = max((row for row in gemms if row["format"] == of), key=lambda row: float(row["gflop/cpu_s"]))
        peak, mark = float(best["gflop/cpu_s"]), ours and of == chosen
        row: Row = {"model": one.model, "engine": one.engine, "format": one.format, "chosen": "chosen" if mark else ""}
        row |= {"gflop/cpu_s": rate, "fraction": round(rate / peak, 3)}
        row |= judge(rate / peak, ">=", BARS[one.model]) if mark and one.engine == "understudy" else {}
        row |= {"peak_over_it": round(peak / rate, 2), "peak": f"{of} {peak:.0f} {best['by']} {best['shape']}"}
        rows.append(row)
    return rows


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
def kernel_products(width: int, rounds: int) -> Iterator[dict[str, Any]]:
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


def _engines(directory: Path, config: BaseConfig) -> Iterator[tuple[str, tuple[Any, int]]]:
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


def measure_kernels(models: Sequence[str], texts: int, rounds: int, scratch: Path) -> Iterator[tuple[str, list[Row]]]:
    """(title, rows) of the products, then of the forwards; the larger shape reads a quarter of the texts."""
    torch.set_num_threads(1)
    PACKS[APART] = OneDnnApart
    yield "products", [row for model in models for row in kernel_products(WIDTHS[model], rounds)]
    for model in models:
        directory = find_base_model() if model == "minilm" else write_bert_base(scratch)
        count = texts if model == "minilm" else max(4, texts // 4)
        yield "forwards", list(forwards(directory, SIZES[model], count, rounds))


def measure_peers(args: argparse.Namespace) -> Iterator[tuple[str, list[Row]]]:
    """(title, rows): each engine's cost by texts at once, and who is the fastest."""
    slow = {BF16} - set(usable_formats(choice := timed_formats()))
    wanted = [name for name in args.engines.split(",") if name.split()[-1] not in slow]
    for name in [name for name in wanted if missing(name)]:
        print(f"{name} is left out: pip install -r requirements-bench.txt (no {', '.join(missing(name))})", flush=True)
    if not (engines := [name for name in wanted if not missing(name)]):
        raise SystemExit("nothing measured: no engine is left")
    setups = [Setup(name, find_base_model(), ROOT / "artifacts" / "peers", args.threads) for name in engines]
    with ExitStack() as stack, pinned(*cores()[: args.threads]):
        opened = {setup.engine: stack.enter_context(EngineProcess(setup)) for setup in setups}
        found = compare_peers(opened, numbers(args.sizes), args.rounds)
        some = mixed_texts(60, seed=2)
        cosines = {name: cosine_to(opened.get(f"{OURS} {FP32}"), opened[name], some) for name in engines}
    return rows_of_peers(found, cosines, f"{OURS} {choice.serving}", args.threads)


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("--roofline", type=Path)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--sizes", type=LIST_OF_COUNTS, default="1,100,1000", help="of --peers: texts at once")
    parser.add_argument("--threads", type=int, default=1, help="of --peers")
    parser.add_argument("--engines", type=list_of(ENGINES), default=",".join(ENGINES), help="of --peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int)
    parser.add_argument("--models", type=list_of(SIZES), default=",".join(SIZES))
    args = parser.parse_args()
    if args.peers:
        for title, rows in measure_peers(args):
            show(title, rows, args.json)
        return
    models, choice = args.models.split(","), timed_formats()
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        if args.kernels or args.roofline:
            tables: Any = partial(measure_roofline, args.roofline) if args.roofline else measure_kernels
            for title, rows in tables(models, args.texts or 60, args.rounds, Path(scratch)):
                show(title, rows, args.json)
            return
        gemms, engines = measure(models, args.texts or 200, args.rounds, Path(scratch), usable_formats(choice))
    show("matrix products of one core", gemms, args.json)
    show("useful work of the engines", rate_engines(gemms, engines, choice.serving), args.json)


if __name__ == "__main__":
    main()
