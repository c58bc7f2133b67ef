"""How honest confidence is with few labels: many small tasks made of public sets, each learned from 8 to 64 labels.

Tasks are all classes of a set, random classes of one that has many, the texts of a set of labels that have one, and
texts with spans of one label only, to be told which.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from bench.support.report import judge
from bench.support.spans import find_span_sets
from bench.support.texts import choice_control
from model.decoding.evaluate_answers import measure
from model.features.cache import CachedEncoder
from model.head.fit import fit_head
from model.simulation.dataset import Dataset, read_dataset
from model.simulation.replay import POOL_USED, shuffled
from model.simulation.span_dataset import SpanDataset
from model.spec import Kind, Sample

COUNTS = (8, 16, 32, 64)
BAR = 0.08
"""Of the mean calibration error over the tasks, at any of these counts; .06 from 64 labels on."""

DRAWS = ((6, 6), (3, 2), (15, 2), (40, 1))
"""Classes of a task, and how many such tasks are drawn from a set that has more."""

KEPT = 700
"""Most texts of a task to learn from, its pool included, and to measure on."""

MARKED = ("wikigold", "wnut17", "btc", "hwu")
LEAST = 25
"""Texts of a label for it to be a class."""

Row = dict[str, Any]


def tasks_of(name: str, data: Dataset) -> Iterator[tuple[str, Dataset]]:
    """A set as it is, texts with several labels left out, or random classes of it."""
    keys = data.control.keys()
    if len(keys) <= 2 * DRAWS[0][0]:
        yield name, restrict(data, keys)
        return
    for classes, draws in DRAWS:
        for draw in range(draws if classes < len(keys) else 0):
            yield f"{name}, {classes} classes {draw}", restrict(data, Random(draw).sample(keys, classes))


def restrict(data: Dataset, keys: Sequence[str]) -> Dataset:
    """The texts with one label, of these; the same texts of both files are dealt anew, for a set of 77 classes has few
    to measure six on."""
    labels = tuple(label for label in data.control.labels if label.key in keys)
    control = replace(data.control, kind=Kind.SINGLE, labels=labels)
    known = [s for s in (*data.train, *data.test) if len(s.target) == 1 and s.top in keys]
    return deal(Dataset(control, (), ()), list({sample.text: sample for sample in known}.values()))


def one_label(name: str, data: SpanDataset) -> tuple[str, Dataset]:
    """Which label's spans a text holds, of the texts that hold one label's."""
    found = [(one.text, {span.label for span in one.spans}) for one in (*data.train, *data.test)]
    single = {text: next(iter(labels)) for text, labels in found if len(labels) == 1}
    common = [label for label in data.labels if sum(own == label for own in single.values()) >= LEAST]
    samples = [Sample(i, (text,), {own: 1.0}) for i, (text, own) in enumerate(single.items()) if own in common]
    return name, deal(Dataset(choice_control(common), (), ()), samples)


def deal(empty: Dataset, samples: Sequence[Sample]) -> Dataset:
    """In one half to learn from and one to measure on."""
    order = shuffled(samples, 0)[: 2 * KEPT]
    return replace(empty, train=tuple(order[len(order) // 2 :]), test=tuple(order[: len(order) // 2]))


def all_tasks(data: Path) -> Iterator[tuple[str, Dataset]]:
    """Of a folder of sets; spans lie in `ner` and `ner-transfer`."""
    for folder in sorted(path.parent for path in data.glob("*/train.csv")):
        yield from tasks_of(folder.name, read_dataset(folder / "train.csv", folder / "test.csv"))
    for place in ("ner", "ner-transfer"):
        for name, marked in find_span_sets(data / place, MARKED).items():
            yield one_label(name, marked)


def rows_of(
    name: str, data: Dataset, base: CachedEncoder, counts: Sequence[int], seeds: Sequence[int]
) -> Iterator[Row]:
    """A row per number of labels: means over the seeds. `too_sure`: mean confidence less accuracy."""
    texts = [sample.text for sample in data.test]
    features = base.embed(texts)
    for count in counts:
        found = []
        for seed in seeds:
            order = shuffled(data.train, seed)
            pool = [{"text": sample.text[0]} for sample in order[:POOL_USED]]
            head = fit_head(data.control, order[:count], pool, base, seed=seed)
            scores = head.scores(texts, features)
            measures = measure(data.control, head.rules, scores, data.test)
            found.append({**measures, "too_sure": float(scores.max(1).mean()) - measures["accuracy"]})
        means = {key: round(statistics.fmean(one[key] for one in found), 3) for key in MEASURES}
        yield {"task": name, "classes": len(data.control.labels), "labels": count, **means}


MEASURES = ("accuracy", "ece", "too_sure", "log_loss")


def summarise(rows: Sequence[Row]) -> Iterator[Row]:
    """Mean and worst of all tasks at each number of labels, beside the bar."""
    for count in sorted({row["labels"] for row in rows}):
        errors = [row["ece"] for row in rows if row["labels"] == count]
        mean = round(statistics.fmean(errors), 4)
        yield {
            "labels": count,
            "tasks": len(errors),
            "ece": mean,
            "worst": max(errors),
            "over .08": sum(error > BAR for error in errors),
            "accuracy": round(statistics.fmean(row["accuracy"] for row in rows if row["labels"] == count), 3),
            **judge(mean, "<=", BAR if count < 64 else 0.06),
        }
