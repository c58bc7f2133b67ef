"""Which of the fine-tunes that wait is trained first: the one from which most is expected. Pure (decision 0089).

Expected gain, in log-loss: that of the newest labels before they were learned, times the share of it that a fine-tune
takes away (this project's last one, as far as that is known, else the usual one), times the share of its labels that no
fine-tune has seen, halved for each that came to nothing since. What people ask for goes first, then what has waited too
long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_WAIT_SECONDS = 4 * 3600.0
"""After which a training goes before all that the policy asked for later: no project starves."""

USUAL_SHARE, USUAL_ROWS = 0.05, 300
"""Share of the log-loss that a fine-tune takes away where nothing is known, and the held-out rows that speak as loud as
that: with 64 rows a project's own figure is mostly noise (docs/learning/fine-tunes.md)."""

LEAST_SHARE = 0.005
"""Where the last ones made things worse, the next may still help."""

UNKNOWN_LOSS = 0.5
"""Before labels have been answered ahead of learning."""


@dataclass(frozen=True)
class Waiting:
    """A training that waits. `waited` in seconds; `asked`: by people, not by the policy. `labels` now, and `trained` at
    the last fine-tune, 0 before the first; `refusals`: those in a row that came to nothing. `loss`: log-loss of the
    newest labels before they were learned (for marked text what F1 lacks). `share`: of it that the last one took
    away on `rows` that were held out."""

    job: str
    waited: float
    asked: bool = False
    labels: int = 0
    trained: int = 0
    refusals: int = 0
    loss: float | None = None
    share: float | None = None
    rows: int = 0


@dataclass(frozen=True)
class Place:
    """One of those that wait, and why it stands where it stands."""

    job: str
    why: str


def put_in_order(waiting: Sequence[Waiting]) -> list[Place]:
    """Who is trained first, second, …"""
    return [Place(one.job, _say(one)) for one in sorted(waiting, key=_rank)]


def expect_gain(one: Waiting) -> float:
    """Log-loss less, as far as anybody can know before it is trained."""
    share = USUAL_SHARE
    if one.share is not None and one.rows:
        share = (USUAL_ROWS * USUAL_SHARE + one.rows * one.share) / (USUAL_ROWS + one.rows)
    loss = UNKNOWN_LOSS if one.loss is None else one.loss
    return loss * max(LEAST_SHARE, share) * _unseen(one) * 0.5**one.refusals


def _unseen(one: Waiting) -> float:
    """Share of the labels that no fine-tune has seen."""
    return max(0.0, 1 - one.trained / one.labels) if one.labels else 1.0


def _rank(one: Waiting) -> tuple[int, float, float]:
    """Those that people asked for, and those that waited too long, in the order in which they came."""
    if one.asked or one.waited >= LONGEST_WAIT_SECONDS:
        return (0 if one.asked else 1, -one.waited, 0.0)
    return (2, -expect_gain(one), -one.waited)


def _say(one: Waiting) -> str:
    if one.asked:
        return "somebody asked for it"
    if one.waited >= LONGEST_WAIT_SECONDS:
        return f"it has waited for {one.waited / 60:.0f} minutes"
    seen = f"up from {one.trained}" if one.trained else "never fine-tuned"
    loss = "" if one.loss is None else f", log-loss {one.loss:.2f}"
    tried = f", {one.refusals} that came to nothing" if one.refusals else ""
    return f"expected to gain {expect_gain(one):.4f}: {one.labels} labels, {seen}{loss}{tried}"
