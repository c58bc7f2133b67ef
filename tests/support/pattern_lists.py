"""What lists of strings are worth while spans are learned: a right one, a wrong one and none, on the same texts.

A list holds a random half of the strings that are marked in training texts which are neither labelled in the run nor
measured, under their labels; the wrong one holds the same strings with the labels moved on by one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from backend.cli.simulate.progress import Progress
from backend.simulate.trainer import Workplace
from model.simulation.replay import ReplayPlan, Row, Tell, reachable, shuffled
from model.simulation.span_dataset import SpanDataset
from model.simulation.span_replay import CONTROL, SpanReplay
from model.span import SpanDocument
from model.spans.patterns.lexicon import Lexicon, build_lexicon
from model.spans.patterns.pattern import Pattern
from model.spans.words import find_words
from model.versions.span_answers import SpanTools

COUNTS = "0,8,16,64,256"
SEEDS = "11,12"
SHARE = 0.5
"""Of the strings that are there, in a list."""

NO_LIST, RIGHT, WRONG = "no list", "right list", "wrong list"

METHODS = (NO_LIST, RIGHT, WRONG)

MEASURES = ("f1", "macro_f1", "saved", "ece", "f1_seen", "f1_unseen", "refit_seconds", "peak_mib")

HEADING = """# Lists of strings while spans are learned

Written by `python -m bench.learning --spans --patterns --out DIR`: medians over the seeds. A list holds a random half
of the strings that are marked in training texts which are neither labelled nor measured; the wrong one has the same
strings under the next label. The first 500 texts of the test file are measured (with `--dev` 300 training texts that
are neither labelled nor in a list, on which constants were chosen).
"""

DEV_TEXTS = 300


def make_list(documents: Sequence[SpanDocument], labels: Sequence[str], seed: int, *, wrong: bool = False) -> Lexicon:
    """SHARE of the strings that are marked in these texts, each once under each label."""
    pairs = sorted({(one.text[s.start : s.end], s.label) for one in documents for s in one.spans})
    kept = sorted(Random(seed).sample(pairs, round(SHARE * len(pairs))))
    other = {label: labels[(place + 1) % len(labels)] for place, label in enumerate(labels)}
    usable = ((text, other[label] if wrong else label) for text, label in kept if 0 < len(find_words(text)) <= 40)
    return build_lexicon(Pattern(label, text) for text, label in usable)


def pattern_rows(
    data: SpanDataset, plan: ReplayPlan, tools: SpanTools, dev: bool, wanted: Sequence[tuple[str, int]], tell: Tell
) -> Iterator[Row]:
    """One row a count of texts and list, of those (method, count) that are wanted."""
    order = shuffled(data.train, plan.seed)
    labelled = order[: max(plan.counts)]
    rest = [one for one in order if one.text not in {own.text for own in labelled}]
    if dev:
        data, rest = replace(data, test=rest[:DEV_TEXTS]), rest[DEV_TEXTS:]
    lists = {
        NO_LIST: None,
        RIGHT: make_list(rest, data.labels, plan.seed),
        WRONG: make_list(rest, data.labels, plan.seed, wrong=True),
    }
    for name, lexicon in lists.items():
        counts = tuple(count for count in plan.counts if (f"understudy, {name}", count) in wanted)
        if not counts:
            continue
        own = replace(tools, lexicons={} if lexicon is None else {CONTROL: lexicon})
        began = time.process_time()
        for row in SpanReplay(data, replace(plan, counts=counts), own, tell).rows():
            size = 0 if lexicon is None else len(lexicon.patterns)
            yield {**row, "method": f"understudy, {name}", "patterns": size}
        tell(f"{name}: {time.process_time() - began:.0f} CPU seconds")


def measure_patterns(
    name: str, data: SpanDataset, counts: Sequence[int], seed: int, args: Any, place: Workplace, done: set[Any]
) -> Iterator[Row]:
    """The rows of one set and seed that are not done."""
    progress, tools = Progress(), place.span_tools()
    progress.about(f"{name}, seed {seed}")
    counts = tuple(reachable(data.labelled, counts))
    plan = ReplayPlan(counts, seed=seed, pool=pool_of(counts))
    rows = ((f"understudy, {method}", count) for method in METHODS for count in counts)
    wanted = [row for row in rows if (name, *row, seed) not in done]
    yield from pattern_rows(data, plan, tools, args.dev, wanted, progress.tell)


def is_patterns(rows: Sequence[Row]) -> bool:
    """Whether these rows are of this bench."""
    return any("patterns" in row for row in rows)


LEAST_POOL = 250
"""Of texts, however few are asked for."""


def pool_of(counts: Sequence[int]) -> int:
    """Texts that a plan draws from."""
    return max(LEAST_POOL, *counts)
