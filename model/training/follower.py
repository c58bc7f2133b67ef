"""What a training's other processes do: the leader's steps, and nothing else.

The leader (rank 0) runs `model/training/run.py` as if it were alone and says before each training what is learned; the
others train along on their share of each batch until there is no more. They need the base model and no run
directory, so that they may be on other machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, cast

from model.kernels.matrix_product import PLAIN
from model.pretrained.base_model import find_base_model
from model.training.distributed import Team
from model.training.marks.marked_set import MarkedSet, MarkedSetJson
from model.training.questions.asked_set import AskedSet, AskedSetJson
from model.training.training_set import TrainingSetJson
from model.training.tuner import FineTuner, TrainingSet


class RunConfigJson(TypedDict):
    base_model: str
    lessons: list[TrainingSetJson]
    seed: int
    threads: int
    precision: str
    steps: int
    last: int | None
    watched: bool
    marks: list[MarkedSetJson | AskedSetJson]
    marked: int
    kernel: str


@dataclass(frozen=True)
class RunConfig:
    """One training: the arguments of `FineTuner` and `FineTuner.run` that all processes must share."""

    base_model: str
    lessons: tuple[TrainingSet, ...]
    seed: int
    threads: int
    precision: str
    steps: int
    last: int | None
    watched: bool
    marks: tuple[MarkedSet | AskedSet, ...] = ()
    marked: int = 0
    kernel: str = PLAIN

    def to_json(self) -> RunConfigJson:
        """For another process."""
        return {
            "base_model": self.base_model,
            "lessons": [lesson.to_json() for lesson in self.lessons],
            "seed": self.seed,
            "threads": self.threads,
            "precision": self.precision,
            "steps": self.steps,
            "last": self.last,
            "watched": self.watched,
            "marks": [lesson.to_json() for lesson in self.marks],
            "marked": self.marked,
            "kernel": self.kernel,
        }

    @staticmethod
    def from_json(raw: RunConfigJson) -> RunConfig:
        """What `to_json` gave."""
        return RunConfig(
            raw["base_model"],
            tuple(map(TrainingSet.from_json, raw["lessons"])),
            raw["seed"],
            raw["threads"],
            raw["precision"],
            raw["steps"],
            raw["last"],
            raw["watched"],
            tuple(map(_lesson, raw["marks"])),
            raw["marked"],
            raw["kernel"],
        )


def _lesson(raw: MarkedSetJson | AskedSetJson) -> MarkedSet | AskedSet:
    if "pairs" in raw:
        return AskedSet.from_json(cast("AskedSetJson", raw))
    return MarkedSet.from_json(raw)


def broadcast(team: Team, order: RunConfig | None) -> None:
    """The leader says what is trained next; None: it is over."""
    if team.size > 1:
        team.tell(order.to_json() if order else None)


def follow(team: Team) -> None:
    """Train along until it is over. Raises EncoderError without the base model."""
    while (raw := _hear(team)) is not None:
        order = RunConfig.from_json(raw)
        tuning = FineTuner(
            find_base_model(order.base_model),
            order.lessons,
            order.marks,
            seed=order.seed,
            threads=threads_each(order.threads, team),
            team=team,
            precision=order.precision,
            kernel=order.kernel,
        )
        watch = _leave_it_to_the_leader if order.watched else None
        tuning.run(order.steps, _say_nothing, marked=order.marked, last=order.last, watch=watch)


def _hear(team: Team) -> RunConfigJson | None:
    return team.tell(None)


def threads_each(threads: int, team: Team) -> int:
    """Torch threads of one process, so that those of a machine have `threads` together."""
    return max(1, threads // team.local) if threads else 0


def _say_nothing(step: int, loss: float) -> None:
    return None


def _leave_it_to_the_leader() -> bool:
    return False
