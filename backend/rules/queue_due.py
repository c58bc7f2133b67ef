"""When a project's queue is planned anew, and what its versions are called. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from backend.settings.settings import Settings

LEAST_GROWTH = 8
"""Fewest new answers that make a plan due by growth: with fewer the model has hardly changed."""

USED_SHARE = 0.5
"""Share of the batch whose use makes a plan due, whatever the model learned from it."""

URGENT, URGENT_SECONDS = 0.75, 5.0
"""When so much of it is used, QUEUE_SECONDS are not waited for: an empty queue is a random one."""

MORE_TEXTS = 1.5
"""Growth of the known pool that makes a plan due."""

OFF_SECONDS = 600.0
"""How long until it is looked again whether a project that was not steered is to be."""

_VERSION = re.compile(r"(?P<base>.*) queue (?P<number>\d{1,9})", re.DOTALL)


@dataclass(frozen=True)
class QueueFacts:
    """One project at one moment. `live`: the version that answers, as (fine-tune, refit); `answers`: annotations known;
    `known`: texts that could be planned with. `planned_*` the same when the last plan was made, `size` its tasks and
    `open` the unlabelled tasks it was chosen from; `planned_at` epoch seconds, None before the first plan. `off_at`:
    when it was found that the project is not to be steered, None when it is."""

    now: float
    live: tuple[int, int] | None
    answers: int = 0
    known: int = 0
    planned_at: float | None = None
    planned_live: tuple[int, int] = (0, 0)
    planned_answers: int = 0
    planned_known: int = 0
    size: int = 0
    open: int = 0
    off_at: float | None = None


def why_plan(policy: Settings, facts: QueueFacts) -> str:
    """Why to plan the queue now, "" for not now."""
    if not policy.queue_enabled or facts.live is None or not facts.known:
        return ""
    if facts.off_at is not None and 0 <= facts.now - facts.off_at < OFF_SECONDS:
        return ""
    if facts.planned_at is None:
        return "first plan"
    used = max(0, facts.answers - facts.planned_answers)
    waited = facts.now - facts.planned_at
    pressing = used >= URGENT * facts.size and facts.open > facts.size
    if 0 <= waited < (min(URGENT_SECONDS, policy.queue_seconds) if pressing else policy.queue_seconds):
        return ""
    return _why_changed(policy, facts, used)


def _why_changed(policy: Settings, facts: QueueFacts, used: int) -> str:
    if used >= max(1, USED_SHARE * facts.size) and facts.open > facts.size:
        return f"{used} of {facts.size} queued tasks may be used up"
    if facts.live is not None and facts.live[0] != facts.planned_live[0]:
        return "another fine-tuned encoder answers"
    if facts.live is not None and facts.live < facts.planned_live:
        return "the live version went back"
    if used >= max(LEAST_GROWTH, policy.queue_growth * facts.planned_answers) and facts.live != facts.planned_live:
        return f"{used} new answers since {facts.planned_answers}"
    if facts.known >= MORE_TEXTS * max(1, facts.planned_known):
        return f"{facts.known} texts are known, up from {facts.planned_known}"
    return ""


def places_hunted(policy: Settings, share: float, answers: int) -> int:
    """How many places of a batch go to scarce classes, so that `share` of the labels until the next plan are theirs:
    they are handed out before the chosen ones."""
    until_next = min(max(LEAST_GROWTH, policy.queue_growth * answers), USED_SHARE * policy.queue_size)
    return round(share * until_next)


def queue_version(title: str, number: int) -> str:
    """The name of a queue version: that of the backend, which Label Studio shows, and a number. Never one that /setup
    reports: "Retrieve predictions" would put the whole project into the queue."""
    return f"{base_title(title)} queue {number}"


def base_title(title: str) -> str:
    """The backend's name without the number of a queue version."""
    found = _VERSION.fullmatch(title)
    return found["base"] if found else title


def queue_number(version: str) -> int:
    """The number of a queue version; 0 for another name."""
    found = _VERSION.fullmatch(version)
    return int(found["number"]) if found else 0


def stale_versions(present: Iterable[str], title: str, kept: Iterable[str]) -> list[str]:
    """Queue versions of the backend `title` that are neither in `kept` nor anything else's, oldest first."""
    base, keep = base_title(title), set(kept)
    mine = [version for version in present if queue_number(version) and base_title(version) == base]
    return sorted((version for version in mine if version not in keep), key=queue_number)
