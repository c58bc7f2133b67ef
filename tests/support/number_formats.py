"""The learner on the encoder's features in int8 beside float32: the same orders, texts and policy, all rows paired.

Everything else follows the format as in the product: heads are fitted on its features, the gate compares in it, and a
fine-tuned encoder is read in it if it suits.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from backend.cli.simulate.progress import Progress
from backend.simulate.trainer import PolicyTrainer, Workplace
from model.kernels.choice import FP32, INT8
from model.simulation.dataset import Dataset
from model.simulation.replay import Replay, ReplayPlan, Row, reachable
from model.simulation.span_dataset import SpanDataset
from model.simulation.span_replay import SpanReplay

COUNTS = "16,64,256,512"
SPAN_COUNTS = "16,64,256"
SEEDS = "51,52,53,54,55,56"

POOL = 512
"""Texts of an order that are learned from, labelled or not: each has to be read in both formats."""

TUNED = ", with fine-tunes"
TUNED_COUNTS = (256,)
"""Labels at which a fine-tune is tried: each takes minutes in each format."""

ALL = 0
"""In place of a number of labels: the mean over all of them."""

MEASURES, SPAN_MEASURES = ("accuracy", "macro_f1", "log_loss", "ece"), ("f1", "saved", "ece")

HEADING = """# Learning in int8 beside float32

Written by `python -m bench.learning --formats {options}--out DIR`: the same texts in the same orders, read by
MiniLM in int8 and in float32, heads fitted on what serves them. Points of a hundred (log-loss: as it is), means over
the orders; of sets (GoEmotions) accuracy is exact match. `±`: the standard error of the mean difference, paired by
order; it does not tell what other test texts would have shown. `all`: the mean over all numbers of labels of an order.
{further}
"""

CHOICES = "`with fine-tunes`: what the gate lets answer. `packages`: Debian's descriptions by section, in English."
SPANS = "`saved`: the share of the annotator's edits that the spans shown spare; 500 test texts a set."


@dataclass
class FormatReplays:
    """One workplace a format, opened when first asked for, in a DATA_DIR of its own."""

    places: dict[str, Workplace]

    def measure(
        self, name: str, data: Dataset, counts: Sequence[int], seed: int, args: Any, place: Workplace, done: set[Any]
    ) -> Iterator[Row]:
        """The rows of one set and seed that are not done; with fine-tunes only those, at TUNED_COUNTS."""
        progress = Progress()
        if args.finetune:
            counts = [count for count in counts if count in TUNED_COUNTS]
        for precision in (FP32, INT8):
            plan = ReplayPlan(reachable(data.labelled, counts), seed=seed, pool=POOL)
            method = precision + (TUNED if args.finetune else "")
            if all((name, method, count, seed) in done for count in plan.counts):
                continue
            progress.about(f"{name}, seed {seed}, {method}")
            own = self._place(precision, place)
            trainer = PolicyTrainer(own, progress.tell) if args.finetune else None
            for row in Replay(data, plan, own.base, trainer, progress.tell).rows():
                yield {**row, "method": method}

    def measure_spans(
        self,
        name: str,
        data: SpanDataset,
        counts: Sequence[int],
        seed: int,
        args: Any,
        place: Workplace,
        done: set[Any],
    ) -> Iterator[Row]:
        """The same of texts with spans, without fine-tunes."""
        progress = Progress()
        for precision in (FP32, INT8):
            plan = ReplayPlan(reachable(len(data.train), counts), seed=seed)
            if all((name, precision, count, seed) in done for count in plan.counts):
                continue
            progress.about(f"{name}, seed {seed}, {precision}")
            for row in SpanReplay(data, plan, self._place(precision, place).span_tools(), progress.tell).rows():
                yield {**row, "method": precision}

    def _place(self, precision: str, like: Workplace) -> Workplace:
        if precision not in self.places:
            data_dir = like.scratch / "data"  # what is timed and tried is kept for the trainings
            data_dir.mkdir(exist_ok=True)
            settings = like.settings.model_copy(update={"precision": precision, "data_dir": data_dir})
            self.places[precision] = Workplace(settings, like.scratch / precision, like.features, like.threads)
            found = self.places[precision].base.encoder.precision
            if found != precision:
                raise SystemExit(f"this encoder is not read in {precision} on this machine, but in {found}")
        return self.places[precision]


Pairs = Mapping[int, tuple[Row, Row]]
"""By seed: (int8, float32)."""


def is_formats(rows: Sequence[Row]) -> bool:
    """Whether these rows are of this bench."""
    return any(str(row["method"]).removesuffix(TUNED) == INT8 for row in rows)


def table_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line a set and number of labels, and one over all numbers."""
    measures = SPAN_MEASURES if any("f1" in row for row in rows) else MEASURES
    by = {(row["set"], str(row["method"]), int(row["n"] or 0), int(row["seed"] or 0)): row for row in rows}
    pairs: dict[tuple[str, int], dict[int, tuple[Row, Row]]] = {}
    for (name, method, count, seed), row in by.items():
        exact = by.get((name, method.replace(INT8, FP32), count, seed))
        if method.startswith(INT8) and exact is not None:
            pairs.setdefault((f"{name}{method.removeprefix(INT8)}", count), {})[seed] = row, exact
    names = dict.fromkeys(name for name, _ in pairs)
    for name in names:
        counts = [count for own, count in pairs if own == name]
        if len(counts) > 1:
            whole = set.intersection(*(set(pairs[name, count]) for count in counts))
            pairs[name, ALL] = {
                seed: (
                    _mean([pairs[name, n][seed][0] for n in counts]),
                    _mean([pairs[name, n][seed][1] for n in counts]),
                )
                for seed in whole
            }
    order = {name: place for place, name in enumerate(sorted(names, key=lambda name: (TUNED in name, name)))}
    keys = sorted(pairs, key=lambda key: (order[key[0]], key[1] == ALL, key[1]))
    return [
        {
            "set": name,
            "labels": count or "all",
            **{key: _told([(float(a[key] or 0), float(b[key] or 0)) for a, b in pairs[name, count].values()], key)
               for key in measures},
            "orders": len(pairs[name, count]),
        }
        for name, count in keys
        if pairs[name, count]
    ]  # fmt: skip


