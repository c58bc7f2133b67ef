"""Where a training step's time goes, by kind of operator: with what the profile led to, and as it was before.

Before: attention of the whole batch in one padded call of torch (with dropout that is its slow path), torch's dropout
masks, AdamW one operator at a time. Drawn by `python -m bench.speed.finetune --profile docs/profiles/finetune.png`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.speed.finetune import read_split

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


def draw_profile(args: argparse.Namespace, picture: Path) -> list[dict[str, Any]]:
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
    _draw(rows, picture)
    return [{name: round(v, 1) if isinstance(v, float) else v for name, v in row.items()} for row in rows]


@contextmanager
def before() -> Iterator[None]:
    """The loop without what the profile led to."""
    import torch
    import torch.nn.functional as F

    from model.training import packed_layer as learning_layer
    from model.training import tuner as finetune

    def padded(query: Any, key: Any, value: Any, spans: Any, heads: int, rate: float, noise: Any) -> Any:
        return learning_layer.attend_padded(query, key, value, spans, heads, rate if noise else 0.0)

    def plain_adamw(groups: Any) -> Any:
        return torch.optim.AdamW(groups, weight_decay=0.01, foreach=False)

    with (
        patch.object(learning_layer, "attend", padded),
        patch.object(learning_layer.Noise, "drop", lambda self, tokens, rate: F.dropout(tokens, rate)),
        patch.object(finetune, "_optimizer", plain_adamw),
    ):
        yield


def _trainer(args: argparse.Namespace) -> Callable[[], Any]:
    """A function that trains for a few steps on the bench's rows; the head starts from nothing."""
    from model.pretrained.base_model import find_base_model
    from model.training.tuner import FineTuner, TrainingSet

    rows = read_split(args.data, "train", args.seed, args.examples)
    names = sorted({label for _, label in rows})
    targets = np.eye(len(names))[[names.index(label) for _, label in rows]]
    start = np.random.default_rng(0).standard_normal((len(names), 384))
    lesson = TrainingSet("label", tuple(names), False, [(t,) for t, _ in rows], targets, np.ones(len(rows)), start)
    tuning = FineTuner(find_base_model(args.base_model), [lesson], seed=args.seed, threads=1)
    return lambda: tuning.run(STEPS, lambda step, loss: None)


def _by_kind(work: Callable[[], Any]) -> Counter[str]:
    """Kind -> milliseconds a step of its operators' own time."""
    from torch.profiler import ProfilerActivity, profile, record_function

    from model.training.packed_layer import Noise

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


def _draw(rows: list[dict[str, Any]], picture: Path) -> None:
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
