"""Answers in a tree: the confidence of every level, and how deep one is sure.

A row holds the probability of every label; inner nodes may be labels of their own. A node is right when the answer is
the node itself or anything below it, so its confidence is the sum of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats

Path = tuple[str, ...]

ROOT_NODE = -1
"""Above all nodes; no label."""

DESCENT_CONFIDENCE = 0.5
"""Confidence from which the walk goes on: below, another answer is likelier than this one and all below it."""


def descend(paths: Sequence[Path], row: Floats, sure: float = DESCENT_CONFIDENCE) -> list[tuple[Path, float]]:
    """`Tree(paths).descend(row, sure)`."""
    return Tree(paths).descend(row, sure)


class Tree:
    """The nodes of these paths, made once: with 6,000 labels the tree takes longer than the answer.

    Raises ValueError without paths."""

    def __init__(self, paths: Sequence[Path]) -> None:
        if not paths:
            raise ValueError("a tree without labels has no answer")
        place: dict[Path, int] = {}
        pairs = [
            (place.setdefault(path[:depth], len(place)), label)
            for label, path in enumerate(paths)
            for depth in range(1, len(path) + 1)
        ]
        self.nodes, self.paths = list(place), list(paths)
        self._node_of, self._label_of = np.array(pairs, dtype=np.int64).T
        self._label = {place[path]: label for label, path in enumerate(paths) if path}
        self._children: dict[int, list[int]] = {}
        for node, number in place.items():
            self._children.setdefault(place[node[:-1]] if len(node) > 1 else ROOT_NODE, []).append(number)
        self._flat = not any(number in self._children for number in self._label)
        self._place = place

    def confidences(self, row: Floats) -> Floats:
        """Of every node of `nodes`, labels or not: the sum of the row [K] over the labels at and below it.

        `[("A", "A1"), ("A", "A2"), ("B",)]` with `[.5, .3, .2]` gives A .8, A/A1 .5, A/A2 .3, B .2."""
        weights = np.asarray(row, dtype=float)[self._label_of]
        return np.asarray(np.bincount(self._node_of, weights=weights, minlength=len(self.nodes)), dtype=float)

    def descend(self, row: Floats, sure: float = DESCENT_CONFIDENCE) -> list[tuple[Path, float]]:
        """The answer for a row [K] of probabilities: (node, confidence) from the root down; the last is the answer.

        From the likeliest branch down to the likeliest child, as long as its confidence is at least `sure` and no less
        than that of stopping there. The answer is always a label: nodes that are none are passed through, and where
        only leaves are labels it is the likeliest of them."""
        row, sums = np.asarray(row, dtype=float), self.confidences(row)
        node = self._place[self.paths[int(row.argmax())]] if self._flat else self._walk(row, sums, sure)
        path = self.nodes[node]
        above = [path[:depth] for depth in range(1, len(path) + 1)]
        return [(step, float(sums[self._place[step]])) for step in above]

    def _walk(self, row: Floats, sums: Floats, sure: float) -> int:
        node = ROOT_NODE
        while below := self._children.get(node):
            best = below[int(sums[below].argmax())]
            label = self._label.get(node)
            if label is not None and sums[best] < max(sure, float(row[label])):
                break
            node = best
        return node


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