def _mean(rows: Sequence[Row]) -> Row:
    keys = [key for key in (*MEASURES, *SPAN_MEASURES) if key in rows[0]]
    return {key: statistics.fmean(float(row[key] or 0) for row in rows) for key in keys}


def _told(pairs: Sequence[tuple[float, float]], key: str) -> str:
    """`84.70 / 84.81 (-.11 ± .07)`: int8, float32, and their difference."""
    unit, places = (1, 3) if key == "log_loss" else (100, 2)
    differences = [unit * (found - exact) for found, exact in pairs]
    means = [unit * statistics.fmean(values) for values in zip(*pairs, strict=True)]
    difference = f"{statistics.fmean(differences):+.{places}f}"
    if len(differences) > 1:
        difference += f" ± {statistics.stdev(differences) / sqrt(len(differences)):.{places}f}"
    return f"{means[0]:.{places}f} / {means[1]:.{places}f} ({difference})"


def write_formats(rows: Sequence[Row], out: Path) -> None:
    """`formats.md`, of spans `formats-spans.md`."""
    table, of_spans = table_of(rows), any("f1" in row for row in rows)
    heading = HEADING.format(options="--spans " if of_spans else "", further=SPANS if of_spans else CHOICES)
    lines = [heading, "| " + " | ".join(table[0]) + " |", "|" + " --- |" * len(table[0])]
    lines += ["| " + " | ".join(map(str, line.values())) + " |" for line in table]
    out.mkdir(parents=True, exist_ok=True)
    (out / ("formats-spans.md" if of_spans else "formats.md")).write_text("\n".join(lines) + "\n", encoding="utf-8")
