"""Answers in a tree: the confidence of every level, and how deep one is sure.

A row holds the probability of every label; inner nodes may be labels of their own. A node is right when the answer is
the node itself or anything below it, so its confidence is the sum of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Path = tuple[str, ...]

SURE = 0.5
"""Confidence from which the walk goes on: below, another answer is likelier than this one and all below it."""


def node_confidences(paths: Sequence[Path], row: Floats) -> dict[Path, float]:
    """Every node of the tree, labels or not, with the sum of the row [K] over the labels at and below it.

    `[("A", "A1"), ("A", "A2"), ("B",)]` with `[.5, .3, .2]` gives A .8, A/A1 .5, A/A2 .3, B .2.
    """
    sums: dict[Path, float] = {}
    for path, share in zip(paths, row, strict=True):
        for depth in range(1, len(path) + 1):
            sums[path[:depth]] = sums.get(path[:depth], 0.0) + float(share)
    return sums


def descend(paths: Sequence[Path], row: Floats, sure: float = SURE) -> list[tuple[Path, float]]:
    """The answer for a row [K] of probabilities: (node, confidence) from the root down; the last one is the answer.

    From the likeliest branch down to the likeliest child, as long as its confidence is at least `sure` and no less than
    that of stopping there. The answer is always a label: nodes that are none are passed through, and where only
    leaves are labels it is the likeliest of them. Raises ValueError without paths.
    """
    if not paths:
        raise ValueError("a tree without labels has no answer")
    sums, own = node_confidences(paths, row), dict(zip(paths, map(float, row), strict=True))
    children: dict[Path, list[Path]] = {}
    for node in sums:
        children.setdefault(node[:-1], []).append(node)
    if not any(path in children for path in paths):
        node = max(own, key=lambda path: own[path])
    else:
        node = max(children[()], key=lambda child: sums[child])
        while below := children.get(node):
            best = max(below, key=lambda child: sums[child])
            if node in own and sums[best] < max(sure, own[node]):
                break
            node = best
    return [(node[:depth], sums[node[:depth]]) for depth in range(1, len(node) + 1)]


def keep_apart(
    paths: Sequence[Path], row: Floats, chosen: NDArray[np.bool_], most: int | None, with_parents: bool
) -> NDArray[np.bool_]:
    """Of the chosen nodes [K] the `most` likeliest (None: all), none together with a node above it.

    `with_parents`: people do give a node along with the one above it."""
    kept = np.zeros(len(chosen), dtype=bool)
    above = set() if with_parents else parents_of(paths[index] for index in np.flatnonzero(chosen))
    free = [index for index in np.flatnonzero(chosen) if paths[index] not in above]
    kept[sorted(free, key=lambda index: -row[index])[:most]] = True
    return kept


def parents_of(paths: Iterable[Path]) -> set[Path]:
    """Every node above one of these."""
    return {path[:depth] for path in paths for depth in range(1, len(path))}


def has_parents(paths: Sequence[Path]) -> bool:
    """Whether one of these nodes is above another."""
    return not parents_of(paths).isdisjoint(paths)
