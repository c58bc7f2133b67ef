"""Engines of tests/support/encoder_peers.py read the same texts in turn, and what came of it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.support.texts import mixed_texts
from model.encoder.int8 import LEAST_COSINE
from tests.support.encoder_peers import OURS, EngineProcess, Taken

SINGLE_TEXTS = 24
"""Read one by one in a round where one text at once is measured."""

WARM_TEXTS = 100
LARGE = 1000
"""Texts at once that are measured in every second round only."""

Readings = Mapping[tuple[int, str], list[Taken]]
"""(texts at once, engine) -> one reading a round, of one text."""

Row = dict[str, Any]


def compare_peers(opened: Mapping[str, EngineProcess], sizes: Sequence[int], rounds: int) -> Readings:
    """Each engine reads the round's texts before the next engine does; none is read twice by one."""
    warm = mixed_texts(WARM_TEXTS, seed=1)
    for engine in opened.values():
        engine.read(warm)
        engine.read(warm[:SINGLE_TEXTS], each=1)
    texts = iter(mixed_texts(sum(max(size, SINGLE_TEXTS) for size in sizes) * rounds))
    readings: dict[tuple[int, str], list[Taken]] = defaultdict(list)
    for number in range(rounds):
        for size in (size for size in sizes if size < LARGE or number % 2 == 0):
            some = [next(texts) for _ in range(SINGLE_TEXTS if size == 1 else size)]
            for name, engine in opened.items():
                taken = engine.read(some, each=size)
                readings[size, name].append(Taken(taken.cpu / len(some), taken.wall / len(some)))
    return readings


def cosine_to(exact: EngineProcess | None, other: EngineProcess, texts: Sequence[str]) -> float | None:
    """Of pooled outputs, the mean over texts; None of an engine that shows none."""
    one, two = exact and exact.vectors(texts), other.vectors(texts)
    if one is None or two is None:
        return None
    return float(((one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)).mean())


def rows_of_peers(
    readings: Readings, cosines: Mapping[str, float | None], chosen: str, threads: int
) -> Iterator[tuple[str, list[Row]]]:
    """(title, rows): every engine by texts at once, then who needs least. `times_chosen`: an engine's CPU over that of
    the format that the product takes, the median of the rounds' own ratios."""
    sizes = list(dict.fromkeys(size for size, _ in readings))
    core = f"{threads} thread{'s' * (threads > 1)}"
    rows = [_row(readings, size, name, cosines[name], chosen) for size, name in readings]
    rows.sort(key=lambda row: (sizes.index(row["texts"]), row["cpu_ms/text"]))
    yield f"encoders in process, {core}", [{**row, "texts": f"{row['texts']:,}"} for row in rows]
    yield f"who needs least, {core}", [_places([row for row in rows if row["texts"] == size]) for size in sizes]


def _row(readings: Readings, size: int, name: str, cosine: float | None, chosen: str) -> Row:
    found, base = readings[size, name], readings.get((size, chosen))
    row: Row = {
        "texts": size,
        "engine": name,
        "chosen": "chosen" if name == chosen else "",
        "cpu_ms/text": round(statistics.median(one.cpu for one in found) * 1000, 3),
        "wall_ms/text": round(statistics.median(one.wall for one in found) * 1000, 3),
        "texts/cpu_s": round(statistics.median(1 / one.cpu for one in found), 1),
        "rounds": len(found),
    }
    if base:
        row["times_chosen"] = round(statistics.median(a.cpu / b.cpu for a, b in zip(found, base, strict=True)), 2)
    return {**row, "cosine": "" if cosine is None else round(cosine, 5)}


def _places(rows: Sequence[Row]) -> Row:
    """Of the engines at one size. `of the exact ones`: of those whose cosine would let us take int8."""
    by_cpu, by_wall = (sorted(rows, key=lambda row: row[what]) for what in ("cpu_ms/text", "wall_ms/text"))
    ours = [place for place, row in enumerate(by_cpu, 1) if row["engine"].startswith(OURS)]
    chosen = [place for place, row in enumerate(by_cpu, 1) if row["chosen"]]
    exact = [row["engine"] for row in by_cpu if (row["cosine"] or 0.0) >= LEAST_COSINE]
    return {
        "texts": f"{rows[0]['texts']:,}",
        "least cpu": by_cpu[0]["engine"],
        "least wall": by_wall[0]["engine"],
        "of the exact ones": exact[0] if exact else "",
        "our best": by_cpu[ours[0] - 1]["engine"] if ours else "",
        "its place": f"{ours[0]} of {len(rows)}" if ours else "",
        "chosen's place": f"{chosen[0]} of {len(rows)}" if chosen else "",
    }
