"""Times the products, the attention and a training step of one encoder layer, in every number format.

Every candidate runs in turn, and its fastest run counts, in CPU time: on a busy machine a slow run says nothing. What
is three times slower than the best in a first small trial is not timed further (emulated bfloat16).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from model.kernels.attention import KEY_STEP, TIMED_LENGTHS, SpanAttention
from model.kernels.choice import BF16, FBGEMM, FP32, INT8, EngineChoice, FormatTiming, ProductShape
from model.kernels.int8_product import InputRange, RangedInt8Linear, RowInt8Linear, int8_works
from model.kernels.int8_weight import int8_kernels
from model.kernels.matrix_product import ONEDNN, PACKS, PLAIN, Linear, onednn_works
from model.kernels.training_product import Product, find_product, multiply_plain

DTYPES = {FP32: torch.float32, BF16: torch.bfloat16}

TIMED_FLOPS = 0.25e9
"""Floating-point operations of one timed pass: 3 ms of a slow core, enough rows to tell formats apart."""

LEAST_ROWS, MOST_ROWS, TRIAL_ROWS = 32, 256, 16

GPU_ROWS = 4096
"""A GPU that gets so few rows as a CPU spends its time on starting its work, in every format the same."""

TRAINING_FLOPS, LEAST_TRAINING_ROWS = 1e9, 64
"""The same of a training step, whose weights are reordered in each: with 32 rows that is most of what is timed."""

GIVE_UP_FACTOR = 3.0
"""In the trial: what takes so many times as long as the best is given up."""

PACKING_WORTH = 1.15
"""How many times faster oneDNN's product must be: its weights are a copy in every process, torch's stay in the file.
In int8 beside FBGEMM's: one text costs it more, and a new number of rows half a millisecond (Zen 3)."""

TRAINING_WORTH = 1.1
"""How many times faster oneDNN's products must be, forwards and back, for a fine-tune in float32 to take them: its
steps have other numbers of tokens each time, for which oneDNN makes code, and the timing has one."""

TIMING_ROUNDS, TRAINING_ROUNDS = 4, 2

LAYER_TEXTS = ((24,), (48,), (16, 24, 32, 48, 64, 96, 128))
"""Lengths in tokens of the texts whose layer is timed as a whole: two that come alone, and a batch in which long ones
take their share of attention."""

LAYER_ROUNDS = 5

ATTENTION_ROWS = 256

Layer = list[Linear]
Call = Callable[[], object]
Name = TypeVar("Name", bound=Hashable)


def time_engine(shape: ProductShape, device: str) -> EngineChoice:
    """The timings of all formats with one thread."""
    began = time.perf_counter()
    place = torch.device(device)
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = dict(_layers(shape, place))
        rates, fast = _time_products(shape, layers, place)
        training = _time_training(shape, _training_ways(rates), place)
        formats = {}
        for name in (FP32, BF16):
            kernels = {kernel: rate for (form, kernel), rate in rates.items() if form == name}
            kernel = ONEDNN if kernels.get(ONEDNN, 0.0) > PACKING_WORTH * kernels[PLAIN] else PLAIN
            own = layers[name, kernel]
            learned = choose_training_kernel(training, name)
            formats[name] = FormatTiming(
                kernel,
                kernels[kernel],
                training.get((name, learned), 0.0),
                kernels,
                _time_attention(shape, DTYPES[name], place) if name in fast and place.type == "cpu" else (),
                _time_new_rows(own, shape, DTYPES[name], place) if kernel == ONEDNN else 0.0,
                training_kernel=learned,
            )
        if kernels := {kernel: rate for (form, kernel), rate in rates.items() if form == INT8}:
            quicker = kernels.get(INT8, 0.0) > PACKING_WORTH * kernels.get(FBGEMM, 0.0)
            kernel = INT8 if quicker else FBGEMM
            new_rows = _time_new_rows(layers[INT8, kernel], shape, torch.float32, place)
            formats[INT8] = FormatTiming(kernel, kernels[kernel], 0.0, kernels, (), new_rows)
            formats = _with_layers(formats, layers, shape, EngineChoice(formats).float_serving)
    return EngineChoice(formats, round(time.perf_counter() - began, 3))


def _with_layers(
    formats: Mapping[str, FormatTiming], layers: Mapping[tuple[str, str], Layer], shape: ProductShape, best: str
) -> dict[str, FormatTiming]:
    """With the time of a whole layer of the format `best` and of int8, whose attention is in that format."""
    cpu, products_at, attended = torch.device("cpu"), formats[best].products_at, DTYPES[best]
    attend = {lengths: SpanAttention(lengths, shape.heads, 0, products_at) for lengths in LAYER_TEXTS}
    calls = {}
    for name, kept in ((best, attended), (INT8, torch.float32)):
        layer = layers[name, formats[name].kernel]
        for lengths in LAYER_TEXTS:
            hidden = _rows(sum(lengths), shape.width, kept, cpu)
            calls[name, lengths] = _layer(layer, hidden, attend[lengths], attended)
    seconds = _fastest(calls, LAYER_ROUNDS, cpu)
    took = {name: 1000 * sum(seconds[name, lengths] for lengths in LAYER_TEXTS) for name in (best, INT8)}
    return {name: replace(own, layer_ms=round(took.get(name, 0.0), 4)) for name, own in formats.items()}


