"""Where the time goes, as pictures: of a prediction (flame graphs, the engine's operators) and of a training step.

    python -m bench.profiles [--only serving,finetune] [--out docs/profiles] [--json]
    python -m bench.profiles --only task [--task-picture FILE] [--json]

`serving`: py-spy looks at the running web process from outside, without stopping it. A sample belongs to the stage of
the innermost function that is in the table below; a thread's CPU time is split as its samples are.

`task`: a request of one task alone: its flame graph, its stages, and all of it beside the bare forward pass. A thread
that waits for the core or the interpreter counts as busy where it waits: handing over looks dearer than it is.

`finetune`: a step of the product's loop in both number formats, by what its operators are for, and the share of it
that the same matrix products take alone (`python -m bench.finetune --step` prints it as well).
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from bench import finetune
from bench.serving import Bench
from bench.support.load import Load, Sender, middle, send
from bench.support.report import command, describe_machine, judge, kind_of, show
from bench.support.served import Server, pinned, split_by_stage, thread_seconds
from bench.support.texts import mixed_texts, read_split
from tests.support.rig import ROOT

if TYPE_CHECKING:
    from model.training.tuner import FineTuner

SECONDS = 8
RATE = 500
"""Samples a second."""


def profile_serving(bench: Bench, directory: Path, seconds: int = SECONDS) -> list[dict[str, Any]]:
    """Draws the three pictures; the stages of a request of one task, in CPU milliseconds.

    Raises RuntimeError when py-spy may not look at other processes (it needs ptrace, in a container SYS_PTRACE)."""
    directory.mkdir(parents=True, exist_ok=True)
    server = bench.servers["ours"]
    texts = iter(mixed_texts(20_000))
    with pinned(bench.cores[1]):
        with Sender(server, texts, bench.labels, 1):
            record(server, directory / "predict-1-task.svg", "flamegraph", seconds)
        with Sender(server, texts, bench.labels, 1000):
            record(server, directory / "predict-1000-tasks.svg", "flamegraph", seconds)
        rows = stages_of(server, texts, bench.labels, seconds)
        draw_engine(directory / "engine.png")
    return rows


def record(server: Server, path: Path, kind: str, seconds: int, *more: str) -> None:
    """py-spy on the process that computes, into `path`."""
    command = [str(Path(sys.executable).parent / "py-spy"), "record", "--pid", str(server.worker().pid)]
    command += ["--duration", str(seconds), "--rate", str(RATE), "--nonblocking", "--format", kind]
    done = subprocess.run([*command, *more, "--output", str(path)], capture_output=True, text=True)
    if done.returncode or not path.is_file():
        raise RuntimeError(f"py-spy cannot look at the web process: {done.stderr[-500:]}")
    if kind == "flamegraph":  # its title is the command line, with this machine's paths
        title = re.escape(" ".join([*command, *more, "--output", str(path)]))
        path.write_text(re.sub(title, path.stem, path.read_text(encoding="utf-8")), encoding="utf-8")


def stages_of(server: Server, texts: Iterator[str], labels: Sequence[str], seconds: int) -> list[dict[str, Any]]:
    """One row per stage of a request of one task, in CPU milliseconds."""
    worker = server.worker().pid
    with tempfile.TemporaryDirectory() as scratch:
        with Sender(server, texts, labels, 1) as sender:
            whole, threads, sent = server.cpu_seconds(), thread_seconds(worker), sender.requests
            record(server, Path(scratch) / "stacks", "raw", seconds, "--threads")
            after = thread_seconds(worker)
            whole, count = server.cpu_seconds() - whole, max(1, sender.requests - sent)
        lines = (Path(scratch) / "stacks").read_text(encoding="utf-8").splitlines()
    spent = split_by_stage(lines, {thread: after[thread] - threads.get(thread, 0.0) for thread in after})
    spent["Redis, gunicorn's master"] = whole - sum(spent.values())
    return [
        {"stage": stage, "cpu_ms": round(took / count * 1000, 2), "share": round(took / whole, 3)}
        for stage, took in (*spent.most_common(), ("all", whole))
    ]


ASKED = 60
"""Requests of a round."""

MOST_TIMES = 2.0
"""The bar: all of a request of one task costs so many times the bare forward pass at most."""


def profile_task(bench: Bench, picture: Path, seconds: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draws the flame graph of requests of one task; their stages, and all of such a request beside the bare forward
    pass over the same texts: rounds in turn, each of texts that nobody has read."""
    from model.encoder.encoder import Encoder, find_base_model

    server, texts, load = bench.servers["ours"], iter(mixed_texts(20_000)), Load(1, ASKED)
    encoder = Encoder(find_base_model(), precision="auto", timings=bench.ours.data_dir if bench.ours else None)
    with pinned(bench.cores[1]):
        with Sender(server, texts, bench.labels, 1):
            record(server, picture, "flamegraph", seconds)
        stages = stages_of(server, texts, bench.labels, seconds)
    served, bare = [], []
    for _ in range(ROUNDS):
        asked = list(itertools.islice(texts, ASKED))
        with pinned(bench.cores[1]):
            served.append(send(server, load.bodies(iter(asked), bench.labels)).cpu_ms)
        with pinned(bench.cores[0]):
            windows = [encoder._windows.split([(text,)]) for text in asked]
            began = time.thread_time()
            for window in windows:
                encoder._engine.forward(window)
            bare.append((time.thread_time() - began) / ASKED * 1000)
    times = middle([whole / alone for whole, alone in zip(served, bare, strict=True)], 2)
    row = {"format": encoder.precision, "request_cpu_ms": middle(served, 2), "bare_forward_cpu_ms": middle(bare, 2)}
    return stages, [{**row, "times": times, **judge(times, "<=", MOST_TIMES)}]


