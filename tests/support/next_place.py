"""Which task of a planned batch Label Studio would hand out next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from model.acquisition.batch import QueueEntry


def next_place(
    places: Iterable[QueueEntry],
    solved: Mapping[int | None, int],
    taken: Collection[int],
    generator: np.random.Generator | None = None,
) -> QueueEntry | None:
    """What Label Studio would hand out: `solved`: cluster -> how many of its tasks the annotator has labelled; those of
    earlier batches count as None's. `taken`: tasks that are labelled or locked. With a generator: any of them.

    From `_try_uncertainty_sampling` of Label Studio 1.23 (projects/functions/next_task.py)."""
    left = [place for place in places if place.task not in taken]
    if not left:
        return None
    if generator is not None:
        return left[int(generator.integers(len(left)))]
    return min(left, key=lambda place: (solved.get(place.cluster, 0), place.confidence, place.task))