def _layer(layer: Layer, hidden: Tensor, attend: SpanAttention, attended: torch.dtype) -> Call:
    """A layer of `PackedBert` with attention and norms."""
    inputs, output, grow, shrink = layer
    ones = torch.ones(hidden.shape[1])
    zeros = torch.zeros(hidden.shape[1])

    def norm(rows: Tensor) -> Tensor:
        return F.layer_norm(rows, ones.shape, ones, zeros)

    def run() -> Tensor:
        query, key, value = inputs(hidden).to(attended).chunk(3, dim=1)
        rows = norm(output.add(attend(query, key, value), hidden.clone()))
        return norm(shrink.add(grow.gelu(rows), rows))

    return run


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def _layers(shape: ProductShape, device: torch.device) -> Iterator[tuple[tuple[str, str], Layer]]:
    """One layer's products by (format, kernel), for all that work here."""
    # One row repeated: values do not matter to the clock, and drawing them all would take longer than the timing.
    weights = [torch.randn(1, columns).expand(rows, columns).to(device) / columns for rows, columns in shape.matrices]
    for name, dtype in DTYPES.items():
        cast = [weight.to(dtype).contiguous() for weight in weights]
        for kernel in (PLAIN, ONEDNN) if device.type == "cpu" else (PLAIN,):
            if kernel == ONEDNN and not all(onednn_works(dtype, *matrix) for matrix in shape.matrices):
                continue
            pack = PACKS[kernel]
            yield (name, kernel), [pack(weight, weight.new_zeros(len(weight))) for weight in cast]
    if device.type == "cpu":
        for kernel in int8_kernels():
            if all(int8_works(*matrix, kernel) for matrix in shape.matrices):
                yield (INT8, kernel), _int8_layer(weights, kernel)


def _int8_layer(weights: Sequence[Tensor], kernel: str) -> Layer:
    *ranged, last = ((weight, weight.new_zeros(len(weight))) for weight in weights)
    ends = [weight.new_ones(weight.shape[1]) for weight, _ in ranged]
    seen = [InputRange(0 * one, -4 * one, 4 * one) for one in ends]
    first = [RangedInt8Linear(*own, range_, kernel=kernel) for own, range_ in zip(ranged, seen, strict=True)]
    return [*first, RowInt8Linear(*last, kernel)]


def _time_products(
    shape: ProductShape, layers: Mapping[tuple[str, str], Layer], device: torch.device
) -> tuple[dict[tuple[str, str], float], list[str]]:
    """GFLOP/s by (format, kernel), and the formats that were not given up."""

    def calls(rows: int, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Call]:
        inputs = {name: _rows(rows, shape.width, dtype, device) for name, dtype in DTYPES.items()}
        inputs[INT8] = inputs[FP32]
        return {key: _pass(layers[key], inputs[key[0]]) for key in keys}

    per_row = 2e-9 * sum(rows * columns for rows, columns in shape.matrices)
    trial = _fastest(calls(TRIAL_ROWS, list(layers)), 1, device)
    best = min(trial.values())
    kept = [key for key in layers if trial[key] < GIVE_UP_FACTOR * best or key == (FP32, PLAIN)]
    rows = GPU_ROWS
    if device.type == "cpu":
        rows = int(min(max(TIMED_FLOPS / (per_row * 1e9), LEAST_ROWS), MOST_ROWS)) // 16 * 16
    exact = _fastest(calls(rows, kept), TIMING_ROUNDS, device)
    rates = {key: round(per_row * TRIAL_ROWS / trial[key], 1) for key in layers}
    rates |= {key: round(per_row * rows / seconds, 1) for key, seconds in exact.items()}
    return rates, list(dict.fromkeys(name for name, _ in kept))


def _pass(layer: Layer, hidden: Tensor) -> Call:
    """The products of one layer of `PackedBert`, without attention and norms."""
    inputs, output, grow, shrink = layer
    width = hidden.shape[1]

    def run() -> Tensor:
        mixed = inputs(hidden)[:, :width].contiguous()
        rows = output.add(mixed, hidden.clone())
        return shrink.add(grow.gelu(rows), rows)

    return run


def choose_training_kernel(rates: Mapping[tuple[str, str], float], precision: str) -> str:
    """The matrix product of a fine-tune in this format, of GFLOP/s by (format, kernel)."""
    own, other = rates.get((precision, PLAIN), 0.0), rates.get((precision, ONEDNN), 0.0)
    return ONEDNN if other > TRAINING_WORTH * own else PLAIN


