"""Which annotations a task has, of a whole project: 16 bytes for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

CUT_ROWS = 4096
"""Annotations that are looked through for tasks at a time."""


@dataclass(frozen=True)
class TaskIndex:
    """`tasks` and `annotations` [n], a row for each annotation, by task and annotation."""

    tasks: Numbers
    annotations: Numbers

    @classmethod
    def build(cls, pairs: Numbers) -> TaskIndex:
        """Of (task, annotation) pairs [n, 2] in any order, each counted once."""
        pairs = pairs.reshape(-1, 2)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        tasks, annotations = pairs[order, 0], pairs[order, 1]
        del order
        again = (tasks[1:] == tasks[:-1]) & (annotations[1:] == annotations[:-1])
        if not again.any():
            return cls(tasks, annotations)
        once = np.concatenate([[True], ~again])
        return cls(tasks[once], annotations[once])

    def __len__(self) -> int:
        """Annotations."""
        return len(self.tasks)

    def portions(self, size: int, *, shared: bool = False) -> Iterator[list[int]]:
        """The annotations of so many tasks at a time; `shared`: of those alone that have several."""
        found: list[int] = []
        count = 0
        for own in self._by_task():
            if len(own) > 1 or not shared:
                found += own
                count += 1
            if count == size:
                yield found
                found, count = [], 0
        if found:
            yield found

    def _by_task(self) -> Iterator[list[int]]:
        """A task's annotations."""
        own: list[int] = []
        last = None
        for start in range(0, len(self), CUT_ROWS):
            rows = slice(start, start + CUT_ROWS)
            for task, annotation in zip(self.tasks[rows].tolist(), self.annotations[rows].tolist(), strict=True):
                if task != last and own:
                    yield own
                    own = []
                last = task
                own.append(annotation)
        if own:
            yield own
