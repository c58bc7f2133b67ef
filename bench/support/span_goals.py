"""What the span head shall reach on the development sets: micro-F1 by set and number of texts.

From the measured table of methods (section 12 of the design notes on spans). None: nothing but that no clicks are lost.
Saved edits and calibration have goals everywhere."""

from __future__ import annotations

GOALS: dict[str, dict[int, float | None]] = {
    "wikigold": {0: 0.645, 8: 0.660, 16: 0.675, 64: 0.710, 256: 0.770, 1000: 0.790},
    "wnut17": {0: None, 8: 0.155, 16: 0.205, 64: 0.270, 256: 0.355, 1000: 0.335},
    "bc5cdr": {0: 0.255, 8: 0.570, 16: 0.615, 64: 0.660, 256: 0.720, 1000: 0.755},
    "snips": {0: None, 8: 0.215, 16: 0.380, 64: 0.575, 256: 0.765, 1000: 0.890},
}

OTHER_SOURCES = ("wnut17",)
"""Sets whose test texts come from other sources than what is labelled: calibration cannot know them."""


def ece_goal(name: str, count: int) -> float | None:
    """Largest calibration error of shown spans; None where nothing is asked (before any label)."""
    if count == 0:
        return None
    return 0.08 if count >= 64 and name not in OTHER_SOURCES else 0.12


def shortfalls(name: str, count: int, f1: float, saved: float, ece: float) -> list[str]:
    """What falls short of the goals, and by how much; empty when nothing."""
    goal, error = GOALS.get(name, {}).get(count), ece_goal(name, count)
    missed = []
    if goal is not None and f1 < goal - 5e-4:
        missed.append(f"F1 -{goal - f1:.3f}")
    least = 0.0 if count in (0, *range(16, 1 << 20)) else None
    if least is not None and saved < least - 5e-4:
        missed.append(f"saved {saved:.3f}")
    if error is not None and ece > error + 5e-4:
        missed.append(f"ECE +{ece - error:.3f}")
    return missed