def _training_ways(rates: Mapping[tuple[str, str], float]) -> list[tuple[str, str]]:
    """What may be fastest in training, (format, kernel), of GFLOP/s in serving: there oneDNN's weights are reordered
    beforehand, so what it does not win there it loses here; in bfloat16 autocast takes oneDNN by itself."""
    best = {name: max(rate for (own, _), rate in rates.items() if own == name) for name in DTYPES}
    ways = [(FP32, PLAIN)]
    if rates.get((FP32, ONEDNN), 0.0) > rates[FP32, PLAIN]:
        ways.append((FP32, ONEDNN))
    if best[BF16] > best[FP32] / 2:
        ways.append((BF16, PLAIN))
    return ways


def _time_training(
    shape: ProductShape, candidates: Sequence[tuple[str, str]], device: torch.device
) -> dict[tuple[str, str], float]:
    """GFLOP/s by (format, kernel) of the feed-forward part with its norm, forwards and backwards, as a training step
    computes it; nothing where there is nothing to choose from."""
    ways: dict[tuple[str, str], Product] = {way: find_product(way[1]) for way in candidates}
    if (FP32, ONEDNN) in ways and ways[FP32, ONEDNN] is multiply_plain:
        del ways[FP32, ONEDNN]
    if len(ways) < 2:
        return {}
    rows = int(min(max(TRAINING_FLOPS / (12 * shape.width * shape.inner), LEAST_TRAINING_ROWS), MOST_ROWS)) // 16 * 16
    with torch.inference_mode(False), torch.enable_grad():
        hidden = torch.randn(rows, shape.width, device=device, requires_grad=True)
        grow = torch.nn.Linear(shape.width, shape.inner, device=device)
        shrink = torch.nn.Linear(shape.inner, shape.width, device=device)

        def step(half: bool, multiply: Product) -> Call:
            def run() -> None:
                with torch.autocast(device.type, torch.bfloat16, enabled=half):
                    grown = multiply(shrink, F.gelu(multiply(grow, hidden))) + hidden
                    F.layer_norm(grown, grown.shape[1:]).square().sum().backward()

            return run

        calls = {way: step(way[0] == BF16, multiply) for way, multiply in ways.items()}
        seconds = _fastest(calls, TRAINING_ROUNDS, device)
    work = 12e-9 * rows * shape.width * shape.inner
    return {way: round(work / found, 1) for way, found in seconds.items()}


def _time_attention(shape: ProductShape, dtype: torch.dtype, device: torch.device) -> tuple[int, ...]:
    """The lengths of TIMED_LENGTHS at which two batched products beat torch's fused kernel; none on a GPU, which gets
    one padded call for all."""
    if device.type != "cpu":
        return ()
    found = []
    for length in TIMED_LENGTHS:
        lengths = [length] * max(1, ATTENTION_ROWS // length)
        # With rows behind them, as most sequences have others.
        parts = _rows(sum(lengths) + KEY_STEP, 3 * shape.width, dtype, device).chunk(3, dim=1)
        ways = {at: _bind(SpanAttention(lengths, shape.heads, KEY_STEP, at), parts) for at in (TIMED_LENGTHS, ())}
        seconds = _fastest(ways, TIMING_ROUNDS, device)
        if seconds[TIMED_LENGTHS] < seconds[()]:
            found.append(length)
    return tuple(found)


def _time_new_rows(layer: Layer, shape: ProductShape, dtype: torch.dtype, device: torch.device) -> float:
    """Milliseconds that a first product with some number of rows takes longer than a second one; the median of three
    numbers that no other timing has."""
    extra = []
    for rows in (19, 37, 53):
        hidden = _rows(rows, shape.width, dtype, device)
        first, second = (_seconds(_bind(layer[2], [hidden]), device) for _ in range(2))
        extra.append(first - second)
    return round(1000 * sorted(extra)[1], 3)


def _bind(call: Callable[..., object], arguments: Sequence[Tensor]) -> Call:
    return lambda: call(*arguments)


def _rows(count: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.randn(count, width, device=device).to(dtype)


def _fastest(calls: Mapping[Name, Call], rounds: int, device: torch.device) -> dict[Name, float]:
    """Seconds of each call's fastest run, in turn; a first run of each is not counted (its code is made)."""
    best = {name: float("inf") for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            seconds = _seconds(call, device)
            if number:
                best[name] = min(best[name], seconds)
    return best


def _seconds(call: Call, device: torch.device) -> float:
    """On a CPU those of this thread, which does all the work: what else the machine does must not choose."""
    if device.type == "cuda":
        began = time.perf_counter()
        call()
        torch.cuda.synchronize(device)
        return time.perf_counter() - began
    began = time.thread_time()
    call()
    return time.thread_time() - began