def draw_engine(path: Path, count: int = 100) -> None:
    """Bars: the share of each torch operator, of many texts in one call and of single texts."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from model.encoder.encoder import Encoder, find_base_model

    encoder = Encoder(find_base_model(), precision="auto")
    texts = [(text,) for text in mixed_texts(count)]
    works = {
        f"{count} texts in one call": lambda: encoder.embed(texts),
        "single texts": lambda: [encoder.embed([text]) for text in texts[: count // 5]],
    }
    figure, axes = pyplot.subplots(1, 2, figsize=(13, 4), constrained_layout=True)
    for axis, (title, work) in zip(axes, works.items(), strict=True):
        shares = operator_shares(work)
        names = list(shares)[:10][::-1]
        shown = [name.removeprefix("aten::").removeprefix("_")[:32] for name in names]
        bars = axis.barh(shown, [100 * shares[name] for name in names], color="#4477aa")
        axis.bar_label(bars, fmt="%.1f", padding=3)
        axis.set(title=title, xlabel="% of the operators' CPU time", xlim=(0, 110))
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def operator_shares(work: Any) -> dict[str, float]:
    """Operator -> its own share of the CPU time spent in operators, largest first."""
    from torch.profiler import ProfilerActivity, profile

    work()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    own = Counter({event.key: event.self_cpu_time_total for event in found.key_averages()})
    total = sum(own.values())
    return {name: time / total for name, time in own.most_common()}


ROUNDS, STEPS = 3, 8
KINDS: dict[str, tuple[str, ...]] = {
    "products": ("aten::mm", "aten::addmm", "mkldnn::_linear_pointwise"),
    "attention": ("_Attention", "_AttentionBackward", "aten::bmm", "aten::baddbmm"),
    "dropout": ("aten::bernoulli_", "aten::ge", "dropout masks"),
    "softmax": ("aten::_softmax", "aten::_softmax_backward_data"),
    "gelu": ("aten::gelu", "aten::gelu_backward"),
    "norms": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "optimizer": (
        *("aten::_fused_adamw_", "Optimizer.step#AdamW.step", "aten::linalg_vector_norm", "aten::_foreach_norm"),
        *("aten::_foreach_mul_", "Optimizer.zero_grad#AdamW.zero_grad"),
    ),
    "copies": ("aten::copy_", "aten::_to_copy", "aten::cat", "aten::index", "aten::index_add_", "aten::index_select"),
}
"""What a step's operators are for."""

OTHER = "all else"
STEP_TITLE = "where a training step's time goes, ms of one core"


def profile_step(args: argparse.Namespace, picture: Path) -> list[dict[str, Any]]:
    """Draws the bars; a row per number format: CPU milliseconds a step, their share that the same products take by
    themselves, as fast as this machine multiplies, and what the operators are for (with the profiler on)."""
    import torch

    from model.training.layers.token_dropout import count_kept

    torch.set_num_threads(1)
    rows = []
    for precision in ("fp32", "bf16"):
        tuning, step = _trainer(args, precision)
        step()  # libraries and lower layers are there before anything is measured
        spent = []
        for _ in range(ROUNDS):
            began = time.process_time()
            step()
            spent.append((time.process_time() - began) / STEPS)
        share = tuning.top.token_share
        drawn = [[count_kept(len(one.ids), share) for one in tuning._draw(number)[2]] for number in range(STEPS)]
        work, least = products_of(tuning, drawn, precision)
        row = {"precision": precision, "step_ms": 1000 * median(spent), "tokens": sum(map(sum, drawn)) / STEPS}
        row |= {"gflop": work, "products_ms": 1000 * least, "share": least / median(spent)}
        found = [_by_kind(step) for _ in range(ROUNDS)]
        row |= {kind: median(one[kind] for one in found) for kind in [*KINDS, OTHER]}
        rows.append({name: round(v, 2) if isinstance(v, float) else v for name, v in row.items()})
    draw_step(rows, picture)
    return rows


