"""Where the time goes, as pictures: of a prediction (flame graphs, the engine's operators) and of a training step.

    python -m bench.profiles [--only serving,finetune] [--out docs/profiles] [--json]

`serving`: py-spy looks at the running web process from outside, without stopping it. A sample belongs to the stage of
the innermost function that is in the table below; a thread's CPU time is split as its samples are.

`finetune`: a step of the product's loop by kind of operator, with what a profile led to (in
model/training/layers/packed_layer.py) and as it was before: attention of the whole batch in one padded call of torch
(with dropout that is its slow path), torch's dropout masks, AdamW one operator at a time.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import requests

from bench import finetune
from bench.serving import Bench
from bench.support.load import body, post
from bench.support.report import command, show
from bench.support.served import Server, pinned
from bench.support.texts import mixed_texts, read_split
from tests.support.rig import ROOT

if TYPE_CHECKING:
    from bench.serving import Bench

SECONDS = 8
RATE = 250
"""Samples a second."""

STAGES = {
    "model/encoder/windows.py": "tokenising",
    "model/encoder/encoder.py": "forward pass",
    "model/features/cache.py": "feature cache (LMDB)",
    "model/versions/live_model.py": "heads and answers",
    "backend/labelstudio/": "tasks read, predictions written",
    "backend/serving/answer_cache.py": "tasks read, predictions written",
    "backend/serving/prediction.py": "tasks read, predictions written",
    "backend/application/predict.py": "tasks read, predictions written",
    "backend/serving/predictors.py": "handing over to a predictor and back",
    "backend/application/background.py": "keeping unlabelled texts in Redis (background)",
    "backend/serving/registry.py": "following versions (background)",
    "backend/": "Flask, JSON, metrics",
    "flask/": "Flask, JSON, metrics",
    "werkzeug/": "Flask, JSON, metrics",
    "gunicorn/": "HTTP server",
    "concurrent/futures/": "HTTP server",
}
"""Start of a file's name -> stage; the first that fits."""

PROCESS = ("backend/__main__.py", "backend/cli/main.py", "backend/processes/web.py")
"""Frames under everything that gunicorn's main thread does."""


class Sender:
    """Sends distinct texts in requests of `tasks` until it is stopped; counts the requests."""

    def __init__(self, server: Server, texts: Iterator[str], labels: Sequence[str], tasks: int) -> None:
        self.server, self.texts, self.labels, self.tasks = server, texts, labels, tasks
        self.requests = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                batch = list(itertools.islice(self.texts, self.tasks))
                failure = post(session, self.server.url, body(batch, self.labels), len(batch))
                self.failures += [failure] if failure else []
                self.requests += 1


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


@contextmanager
def scratch_file(path: Path) -> Iterator[Path]:
    """A file that is gone afterwards."""
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def stages_of(server: Server, texts: Iterator[str], labels: Sequence[str], seconds: int) -> list[dict[str, Any]]:
    """One row per stage of a request of one task, in CPU milliseconds."""
    worker = server.worker().pid
    with scratch_file(Path(tempfile.gettempdir()) / f"understudy-{worker}.stacks") as path:
        with Sender(server, texts, labels, 1) as sender:
            whole, threads, sent = server.cpu_seconds(), thread_seconds(worker), sender.requests
            record(server, path, "raw", seconds, "--threads")
            after = thread_seconds(worker)
            whole, count = server.cpu_seconds() - whole, max(1, sender.requests - sent)
        lines = path.read_text(encoding="utf-8").splitlines()
    spent = split_by_stage(lines, {thread: after[thread] - threads.get(thread, 0.0) for thread in after})
    spent["Redis, gunicorn's master"] = whole - sum(spent.values())
    return [
        {"stage": stage, "cpu_ms": round(took / count * 1000, 2), "share": round(took / whole, 3)}
        for stage, took in (*spent.most_common(), ("all", whole))
    ]


