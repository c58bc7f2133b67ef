"""What is told outside, one small JSON object an event: numbers, names of versions, and sentences of ours. Never a
task's text, an annotator's name or what a library said, which may hold either."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import StrEnum

OUTBOX_EVENTS = 1000
"""Kept for an endpoint; of more the oldest go."""

NOTHING: tuple[str, str, int] = ("", "", 0)
"""In the place of an event's arguments."""


About = Mapping[str, str | int | float | None]


class EventType(StrEnum):
    """Stable: receivers compare them."""

    PUBLISHED = "version.published"
    REFUSED = "version.refused"
    WITHDRAWN = "version.withdrawn"
    TRAINING_FAILED = "training.failed"
    REFIT_FAILED = "refit.failed"
    REFIT_RECOVERED = "refit.recovered"
    DRIFT = "drift.noticed"
    ENOUGH = "labels.enough"
    TEST = "test"


def _new_id() -> str:
    """Begins with its microsecond, so that the oldest are found."""
    return f"evt_{time.time_ns() // 1000:014x}{secrets.token_hex(9)}"


@dataclass(frozen=True)
class Event:
    """`project`: None for what concerns none. `about`: what differs from type to type. `id`: the same at each attempt.
    `at`: epoch seconds."""

    type: EventType
    project: int | None
    message: str
    about: About = field(default_factory=dict)
    id: str = field(default_factory=_new_id)
    at: float = field(default_factory=time.time)

    @property
    def body(self) -> str:
        """JSON, as Standard Webhooks wants payloads: type, timestamp, data."""
        moment = datetime.fromtimestamp(self.at, timezone.utc).isoformat(timespec="milliseconds")
        place = {} if self.project is None else {"project": self.project}
        data = {**place, **self.about, "message": self.message}
        whole = {"type": self.type, "id": self.id, "timestamp": moment.replace("+00:00", "Z"), "data": data}
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))

    @property
    def arguments(self) -> tuple[str, str, int]:
        """For a script that tells it (tell.lua)."""
        return self.id, self.body, OUTBOX_EVENTS


def published(project: int, version: str, previous: str | None) -> Event:
    """A challenger has passed the gate and is live."""
    said = f"project {project}: {version} has passed the gate and is live" + (f", after {previous}" if previous else "")
    return Event(EventType.PUBLISHED, project, said, {"version": version, "previous": previous})


def withdrawn(project: int, version: str | None, live: str, why: str) -> Event:
    """`version` was live, or is a fine-tune with a share in what was; `live` answers instead."""
    said = f"project {project}: {version} was withdrawn, {live} is live: {why}"
    return Event(EventType.WITHDRAWN, project, said, {"version": version, "live": live, "reason": why})


def refused(project: int, job: str | None, version: str | None, reason: str) -> Event:
    """The gate, or what comes after it, keeps a challenger from going live. `job`: None for an imported model."""
    what = f"challenger {version}" if version else "a challenger"
    said = f"project {project}: {what} was refused: {reason}"
    return Event(EventType.REFUSED, project, said, {"version": version, "job": job, "reason": reason})


def training_failed(project: int, job: str) -> Event:
    """Not tried again by itself before there are more labels."""
    said = f"project {project}: training {job} failed; `understudy status {project}` and the log of `trainer` say why"
    return Event(EventType.TRAINING_FAILED, project, said, {"job": job})


def refit_failed(project: int, failures: int) -> Event:
    """It is tried again and again; the version that is live answers meanwhile."""
    said = (
        f"project {project}: {failures} refits in a row have failed, new labels are not learned; "
        f"`understudy status {project}` and the log of `learner` say why"
    )
    return Event(EventType.REFIT_FAILED, project, said, {"failures": failures})


def refit_recovered(project: int) -> Event:
    """After failures that were told."""
    said = f"project {project}: a refit has succeeded, new labels are learned again"
    return Event(EventType.REFIT_RECOVERED, project, said)


def drift_noticed(project: int, control: str, tests: int, right: float, expected: float) -> Event:
    """The last `tests` answers were `right` less often than was to be `expected`."""
    said = (
        f"project {project}, {control}: of the last {tests} labels {right:.0%} were answered right before they were "
        f"learned, {expected:.0%} were to be expected: other texts, other rules, or an import that went wrong?"
    )
    about: About = {"control": control, "labels": tests, "right": right, "expected": expected}
    return Event(EventType.DRIFT, project, said, about)


def labels_enough(
    project: int, control: str, measure: str, level: tuple[float, float], labels: int, target: float
) -> Event:
    """`level`: of unlabelled tasks, estimate and lower bound."""
    said = (
        f"project {project}, {control}: {labels} labels are enough for {target:.0%}: {measure} on unlabelled tasks is "
        f"{level[0]:.1%}, surely {level[1]:.1%}"
    )
    about: About = {"control": control, "measure": measure, "estimate": level[0], "low": level[1], "labels": labels}
    return Event(EventType.ENOUGH, project, said, {**about, "target": target})


def trial() -> Event:
    """Sent when somebody asks for it."""
    return Event(EventType.TEST, None, "a test of understudy's notifications: nothing has happened")