def products_of(tuning: FineTuner, drawn: Sequence[Sequence[int]], precision: str) -> tuple[float, float]:
    """(GFLOP, seconds) of a step's matrix products, forwards and back, in the layers that learn; seconds: each shape
    alone, the best of some rounds, by torch's product or oneDNN's. `drawn`: lengths of the texts of each step."""
    import torch
    from torch import nn

    from model.kernels.training_product import _times

    rows = round(sum(map(sum, drawn)) / len(drawn))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    ways: list[Callable[[Any, Any], Any]] = [lambda left, right: left @ right.t()]
    ways += [_times] if precision == "fp32" else []
    work = least = 0.0
    learned = tuning.top.layers[tuning.top.frozen :]
    for number, layer in enumerate(learned):
        for name, part in layer.named_modules():
            if not isinstance(part, nn.Linear):
                continue
            hidden, weight = (torch.randn(size, part.in_features).to(dtype) for size in (rows, part.out_features))
            to_result = torch.randn(rows, part.out_features).to(dtype)
            products = [(hidden, weight), (to_result.t(), hidden.t())]
            if number or "self" not in name:  # what is frozen below needs no gradient
                products.append((to_result, weight.t()))
            work += len(products) * 2e-9 * rows * part.in_features * part.out_features
            least += sum(min(_best(way, *both) for way in ways) for both in products)
    width = int(tuning.encoder.config.hidden_size)
    squares = sum(length**2 for lengths in drawn for length in lengths) / len(drawn)
    return work + len(learned) * 12e-9 * squares * width, least


def _best(way: Callable[[Any, Any], Any], left: Any, right: Any) -> float:
    """Seconds of one product."""
    way(left, right)
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        way(left, right)
        spent.append(time.perf_counter() - began)
    return min(spent)


def _trainer(args: argparse.Namespace, precision: str) -> tuple[FineTuner, Callable[[], Any]]:
    """The product's training on the bench's rows, and a function that trains for some steps; the head starts from
    nothing."""
    import torch

    from model.encoder.engine import training_kernel
    from model.pretrained.architectures import product_shape
    from model.pretrained.base_model import find_base_model, read_config
    from model.training.tuner import FineTuner, TrainingSet

    rows = read_split("train", args.seed, args.data)[: args.examples]
    names = sorted({label for _, label in rows})
    targets = np.eye(len(names))[[names.index(label) for _, label in rows]]
    base = find_base_model(args.base_model)
    start = np.random.default_rng(0).standard_normal((len(names), product_shape(read_config(base)).width))
    lesson = TrainingSet("label", tuple(names), False, [(t,) for t, _ in rows], targets, np.ones(len(rows)), start)
    kernel = training_kernel(precision, read_config(base), torch.device("cpu"), None)
    tuning = FineTuner(base, [lesson], seed=args.seed, threads=1, precision=precision, kernel=kernel)
    return tuning, lambda: tuning.run(STEPS, lambda step, loss: None)


def _by_kind(work: Callable[[], Any]) -> Counter[str]:
    """Kind -> milliseconds a step of its operators' own time."""
    from torch.profiler import ProfilerActivity, profile, record_function

    from model.training.layers.packed_layer import Noise

    draw = Noise.mask

    def named(self: Noise, *given: Any) -> Any:
        with record_function("dropout masks"):
            return draw(self, *given)

    with patch.object(Noise, "mask", named), profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    kinds = {name: kind for kind, names in KINDS.items() for name in names}
    spent: Counter[str] = Counter()
    for event in found.key_averages():
        spent[kinds.get(event.key, OTHER)] += event.self_cpu_time_total / 1000 / STEPS
    return spent


def draw_step(rows: list[dict[str, Any]], picture: Path) -> None:
    """Bars by kind of operator, one of each number format."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [*KINDS, OTHER][::-1]
    figure, axis = pyplot.subplots(figsize=(9, 4.2), constrained_layout=True)
    places = np.arange(len(names))
    for offset, colour, row in zip((0.2, -0.2), ("#bbbbbb", "#4477aa"), rows, strict=True):
        label = f"{row['precision']}: {row['step_ms']:.0f} ms a step, {100 * row['share']:.0f} % of it products"
        bars = axis.barh(places + offset, [row[name] for name in names], 0.38, color=colour, label=label)
        axis.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    axis.set_yticks(places, names)
    axis.set(title="A training step of the upper half of MiniLM, 16 texts, by operator", xlabel="ms of one core")
    axis.legend(loc="lower right")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)
    pyplot.close(figure)


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    folder = ROOT / "docs" / "performance" / kind_of(describe_machine())
    parser.add_argument("--only", default="serving,finetune")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "profiles")
    parser.add_argument("--task-picture", type=Path, default=folder / "one-task.svg")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of a flame graph")
    args = parser.parse_args()
    if "serving" in args.only:
        with Bench(["ours"], 64, bert_base=False) as bench:
            show("one request of one task, by stage", profile_serving(bench, args.out, args.seconds), args.json)
    if "task" in args.only:
        with Bench(["ours"], 64, bert_base=False) as bench:
            stages, whole = profile_task(bench, args.task_picture, args.seconds)
        show("one request of one task, by stage", stages, args.json)
        show("one request of one task beside the bare forward pass", whole, args.json)
    if "finetune" in args.only:
        rows = profile_step(finetune.arguments().parse_args([]), args.out / "finetune.png")
        show(STEP_TITLE, rows, args.json)


if __name__ == "__main__":
    main()
