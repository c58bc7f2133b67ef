"""Which annotations a task has, of a whole project: 16 bytes for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class TaskIndex:
    """`tasks` and `annotations` [n], a row for each annotation, by task and annotation."""

    tasks: Numbers
    annotations: Numbers

    @classmethod
    def build(cls, pairs: Numbers) -> TaskIndex:
        """Of (task, annotation) pairs [n, 2] in any order, each counted once."""
        unique = np.unique(pairs.reshape(-1, 2), axis=0)
        return cls(np.ascontiguousarray(unique[:, 0]), np.ascontiguousarray(unique[:, 1]))

    def __len__(self) -> int:
        """Annotations."""
        return len(self.tasks)

    @cached_property
    def shared(self) -> TaskIndex:
        """The tasks that have several."""
        _, places, counts = np.unique(self.tasks, return_inverse=True, return_counts=True)
        several = counts[places] > 1
        return TaskIndex(self.tasks[several], self.annotations[several])

    def holds(self, task: int) -> bool:
        """Whether it has this task."""
        place = int(np.searchsorted(self.tasks, task))
        return place < len(self.tasks) and int(self.tasks[place]) == task

    def portions(self, size: int) -> Iterator[list[int]]:
        """The annotations of so many tasks at a time."""
        starts = np.unique(self.tasks, return_index=True)[1][::size].tolist()
        for start, end in pairwise([*starts, len(self.tasks)]):
            yield self.annotations[start:end].tolist()
