"""The schedule of a fine-tune: how many steps, at which rate, and when it ends early because held-out answers get worse
while the training loss still falls. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BATCH = 16
WARM_UP = 0.1

LOOKS = 8
"""Looks at the held-out rows in one training, evenly over its second half."""

WORSE = 1.03
"""Held-out loss, in units of the lowest seen, that counts as worse: less is noise of a few dozen rows."""


def steps_for(count: int) -> int:
    """Optimiser steps for `count` labels: 60, 100, 200 and 300 at 16, 64, 256 and 1,000, linear in log n between."""
    return round(float(np.interp(np.log(max(count, 1)), np.log([16, 64, 256, 1000]), [60, 100, 200, 300])))


def rate_at(step: int, steps: int) -> float:
    """Share of the learning rate: linear warm-up, then linear decay to 0."""
    warm = max(1, round(WARM_UP * steps))
    return (step + 1) / warm if step < warm else (steps - step) / max(1, steps - warm)


def looks_at(steps: int) -> frozenset[int]:
    """The steps after which to look, the last one excepted."""
    half = steps // 2
    return frozenset(half + round((steps - half) * look / LOOKS) for look in range(LOOKS)) - {0, steps}


def should_stop(losses: Sequence[float]) -> bool:
    """Whether the held-out losses so far have risen at the last two looks, beyond noise."""
    if len(losses) < 3:
        return False
    first, second, third = losses[-3:]
    return first < second < third and third > WORSE * min(losses)
