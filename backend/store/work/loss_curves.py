"""How the loss of each of a project's fine-tunes went, for as long as the fine-tune is among the recent ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import project_key

CURVE_POINTS = 60
"""Of a curve, at most: more are not told apart in a picture."""

Point = tuple[int, float]
"""After which step, and the loss."""


class LossCurve(TypedDict):
    """`loss` of training: where there are many steps the mean of some of them; `held_out`: on rows that are not
    learned, at every look at them; `starts`: the first step of each training that the fine-tune is
    made of, since a check of the evidence begins anew."""

    loss: list[Point]
    held_out: list[Point]
    starts: list[int]


def join_curve(
    earlier: LossCurve | None, loss: Sequence[Point], held_out: Sequence[Point], starts: Sequence[int]
) -> LossCurve:
    """`earlier`: of an attempt that this one goes on from, perhaps from an earlier step than it had reached."""
    before: LossCurve = earlier or {"loss": [], "held_out": [], "starts": []}
    first = loss[0][0] if loss else None
    return {
        "loss": thin([*_before(before["loss"], first), *loss]),
        "held_out": [*_before(before["held_out"], first), *held_out],
        "starts": sorted({*(step for step in before["starts"] if first is None or step < first), *starts}),
    }


def thin(points: Sequence[Point], most: int = CURVE_POINTS) -> list[Point]:
    """The means of so many portions that are alike, each at the last of its steps."""
    found: list[Point] = []
    count = min(most, len(points))
    for place in range(count):
        own = points[place * len(points) // count : (place + 1) * len(points) // count]
        found.append((own[-1][0], round(sum(loss for _, loss in own) / len(own), 4)))
    return found


def _before(points: Sequence[Point], step: int | None) -> list[Point]:
    return [point for point in points if step is None or point[0] < step]


class LossCurveStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def save(self, project: int, job: str, curve: LossCurve) -> None:
        """In place of what was known of the fine-tune; curves of those that are forgotten go."""
        key = project_key(project, "losses")
        self._redis.hset(key, job, json.dumps(curve, separators=(",", ":")))
        known = set(self._redis.lrange(project_key(project, "jobs"), 0, -1))
        if gone := [name for name in self._redis.hkeys(key) if name not in known and name != job]:
            self._redis.hdel(key, *gone)

    @guarded
    def read(self, project: int, jobs: Sequence[str]) -> dict[str, LossCurve]:
        """Those of these fine-tunes that have one."""
        if not jobs:
            return {}
        texts = self._redis.hmget(project_key(project, "losses"), list(jobs))
        return {job: json.loads(text) for job, text in zip(jobs, texts, strict=True) if text is not None}
