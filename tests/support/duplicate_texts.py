"""Texts that are there again, for `bench.accuracy --duplicates`: of public sets and made ones, how often labels carried
over are right, what the queue hands out of them, and what the tables cost."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from backend.jobs.learn.duplicates import gather_entries, gather_facts
from backend.store.duplicates.buckets import bucket_of, read_bucket, write_bucket
from backend.store.duplicates.tables import LabelledTable
from model.acquisition.batch import Repeats, plan_batch
from model.acquisition.strategies import DEFAULT_STRATEGY, Pool
from model.duplicates.labelled import PRIOR_EXACT, PRIOR_NEAR, PRIOR_TEXTS, LabelledGroups, group_labelled
from model.spec import Control, Kind, Label, Sample, TaskSpec
from model.texts import duplicate_keys
from tests.support.rig import ROOT, read_rows

Row = dict[str, Any]

DATA = ROOT.parent / "shared" / "data"

WRONG_LABELS = 0.03
"""Share of labels that are wrong where copies are made."""


def choice_control(names: Sequence[str]) -> Control:
    """One of these labels for a text."""
    return Control("label", Kind.SINGLE, ("text",), tuple(Label((name,), name) for name in names))


def labelled_sets(names: Sequence[str], directory: Path = DATA) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Name and (text, labels joined) rows of each of the public sets that is there; else of the sample messages."""
    found = [name for name in names if (directory / name).is_dir()]
    for name in found:
        yield name, [row for split in ("train", "test") for row in read_rows(directory / name / f"{split}.csv")]
    if not found:
        yield "sample", read_rows()


def make_exact(text: str, rng: np.random.Generator) -> str:
    """The text as it comes again by another way: another case, other blanks, or full-width characters."""
    wide = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)
    return str(rng.choice([text.upper(), f" {text}\n", text.replace(" ", "  "), text.capitalize(), wide]))


def make_near(text: str, rng: np.random.Generator) -> str:
    """The text with other digits and signs, as templates have them."""
    changed = "".join(str(rng.integers(10)) if char.isdigit() else char for char in text)
    return f"{changed}{rng.choice(['!', '...', ' 7', ' #12', '?'])}"


def duplicates_of_sets(seeds: int) -> tuple[list[Row], list[Row]]:
    """Rows of how often labels agree in the public sets, and of what would be carried over in so many orders."""
    sets = list(labelled_sets(["smsspam", "agnews", "banking77", "sst2", "goemotions_ekman"]))
    carried = [row for seed in range(seeds) for name, own in sets for row in carry_labels(name, own, seed)]
    return [agree_in_whole(name, own) for name, own in sets], carried


def agree_in_whole(name: str, rows: Sequence[tuple[str, str]]) -> Row:
    """How often labels of a set's own duplicates agree: of exact and near ones, and on how many texts."""
    control = choice_control(sorted({label for _, label in rows}))
    groups = group_labelled(control, [Sample(n, (text,), {own: 1.0}) for n, (text, own) in enumerate(rows)])
    found = groups.agreement()
    exact = (found.exact * (found.exact_texts + PRIOR_TEXTS) - PRIOR_EXACT * PRIOR_TEXTS) / max(1, found.exact_texts)
    near = (found.near * (found.near_texts + PRIOR_TEXTS) - PRIOR_NEAR * PRIOR_TEXTS) / max(1, found.near_texts)
    counts = {"exact texts": found.exact_texts, "near texts": found.near_texts}
    return {"set": name, "rows": len(rows), **counts, "exact agree": round(exact, 3), "near agree": round(near, 3)}


def carry_labels(name: str, rows: Sequence[tuple[str, str]], seed: int) -> Iterator[Row]:
    """Half of the rows labelled; what is carried over to natural and made duplicates."""
    rng = np.random.default_rng(seed)
    labels = sorted({label for _, label in rows})
    control = choice_control(labels)
    order = rng.permutation(len(rows))
    known, rest = ([rows[index] for index in some] for some in np.array_split(order, 2))
    wrong = rng.random(len(known)) < WRONG_LABELS
    told = [str(rng.choice(labels)) if is_wrong else own for (_, own), is_wrong in zip(known, wrong, strict=True)]
    copies = [known[index] for index in rng.permutation(len(known))[:500]]
    kinds = {
        "natural": ([own for _, own in known], rest),
        "exact": (told, [(make_exact(text, rng), own) for text, own in copies]),
        "near": (told, [(make_near(text, rng), own) for text, own in copies]),
    }
    for kind, (given, asked) in kinds.items():
        samples = [Sample(n, (text,), {own: 1.0}) for n, ((text, _), own) in enumerate(zip(known, given, strict=True))]
        if kind == "near":  # labelled near-duplicates, as a project of templates has them
            more = [(make_near(text, rng), own) for text, own in copies[:60]]
            samples += [Sample(len(known) + n, (text,), {own: 1.0}) for n, (text, own) in enumerate(more)]
        yield {"set": name, "kind": kind, "seed": seed, **_carried(group_labelled(control, samples), asked)}


