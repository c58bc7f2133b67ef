"""What goes wrong when, as a pure function of the seed; and who carries it out, and notes what was done."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.chaos.checker import History
from bench.chaos.product import ROLES, Product
from bench.chaos.traffic import Proxy
from tests.support.label_studio_stub import LabelStudioStub

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
CALM_SECONDS = 6.0
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
    at = CALM_SECONDS
    while (at := at + chance.expovariate(1 / KILL_EVERY)) < seconds:
        faults.append(Fault(at, "kill", chance.choices(list(KILLS), list(KILLS.values()))[0]))
    choices = [*WEATHER, *(REDIS_ROAD if redis_road else ()), *(DISK_FULL if disk else ())]
    at = CALM_SECONDS
    while (at := at + chance.expovariate(1 / WEATHER_EVERY)) < seconds:
        kind, target, least, most = chance.choice(choices)
        faults.append(Fault(at, kind, target, min(chance.uniform(least, most), seconds - at)))
    return sorted(faults, key=lambda fault: fault.at)


VICTIM_WAIT_SECONDS = 2.0
"""Seconds that a kill waits for its victim to be there at all, then takes another one."""


class Nemesis:
    """One thread kills; each other fault has a thread that also ends it."""

    def __init__(
        self, product: Product, stand_in: LabelStudioStub, roads: Mapping[str, Proxy], history: History, seed: int
    ) -> None:
        self._product, self._stand_in, self._roads, self._history = product, stand_in, roads, history
        self._random = random.Random(seed)
        self._weather: list[threading.Thread] = []
        self.failure = ""

    def run(self, schedule: Sequence[Fault]) -> None:
        """Until the last fault is over and everything is healed."""
        began = time.monotonic()
        for fault in schedule:
            time.sleep(max(0.0, began + fault.at - time.monotonic()))
            if self._product.has_ended():
                self._start_again()
            if self.failure:
                break
            if fault.kind == "kill":
                self._kill(fault.target)
            else:
                thread = threading.Thread(target=self._spoil, args=(fault,), daemon=True)
                self._weather.append(thread)
                thread.start()
        for thread in self._weather:
            thread.join()

    def _kill(self, role: str) -> None:
        if role == "supervisor":
            return self._kill_supervisor()
        began = time.monotonic()
        while (waited := time.monotonic() - began) < 3 * VICTIM_WAIT_SECONDS:
            running = self._product.processes()
            name = "trainer" if role == "training" and "training" not in running else role
            if name not in running and waited > VICTIM_WAIT_SECONDS:  # it is still away from the last time
                name = self._random.choice([other for other in ROLES if other in running] or [role])
            if pids := running.get(name):
                pid = self._random.choice(pids)
                before = time.time()
                if self._product.kill(pid):
                    self._history.note("kill", t=before, role=name, pid=pid, had=pids)
                    return
            time.sleep(0.1)
        self._history.note("missed", role=role)

    def _kill_supervisor(self) -> None:
        process = self._product.rig.process
        if process is None:
            return
        running = [pid for pids in self._product.processes().values() for pid in pids]
        self._product.restarting.set()
        self._history.note("kill", role="supervisor", pid=process.pid, had=running)
        process.send_signal(signal.SIGKILL)
        self._start()

    def _start_again(self) -> None:
        """As whoever runs services on a machine does when `up` has ended by itself, which it should not have."""
        process = self._product.rig.process
        status = process.returncode if process else None
        self._history.note("broken", what=f"`up` ended by itself with status {status}: {self._product.rig.log_tail()}")
        self._start()

    def _start(self) -> None:
        try:
            self._history.note("up", seconds=round(self._product.restart(), 2))
        except RuntimeError as error:
            self.failure = str(error)
            self._history.note("broken", what=f"`up` did not start again: {str(error)[-1500:]}")

    def _spoil(self, fault: Fault) -> None:
        undo = self._begin(fault)
        if undo is None:
            return self._history.note("missed", role=f"{fault.kind} {fault.target}")
        self._history.note("fault", what=fault.kind, target=fault.target, seconds=round(fault.seconds, 2))
        time.sleep(fault.seconds)
        undo()
        self._history.note("healed", what=fault.kind, target=fault.target)

    def _begin(self, fault: Fault) -> Callable[[], None] | None:
        """Starts it; what ends it. None: there is nothing to harm."""
        if fault.kind == "pause":
            pids = self._product.processes().get(fault.target, [])
            self._product.pause(pids)
            return (lambda: self._product.pause(pids, go_on=True)) if pids else None
        if fault.kind == "label studio":
            self._stand_in.mode = fault.target
            return lambda: setattr(self._stand_in, "mode", "whole")
        if fault.kind == "disk":
            threading.Thread(target=self._product.disk.fill, daemon=True).start()
            return self._product.disk.empty
        road = self._roads[fault.kind.removesuffix(" road")]
        road.set(fault.target, latency=self._random.uniform(0.02, 0.6))
        return lambda: road.set("pass")
