"""Where an encoder's CPU time goes, part by part, beside the least that each part could take on this machine
(`python -m bench.peak --roofline FILE`)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.support.fixtures import timed_formats, write_bert_base
from bench.support.texts import mixed_texts
from model.encoder.encoder import Encoder, find_base_model
from model.encoder.packed import PackedBert
from model.encoder.precision import DTYPES
from model.encoder.windows import in_chunks
from model.kernels.matrix_product import PACKS

PRODUCTS = ("query, key, value", "output", "grow with GELU", "shrink")
REST = "all else"
COPIED_BYTES = {"cache": 2 << 20, "memory": 256 << 20}
COLOURS = ("#4477aa", "#66ccee", "#228833", "#88bb66", "#ee6677", "#ccbb44", "#aa3377", "#bb99cc", "#999999", "#555555")


@dataclass(frozen=True)
class Machine:
    """Of one core. `peak`: floating-point operations a second in the encoder's format; `bandwidth`: bytes a second that
    are read and written over an array that fits into the cache, as a chunk's hidden states do."""

    peak: float
    bandwidth: float


@dataclass(frozen=True)
class Part:
    """CPU seconds of one part of a forward pass over all texts, its useful operations, and the bytes that it must read
    and write at least. Neither: nothing is known of what it could take."""

    name: str
    seconds: float
    flops: float = 0.0
    moved: float = 0.0

    def least(self, machine: Machine) -> float:
        """Seconds at the machine's peak or bandwidth, whichever is longer; as measured where nothing is known."""
        known = max(self.flops / machine.peak, self.moved / machine.bandwidth)
        return min(self.seconds, known) if known else self.seconds


