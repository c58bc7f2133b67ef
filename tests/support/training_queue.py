"""Many projects with one trainer, simulated: what fine-tunes gain when they are trained in one order or another.

The projects are real ones: accuracy of the head alone and of what served after a fine-tune, the gate's verdict and
log-losses and the seconds, as docs/learning/fine-tunes.md lists them for each set, number of labels and order. When one
is due the product's policy says (backend/rules/finetune_due.py). Labels come at each project's own pace; a fine-tune
counts for less the more labels came since, as in a served blend.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.rules.finetune_due import Facts, why_due
from backend.rules.training.order import Waiting, put_in_order
from backend.settings.settings import Settings
from tests.support.rig import ROOT

PAGE = ROOT / "docs" / "learning" / "fine-tunes.md"
CLASSES = {"agnews": 4, "banking77": 77, "goemotions_ekman": 7, "smsspam": 2, "sst2": 2}
HOURS, MINUTE = 8, 60.0


@dataclass(frozen=True)
class Cell:
    """One measured fine-tune. `head`, `served`: accuracy; `loss`: the champion's log-loss on `rows` held out, `share`:
    of it that was taken away."""

    labels: int
    head: float
    served: float
    accepted: bool
    loss: float
    share: float
    rows: int
    seconds: float


Curve = Sequence[Cell]
Order = Callable[[Sequence[Waiting]], str]


def read_curves() -> dict[tuple[str, str], list[Cell]]:
    """Set and order of its texts -> its cells, by labels."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        parts = [part.strip() for part in line.strip("|").split("|")]
        if len(parts) != 8 or parts[0] not in CLASSES:
            continue
        losses = re.search(r"log-loss ([\d.]+) against ([\d.]+) on (\d+)", parts[6])
        assert losses is not None, line
        challenger, champion, rows = float(losses[1]), float(losses[2]), int(losses[3])
        head, served = (float(part.split("/")[0]) for part in parts[3:5])
        accepted = re.match(r"(significantly )?better", parts[6]) is not None
        share = 1 - challenger / champion
        cell = Cell(int(parts[1]), head, served, accepted, champion, share, rows, float(parts[7]))
        found.setdefault((parts[0], parts[2]), []).append(cell)
    return found


@dataclass
class Project:
    """One of many. `gained`: accuracy that its live fine-tune is worth; `asked_at`: since when one waits (s)."""

    name: str
    curve: Curve
    classes: int
    first: int
    pace: float
    trained: int = 0
    trained_at: float = 0.0
    refusals: int = 0
    gained: float = 0.0
    live: int = 0
    last: Cell | None = None
    asked_at: float | None = None

    def labels(self, now: float) -> int:
        """Labels at this moment."""
        return int(self.first + self.pace * now / 3600)

    def cell(self, labels: int) -> Cell:
        """The measured fine-tune with the number of labels that is nearest."""
        return min(self.curve, key=lambda cell: abs(math.log(cell.labels / max(1, labels))))

    def gain(self, now: float) -> float:
        """Accuracy that fine-tuning is worth now."""
        return self.gained * min(1.0, self.live / self.labels(now)) if self.live else 0.0

    def waiting(self, now: float) -> Waiting:
        """As the product's order sees it."""
        labels, last = self.labels(now), self.last
        return Waiting(
            self.name,
            now - (self.asked_at or 0.0),
            labels=labels,
            trained=self.trained,
            refusals=self.refusals,
            loss=self.cell(labels).loss,
            share=last.share if last else None,
            rows=last.rows if last else 0,
        )

    def is_due(self, policy: Settings, now: float) -> bool:
        """By the product's policy."""
        facts = Facts(
            self.labels(now), self.classes, now, self.trained or None, self.trained_at, refusals=self.refusals
        )
        return bool(why_due(policy, facts))

    def learn(self, labels: int, now: float) -> None:
        """A fine-tune on so many labels is over."""
        cell = self.cell(labels)
        self.trained, self.trained_at, self.last, self.asked_at = labels, now, cell, None
        self.refusals = 0 if cell.accepted else self.refusals + 1
        if cell.accepted:
            self.gained, self.live = cell.served - cell.head, labels


@dataclass
class Day:
    """`sums`: points of accuracy that fine-tunes are worth, over all projects, minute by minute."""

    sums: list[float] = field(default_factory=list)
    trainings: int = 0

    def at(self, hour: float) -> float:
        """The sum at this hour."""
        return self.sums[min(len(self.sums) - 1, round(60 * hour))]


def first_come(waiting: Sequence[Waiting]) -> str:
    """Who waits longest."""
    return max(waiting, key=lambda one: one.waited).job


def by_gain(waiting: Sequence[Waiting]) -> str:
    """The product's order."""
    return put_in_order(waiting)[0].job


def simulate(order: Order, seed: int, count: int = 40) -> Day:
    """A working day of `count` projects with one trainer; those that are due at the start came in a random order."""
    generator, policy, curves = np.random.default_rng(seed), Settings(), read_curves()
    kinds = list(curves)
    projects = {}
    for number in range(count):
        name, text_order = kinds[number % len(kinds)]
        first, pace = 2 ** generator.uniform(5, 9), 2 ** generator.uniform(3, 7)
        key = f"{number}-{name}"
        projects[key] = Project(key, curves[name, text_order], CLASSES[name], int(first), float(pace))
    turns = dict(zip(projects, generator.permutation(count), strict=True))
    day, busy, trained = Day(), 0.0, None
    for minute in range(60 * HOURS + 1):
        now = minute * MINUTE
        if trained is not None and now >= busy:
            trained[0].learn(trained[1], now)
            trained = None
            day.trainings += 1
        for key, project in projects.items():
            if project.asked_at is None and project.is_due(policy, now):
                project.asked_at = now - turns[key] / count  # those of one minute in their own order
        waits = [one for one in projects.values() if one.asked_at is not None]
        if trained is None and waits:
            chosen = projects[order([one.waiting(now) for one in waits])]
            labels = chosen.labels(now)
            trained, busy = (chosen, labels), now + chosen.cell(labels).seconds
        day.sums.append(100 * sum(one.gain(now) for one in projects.values()))
    return day
