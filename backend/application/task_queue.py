"""What people are told of a project's queue. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from backend.admin_json import Order, QueueAnswer
from backend.application.services import Services
from backend.errors import Conflict
from backend.record_json import QueueState

SHOWN_FIELDS = (
    "version",
    "tasks",
    "live",
    "answers",
    "rows",
    "open",
    "unread",
    "switched_at",
    "planned_at",
    "agreements",
    "off",
)


def describe_queue(services: Services, project: int) -> QueueAnswer:
    """The queue that Label Studio has: its version, how many `tasks`, the `live` version and the number of `answers`
    that they were chosen with, out of how many `open` ones; `agreements` of consecutive plans; `handed`: of the last
    `labels`, how many are of tasks that the queue had handed out; `off`: why it is not steered. {} before the first
    plan."""
    if not (services.settings.queue_enabled and services.settings.label_studio_url):
        return {}
    state = services.stores.task_queue.state(project)
    facts: Mapping[str, object] = state
    found = cast(QueueAnswer, {name: facts[name] for name in SHOWN_FIELDS if name in facts})
    if not found:
        return {}
    handed = services.stores.label_stream.handed(project)
    found["used"] = _used(services, project, state)
    found["handed"] = {"labels": handed.labels, "of_queue": handed.of_queue}
    return found


def request_plan(services: Services, project: int) -> Order:
    """Ask for a new plan now, whatever the policy says. Raises Conflict when nothing can be steered."""
    settings = services.settings
    if not settings.queue_enabled:
        raise Conflict("QUEUE_ENABLED is off: set it to steer Label Studio's queue")
    if not settings.has_label_studio:
        raise Conflict("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to steer Label Studio's queue")
    for kind in ("plan", "steer"):
        services.stores.failures.release(project, kind)
    services.stores.task_queue.look_again(project)
    created = services.stores.task_queue.ask_plan(project)
    return {"status": "queued", "message": "asked for" if created else "already asked for"}


def _used(services: Services, project: int, state: QueueState) -> int:
    return max(0, services.stores.examples.answers(project) - int(state.get("answers", 0)))
