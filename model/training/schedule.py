"""When a fine-tune ends before its last step: held-out answers get worse while the training loss still falls. Pure."""

from __future__ import annotations

from collections.abc import Sequence

LOOKS = 8
"""Looks at the held-out rows in one training, evenly over its second half."""

WORSE = 1.03
"""Held-out loss, in units of the lowest seen, that counts as worse: less is noise of a few dozen rows."""


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