class _Timed:
    """A product whose three ways are timed."""

    def __init__(self, linear: Any, timed: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._call, self.gelu, self.add = timed(linear), timed(linear.gelu), timed(linear.add)

    def __call__(self, hidden: torch.Tensor) -> Any:
        return self._call(hidden)


def measure_roofline(
    picture: Path, models: Sequence[str], texts: int, rounds: int, scratch: Path
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(title, rows) of the machine in its faster float format, of each encoder's parts and of what follows from them;
    the parts are drawn into `picture`. The larger shape reads a tenth of the texts."""
    choice = timed_formats()
    torch.set_num_threads(1)
    dtype = choice.float_serving
    machine = Machine(peak_of(dtype, choice.formats[dtype].kernel), bandwidth_of("cache"))
    speeds = {"format": dtype, "gflop/cpu_s": round(machine.peak / 1e9), "cache_gb/s": round(machine.bandwidth / 1e9)}
    yield "one core", [speeds | {"memory_gb/s": round(bandwidth_of("memory") / 1e9)}]
    found = []
    for model in models:
        small = model == "minilm"
        name, directory = ("MiniLM", find_base_model()) if small else ("BERT-base shape", write_bert_base(scratch))
        # `timings`: the engine takes what was timed.
        encoder = Encoder(directory, precision=dtype, timings=scratch)
        parts = measure_parts(encoder, mixed_texts(texts if small else -(-texts // 10)), rounds)
        found.append((name, parts))
        yield "parts", rows_of(name, parts, machine)
        yield "share of the peak", ceilings(name, parts, machine)
    picture.write_text(picture_of(found, machine), encoding="utf-8")


@torch.inference_mode()
def peak_of(dtype: str, kernel: str) -> float:
    """Operations a second of the engine's product, the best of several rounds over 1,024 rows of the layers' shapes."""
    best = 0.0
    for columns, rows in ((384, 1536), (768, 3072)):
        hidden, weight = (torch.randn(size, columns).to(DTYPES[dtype]) for size in (1024, rows))
        linear = PACKS[kernel](weight, weight.new_zeros(rows))
        for _ in range(20):
            began = time.process_time()
            linear(hidden)
            best = max(best, 2.0 * 1024 * rows * columns / (time.process_time() - began))
    return best


def bandwidth_of(kind: str, rounds: int = 5) -> float:
    """Bytes a second, read and written, of copying an array that fits into the `cache`, or only into `memory`."""
    source = torch.ones(COPIED_BYTES[kind] // 8)
    target, repeat = torch.empty_like(source), max(1, (64 << 20) // COPIED_BYTES[kind])
    best = float("inf")
    for _ in range(rounds + 1):
        began = time.process_time()
        for _ in range(repeat):
            target.copy_(source)
        best = min(best, (time.process_time() - began) / repeat)
    return COPIED_BYTES[kind] / best


def measure_parts(encoder: Encoder, texts: Sequence[str], rounds: int) -> list[Part]:
    """The parts of reading all texts, with their products, in the order of their time; `encoder` is of no more use."""
    engine: Any = encoder._engine
    assert isinstance(engine, PackedBert)
    wanted = [(text,) for text in texts]
    encoder.embed(wanted)
    spent: dict[str, float] = defaultdict(float)
    _watch(encoder, engine, spent)
    began = time.process_time()
    for _ in range(rounds):
        encoder.embed(wanted)
    spent[REST] = time.process_time() - began - sum(spent.values())
    windows = sorted(encoder._windows.split(wanted), key=lambda window: len(window.ids))
    chunks = sum(1 for _ in in_chunks(windows, engine.chunk_tokens))
    work = _work_of(encoder, [len(window.ids) for window in windows], chunks)
    parts = [Part(name, seconds / rounds, *work.get(name, ())) for name, seconds in spent.items()]
    return sorted(parts, key=lambda part: (part.name == REST, -part.seconds))


def _watch(encoder: Encoder, engine: Any, spent: dict[str, float]) -> None:
    def timed(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
            def run(*given: Any, **named: Any) -> Any:
                began = time.process_time()
                found = call(*given, **named)
                spent[name] += time.process_time() - began
                return found

            return run

        return wrap

    for block in engine.blocks:
        block.inputs = [_Timed(linear, timed(PRODUCTS[0])) for linear in block.inputs]
        for place, name in zip(("output", "grow", "shrink"), PRODUCTS[1:], strict=True):
            setattr(block, place, _Timed(getattr(block, place), timed(name)))
        for place in ("attention_norm", "output_norm"):
            setattr(block, place, timed("norms")(getattr(block, place)))
    attention = engine._attention
    engine._attention = lambda *given: timed("attention")(attention(*given))
    engine.embeddings, engine._pool = timed("embedding")(engine.embeddings), timed("pooling")(engine._pool)
    split: Any = encoder._windows
    split.split = timed("tokenising")(split.split)


def _work_of(encoder: Encoder, lengths: Sequence[int], chunks: int) -> dict[str, tuple[float, float]]:
    """(useful operations, bytes read and written at least) of each part; weights are read once a chunk."""
    engine: Any = encoder._engine
    width, inner, layers = engine.width, int(encoder.config["intermediate_size"]), engine.shape.layers
    size, tokens = torch.empty(0, dtype=engine.dtype).element_size(), sum(lengths)

    def product(columns: int, rows: int, read_too: int = 0) -> tuple[float, float]:
        moved = tokens * (columns + rows + read_too) + chunks * rows * columns
        return 2.0 * layers * tokens * rows * columns, float(layers * size * moved)

    hidden = float(tokens * width * size)
    found = (
        product(width, 3 * width),
        product(width, width, width),
        product(width, inner),
        product(inner, width, width),
    )
    return {
        **dict(zip(PRODUCTS, found, strict=True)),
        "attention": (4.0 * layers * width * sum(length**2 for length in lengths), 4 * layers * hidden),
        "norms": (0.0, 4 * layers * hidden),
        "pooling": (0.0, engine.keep * hidden),
        "embedding": (0.0, 3 * 4.0 * tokens * width),
    }


def rows_of(model: str, parts: Sequence[Part], machine: Machine) -> list[dict[str, Any]]:
    """A row per part: time, work, what it attains of the peak and of the bandwidth, the least that it could take."""
    total = sum(part.seconds for part in parts)
    rows = []
    for part in parts:
        of_peak = round(part.flops / part.seconds / machine.peak, 2) if part.flops else ""
        of_bandwidth = round(part.moved / part.seconds / machine.bandwidth, 2) if part.moved else ""
        row: dict[str, Any] = {"model": model, "part": part.name, "cpu_ms": round(1000 * part.seconds, 1)}
        row |= {"share": round(part.seconds / total, 3), "gflop": round(part.flops / 1e9, 1)}
        row |= {"mb": round(part.moved / 1e6), "of_peak": of_peak, "of_bandwidth": of_bandwidth}
        rows.append(row | {"least_ms": round(1000 * part.least(machine), 1)})
    return rows


def ceilings(model: str, parts: Sequence[Part], machine: Machine) -> list[dict[str, Any]]:
    """Share of the peak: as measured, and what it would be if parts took the least that they could."""
    flops = sum(part.flops for part in parts)

    def share(best: Callable[[Part], bool]) -> float:
        seconds = sum(part.least(machine) if best(part) else part.seconds for part in parts)
        return round(flops / seconds / machine.peak, 3)

    cases = {
        "as measured": share(lambda part: False),
        "attention at its least": share(lambda part: part.name == "attention"),
        "all but products at their least": share(lambda part: part.name not in PRODUCTS),
        "products at the peak, the others as measured": share(lambda part: part.name in PRODUCTS),
        "everything at its least": share(lambda part: True),
    }
    return [{"model": model, "if": case, "of_peak": found} for case, found in cases.items()]


def picture_of(found: Sequence[tuple[str, Sequence[Part]]], machine: Machine) -> str:
    """Two bars a model, as SVG: the parts' CPU time, and the least that each could take, on one scale."""
    lines, names = [], list(dict.fromkeys(part.name for _, parts in found for part in parts))
    colours = dict(zip(names, COLOURS, strict=False))
    for number, (model, parts) in enumerate(found):
        total = sum(part.seconds for part in parts)
        for bar, (title, length) in enumerate((("measured", None), ("least", machine))):
            left, top = 190.0, 14 + 64 * number + 24 * bar
            lines.append(f'<text x="180" y="{top + 14}" text-anchor="end">{model}, {title}</text>')
            for part in parts:
                wide = 560 * (part.least(length) if length else part.seconds) / total
                lines.append(
                    f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" height="20" fill="{colours[part.name]}"/>'
                )
                left += wide
    top = 24 + 64 * len(found)
    for place, name in enumerate(names):
        x, y = 10 + 150 * (place % 5), top + 20 * (place // 5)
        lines.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colours[name]}"/>')
        lines.append(f'<text x="{x + 17}" y="{y + 11}">{name}</text>')
    body = "\n  ".join(lines)
    style = 'font-family="sans-serif" font-size="13"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 770 {top + 45}" {style}>\n  {body}\n</svg>\n'