def thread_seconds(pid: int) -> dict[int, float]:
    """Thread id -> CPU seconds (the first number of schedstat, in nanoseconds)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}


def split_by_stage(lines: Sequence[str], threads: Mapping[int, float]) -> Any:
    """A Counter of CPU seconds by stage: each thread's own, split as its samples are.

    `lines` are py-spy's raw format, `thread (TID): name;outer (file:1);inner (file:2) samples`. Samples alone would not
    do: a thread that waits for the core counts as busy."""
    counted: dict[int, Counter[str]] = defaultdict(Counter)
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        thread, *frames = stack.split(";")
        counted[int(thread.partition("(")[2].partition(")")[0], 0)][stage_of(frames)] += int(samples)
    spent: Any = Counter()
    for number, seconds in threads.items():
        stages = counted.get(number) or Counter({"other": 1})
        for stage, found in stages.items():
            spent[stage] += seconds * found / stages.total()
    return spent


def stage_of(frames: Sequence[str]) -> str:
    """The stage of the innermost frame that has one."""
    for frame in reversed(frames):
        file = frame.rpartition("(")[2]
        if file.startswith(PROCESS):
            continue
        for start, stage in STAGES.items():
            if file.startswith(start):
                return stage
    return "other"


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


ROUNDS, STEPS = 5, 3
KINDS: dict[str, tuple[str, ...]] = {
    "matrix products of the layers": ("aten::mm", "aten::addmm"),
    "matrix products of attention": ("aten::bmm", "aten::baddbmm"),
    "drawing dropout masks": ("aten::bernoulli_", "dropout masks"),
    "softmax, masking": (
        *("aten::_softmax", "aten::_softmax_backward_data", "aten::where", "aten::all", "aten::isneginf"),
        *("aten::masked_fill_", "aten::logical_not", "aten::eq"),
    ),
    "GELU, layer norm": (
        *("aten::gelu", "aten::gelu_backward"),
        *("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    ),
    "AdamW, clipping": (
        *("aten::_fused_adamw_", "Optimizer.step#AdamW.step", "aten::sqrt", "aten::lerp_", "aten::addcdiv_"),
        *("aten::addcmul_", "aten::linalg_vector_norm", "aten::_foreach_norm", "aten::_foreach_mul_"),
    ),
    "copies": (
        "aten::copy_",
        "aten::index_copy_",
        "aten::index_select",
        "aten::index",
        "aten::cat",
        "aten::index_add_",
    ),
}
OTHER = "all else"


def profile_step(args: argparse.Namespace, picture: Path) -> list[dict[str, Any]]:
    """Profiles both in turn and draws the bars; a row per kind: wall milliseconds a step, medians of rounds."""
    import torch

    torch.set_num_threads(1)
    step = _trainer(args)
    step()  # libraries and lower layers are there before anything is measured
    found: dict[str, list[Counter[str]]] = {"before": [], "now": []}
    for _ in range(ROUNDS):
        found["now"].append(_by_kind(step))
        with before():
            found["before"].append(_by_kind(step))
    rows: list[dict[str, Any]] = [
        {"kind": kind, **{when: median(spent[kind] for spent in rounds) for when, rounds in found.items()}}
        for kind in [*KINDS, OTHER]
    ]
    rows.append({"kind": "sum", **{when: sum(row[when] for row in rows) for when in found}})
    draw_step(rows, picture)
    return [{name: round(v, 1) if isinstance(v, float) else v for name, v in row.items()} for row in rows]


@contextmanager
def before() -> Iterator[None]:
    """The loop without what the profile led to."""
    import torch
    import torch.nn.functional as F

    from model.training import tuner
    from model.training.layers import packed_layer

    def padded(query: Any, key: Any, value: Any, spans: Any, heads: int, rate: float, noise: Any) -> Any:
        return packed_layer.attend_padded(query, key, value, spans, heads, rate if noise else 0.0)

    def plain_adamw(groups: Any, weight_decay: float) -> Any:
        return torch.optim.AdamW(groups, weight_decay=weight_decay, foreach=False)

    with (
        patch.object(packed_layer, "attend", padded),
        patch.object(packed_layer.Noise, "drop", lambda self, tokens, rate: F.dropout(tokens, rate)),
        patch.object(tuner, "_optimizer", plain_adamw),
    ):
        yield


def _trainer(args: argparse.Namespace) -> Callable[[], Any]:
    """A function that trains for a few steps on the bench's rows; the head starts from nothing."""
    from model.pretrained.base_model import find_base_model
    from model.training.tuner import FineTuner, TrainingSet

    rows = read_split("train", args.seed, args.data)[: args.examples]
    names = sorted({label for _, label in rows})
    targets = np.eye(len(names))[[names.index(label) for _, label in rows]]
    start = np.random.default_rng(0).standard_normal((len(names), 384))
    lesson = TrainingSet("label", tuple(names), False, [(t,) for t, _ in rows], targets, np.ones(len(rows)), start)
    tuning = FineTuner(find_base_model(args.base_model), [lesson], seed=args.seed, threads=1)
    return lambda: tuning.run(STEPS, lambda step, loss: None)


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
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [row["kind"] for row in rows[:-1]][::-1]
    figure, axis = pyplot.subplots(figsize=(9, 4.2), constrained_layout=True)
    places = np.arange(len(names))
    for offset, (key, colour) in ((0.2, ("before", "#bbbbbb")), (-0.2, ("now", "#4477aa"))):
        total = rows[-1][key]
        bars = axis.barh(
            places + offset,
            [row[key] for row in rows[:-1]][::-1],
            0.38,
            color=colour,
            label=f"{key}: {total:.0f} ms a step",
        )
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
    parser.add_argument("--only", default="serving,finetune")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "profiles")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of a flame graph")
    args = parser.parse_args()
    if "serving" in args.only:
        with Bench(["ours"], 64, bert_base=False) as bench:
            show("one request of one task, by stage", profile_serving(bench, args.out, args.seconds), args.json)
    if "finetune" in args.only:
        rows = profile_step(finetune.arguments().parse_args([]), args.out / "finetune.png")
        show("where a step's time goes, wall ms a step", rows, args.json)


if __name__ == "__main__":
    main()
