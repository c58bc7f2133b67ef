"""What annotations a task has: every one once, by task, in portions of whole tasks."""

from __future__ import annotations

from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.dataset.task_index import TaskIndex

PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2**62)), max_size=80)


@given(PAIRS, st.integers(1, 9))
def test_every_annotation_comes_once_with_those_of_its_task(pairs: list[tuple[int, int]], size: int) -> None:
    index = TaskIndex.build(np.array(pairs + pairs[:5], np.int64).ravel())
    wanted = {task: sorted({own for other, own in pairs if other == task}) for task, _ in pairs}
    assert len(index) == sum(map(len, wanted.values()))
    ordered = [wanted[task] for task in sorted(wanted)]
    assert list(index.portions(size)) == [
        list(chain.from_iterable(ordered[start : start + size])) for start in range(0, len(ordered), size)
    ]
    several = {task: own for task, own in sorted(wanted.items()) if len(own) > 1}
    assert list(chain.from_iterable(index.portions(size, shared=True))) == list(chain.from_iterable(several.values()))
