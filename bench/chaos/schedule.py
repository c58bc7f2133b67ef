"""What goes wrong when: a pure function of the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

KILLS = {
    "redis": 24,
    "training": 18,
    "web": 15,
    "learner": 15,
    "sync": 10,
    "scheduler": 9,
    "trainer": 6,
    "supervisor": 3,
}
"""Shares of the victims of kill -9. `training` is the process of a fine-tune; without one the trainer dies."""

KILL_EVERY = 4.6
"""Mean seconds between two kills: more than ten a minute, restarts of everything included."""

WEATHER_EVERY = 9.0
WEATHER = (
    ("pause", "redis", 1.0, 5.0),
    ("pause", "web", 1.0, 5.0),
    ("pause", "learner", 1.0, 5.0),
    ("label studio", "down", 3.0, 15.0),
    ("label studio", "error", 3.0, 15.0),
    ("label studio", "unauthorized", 3.0, 10.0),
    ("label studio", "short page", 5.0, 20.0),
    ("label studio", "cut page", 5.0, 20.0),
    ("label studio", "no annotations", 5.0, 20.0),
    ("label studio", "slow", 5.0, 15.0),
    *(
        (f"{road} road", mode, 2.0, 8.0)
        for road in ("webhook", "api")
        for mode in ("latency", "reset", "silence", "slow close")
    ),
)
REDIS_ROAD = tuple(("redis road", mode, 1.0, 5.0) for mode in ("latency", "reset", "silence", "slow close"))
DISK_FULL = (("disk", "full", 3.0, 8.0),) * 3
CALM = 6.0
"""Seconds before the first fault."""


@dataclass(frozen=True)
class Fault:
    """`kind` kill (of `target`) or what happens to `target` for `seconds`."""

    at: float
    kind: str
    target: str
    seconds: float = 0.0


def make_schedule(seed: int, seconds: float, *, redis_road: bool, disk: bool) -> list[Fault]:
    """Faults by time. Those with a duration are over before `seconds`."""
    chance = random.Random(seed)
    faults = []
    at = CALM
    while (at := at + chance.expovariate(1 / KILL_EVERY)) < seconds:
        faults.append(Fault(at, "kill", chance.choices(list(KILLS), list(KILLS.values()))[0]))
    choices = [*WEATHER, *(REDIS_ROAD if redis_road else ()), *(DISK_FULL if disk else ())]
    at = CALM
    while (at := at + chance.expovariate(1 / WEATHER_EVERY)) < seconds:
        kind, target, least, most = chance.choice(choices)
        faults.append(Fault(at, kind, target, min(chance.uniform(least, most), seconds - at)))
    return sorted(faults, key=lambda fault: fault.at)