def _carried(groups: LabelledGroups, asked: Sequence[tuple[str, str]]) -> Row:
    agreement, (exact, near) = groups.agreement(), groups.answers()
    found: list[tuple[float, bool, bool]] = []
    for text, own in asked:
        key, alike = duplicate_keys(groups.control.inputs, (text,))
        known = exact.get(key) or (near.get(alike) if alike is not None and agreement.carries_near else None)
        if known is not None:
            trust = agreement.exact if key in exact else agreement.near
            found.append((trust * known.answers[0][1], known.answers[0][0] == (own,), key in exact))
    return {
        "agree": round(agreement.exact, 3),
        "agree near": round(agreement.near, 3),
        "seen": f"{agreement.exact_texts}, {agreement.near_texts}",
        "asked": len(asked),
        "carried": len(found),
        "right": round(float(np.mean([right for _, right, _ in found])), 3) if found else None,
        "score": round(float(np.mean([score for score, _, _ in found])), 3) if found else None,
    }


def queue_copies(seed: int, tasks: int = 3000, most: int = 256, batch: int = 64) -> Iterator[Row]:
    """The first tasks of a queue of random texts, each as doubtful as its copies, a third of the pool."""
    rng = np.random.default_rng(seed)
    texts = rng.permutation(np.concatenate([np.arange(tasks * 2 // 3), rng.integers(0, tasks // 6, tasks // 3)]))
    doubts, features = rng.dirichlet(np.ones(4), tasks)[texts], rng.standard_normal((tasks, 16))[texts]
    ids, alone = np.arange(tasks), np.zeros(tasks, dtype=bool)
    ways = ("before", None), ("now", Repeats(texts.astype(np.int64), alone))
    for strategy, (name, repeats) in itertools.product(("random", DEFAULT_STRATEGY), ways):
        done: list[int] = []
        while len(done) < most:
            pool = Pool(doubts, features, np.array(done, dtype=np.int64))
            found = plan_batch(
                [pool],
                ids,
                doubts.max(1),
                project=seed,
                strategy=strategy,
                size=batch,
                blind_share=0.05,
                explore_share=0.05,
                repeats=repeats,
                seed=len(done),
            )
            done += [entry.row for entry in found]
        told = len(set(texts[done]))
        known = int(np.isin(texts, texts[done]).sum())
        found_row = {"strategy": strategy, "queue": name, "seed": seed, "labels": len(done), "copies": len(done) - told}
        yield {**found_row, "texts": told, "tasks with a label": known}


def cost_of_tables(news: Sequence[str], counts: Sequence[int]) -> Iterator[Row]:
    """What a table of so many labelled texts costs. `news`: texts to make them of."""
    control = choice_control(["a", "b", "c", "d"])
    spec = TaskSpec((), (control,))
    for count in counts:
        texts = [f"{news[n % len(news)]} {chr(97 + n // len(news) % 26)}{n // len(news)}" for n in range(count)]
        samples = [Sample(n, (text,), {"abcd"[n % 4]: 1.0}) for n, text in enumerate(texts)]
        began = time.process_time()
        groups = group_labelled(control, samples)
        entries = gather_entries([groups])
        buckets: dict[int, dict[int, Any]] = {}
        for key, entry in entries.items():
            buckets.setdefault(bucket_of(key), {})[key] = entry
        written = {bucket: write_bucket(own) for bucket, own in buckets.items()}
        seconds = time.process_time() - began
        table = LabelledTable(gather_facts([groups], [0], count))
        tracemalloc.start()
        known: dict[str, Any] = {}
        for bucket, text in written.items():
            table.put(bucket, read_bucket(text, known))
        del known
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        began = time.process_time()
        again: dict[str, Any] = {}
        for bucket, text in written.items():
            table.put(bucket, read_bucket(text, again))
        whole = time.process_time() - began
        began = time.process_time()
        for bucket, text in written.items():
            table.put(bucket, read_bucket(text))
        two = 2 * (time.process_time() - began) / len(written)
        find = [_seconds(partial(table.find, 1, spec, {"text": text})) for text in news[:1000]]
        keys = [_seconds(partial(duplicate_keys, ("text",), (text,))) for text in news[:1000]]
        yield {
            "labels": count,
            "find us": round(1e6 * median(find), 1),
            "key us": round(1e6 * median(keys), 1),
            "table MB": round(size / 1e6, 2),
            "read label ms": round(1e3 * two, 2),
            "read all ms": round(1e3 * whole, 1),
            "learner s": round(seconds, 2),
            "bytes": 2 * round(np.mean([len(text) for text in written.values()])),
        }


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(news: Sequence[str], seeds: int) -> Iterator[tuple[str, list[Row]]]:
    """Title and rows of each table."""
    whole, carried = duplicates_of_sets(seeds)
    yield "labels of the sets' own duplicates", whole
    yield "labels carried over to duplicates", carried
    yield "what the queue hands out", [row for seed in range(seeds) for row in queue_copies(seed)]
    yield "what it costs", list(cost_of_tables(news, [100, 10_000, 100_000]))
