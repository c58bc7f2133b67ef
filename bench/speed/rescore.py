"""A pool of cached texts answered anew after a refit: seconds, CPU, and how much memory of its own that takes.

python -m bench.speed.rescore [--texts 100000] [--classes 8,150] [--members 2,4] [--threads 0] [--seed 1] [--json]

Texts, features and heads are made up (bench/support/synthetic.py) and written through the real feature matrix. `warm`:
the matrix is in the page cache; `cold`: the kernel was asked to forget it, so that it is read from disk. `own MB`: the
most anonymous memory that the work added, mapped file pages left out. The line `text by text` is the way without a
matrix: features from the feature cache, words from the texts; measured on fewer texts and scaled up.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.support.report import show
from bench.support.synthetic import DEPTH, WIDTH, make_features, make_head, make_live, make_texts
from model.acquisition.pool_scoring import rescore
from model.features.cache import CachedEncoder, FeatureCache
from model.features.hashed_tfidf import pack_terms
from model.features.matrix import FeatureMatrix
from model.interfaces import Embedder
from model.spec import Text
from model.texts import text_key
from model.versions.live_model import LiveModel

BATCH = 2_000
ROUNDS = 3
BASELINE = 2_000
"""Texts answered without the matrix."""


class Drawn(Embedder):
    """An encoder of made-up features, for the feature cache."""

    digest, depth, width = "ab" * 8, DEPTH, WIDTH

    def embed(self, texts: list[Text]) -> np.ndarray:
        """[n, DEPTH, WIDTH]."""
        return make_features(len(texts), len(texts))


def fill(path: Path, texts: list[Text], seed: int) -> dict[str, Any]:
    """Write the matrix; what that took."""
    matrix, began = FeatureMatrix(path, "bench", DEPTH, WIDTH, 16_384), time.perf_counter()
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        packed = [pack_terms(text) for text in part]
        matrix.append([text_key(text) for text in part], make_features(len(part), seed + start), packed)
    size = sum(file.stat().st_size for file in path.iterdir())
    return {"texts": len(matrix), "wall_s": round(time.perf_counter() - began, 1), "file_mb": round(size / 1e6)}


def forget(path: Path) -> None:
    """Ask the kernel to drop the files from its page cache; nothing may have them mapped."""
    for file in path.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def anonymous_mb() -> float:
    """Memory of this process that is no file's."""
    found = re.search(r"^Anonymous:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")


def growth(work: Callable[[], Any]) -> float:
    """MB of anonymous memory that `work` adds at its peak, looked at every 10 ms."""
    before, done, seen = anonymous_mb(), threading.Event(), [0.0]

    def watch() -> None:
        while not done.wait(0.01):
            seen.append(anonymous_mb() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return max(seen)


def timed(work: Callable[[], Any]) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, MB read from disk)."""
    process = psutil.Process()
    read, cpu, wall = process.io_counters().read_bytes, time.process_time(), time.perf_counter()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu, (process.io_counters().read_bytes - read) / 1e6


def measure(path: Path, live: LiveModel, threads: int) -> dict[str, Any]:
    """Cold once, then warm: medians."""

    def work() -> None:
        rescore(live, "label", FeatureMatrix(path, "bench", DEPTH, WIDTH, 16_384), threads=threads)

    forget(path)
    cold_wall, _, cold_read = timed(work)
    wall, cpu, _ = np.median([timed(work) for _ in range(ROUNDS)], axis=0)
    return {
        "wall_s": round(float(wall), 2),
        "cpu_s": round(float(cpu), 2),
        "cold_wall_s": round(cold_wall, 2),
        "cold_read_mb": round(cold_read),
        "own_mb": round(growth(work), 1),
    }


def measure_baseline(path: Path, live: LiveModel, texts: list[Text], count: int) -> dict[str, Any]:
    """The same answers without the matrix, scaled up to `count` texts."""
    cached = CachedEncoder(Drawn(), FeatureCache(path, 512))
    cached.embed(texts)
    head = live.heads["label"]

    def work() -> None:
        for start in range(0, len(texts), 256):
            part = texts[start : start + 256]
            head.scores(part, cached.embed(part))

    work()
    wall, cpu, _ = timed(work)
    scale = count / len(texts)
    cached.cache.close()
    return {"wall_s": round(wall * scale, 2), "cpu_s": round(cpu * scale, 2)}


def numbers(text: str) -> list[int]:
    """Comma-separated numbers; none in an empty text."""
    return [int(part) for part in text.split(",") if part]


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--classes", type=numbers, default=[8, 150])
    parser.add_argument("--members", type=numbers, default=[2, 4])
    parser.add_argument("--threads", type=int, default=0, help="0: as many as cores")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    texts = make_texts(args.texts, args.seed)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="us-rescore-") as scratch:
        path = Path(scratch) / "pool"
        filled = fill(path, texts, args.seed)
        for classes in args.classes:
            for words in (False, True):
                for members in args.members:
                    live = make_live(make_head(classes, words=words, members=members, seed=args.seed))
                    facts = {"classes": classes, "words": words, "members": members}
                    rows.append({"way": "matrix", **facts, **measure(path, live, args.threads)})
                few = texts[:BASELINE]
                cost = measure_baseline(Path(scratch) / f"cache-{classes}-{words}", live, few, len(texts))
                rows.append({"way": "text by text", **facts, **cost})
    show(f"matrix of {args.texts} texts written, seed {args.seed}", [filled], args.json)
    show(f"{args.texts} cached texts answered anew", rows, args.json)


if __name__ == "__main__":
    main()
