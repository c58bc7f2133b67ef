"""What people are told of a project's queue. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from backend.admin_json import Order, QueueAnswer
from backend.errors import Conflict
from backend.record_json import QueueState
from backend.settings.settings import Settings
from backend.store.examples import ExampleStore
from backend.store.stores import Stores

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


def describe_queue(settings: Settings, stores: Stores, project: int) -> QueueAnswer:
    """The queue that Label Studio has: its version, how many `tasks`, the `live` version and the number of `answers`
    that they were chosen with, out of how many `open` ones; `agreements` of consecutive plans; `handed`: of the last
    `labels`, how many are of tasks that the queue had handed out; `off`: why it is not steered. {} before the first
    plan."""
    if not (settings.queue_enabled and settings.label_studio_url):
        return {}
    state = stores.task_queue.state(project)
    facts: Mapping[str, object] = state
    found = cast(QueueAnswer, {name: facts[name] for name in SHOWN_FIELDS if name in facts})
    if not found:
        return {}
    handed = stores.label_stream.handed(project)
    found["used"] = _used(stores.examples, project, state)
    found["handed"] = {"labels": handed.labels, "of_queue": handed.of_queue}
    return found


def request_plan(settings: Settings, stores: Stores, project: int) -> Order:
    """Ask for a new plan now, whatever the policy says. Raises Conflict when nothing can be steered."""
    if not settings.queue_enabled:
        raise Conflict("QUEUE_ENABLED is off: set it to steer Label Studio's queue")
    if not settings.has_label_studio:
        raise Conflict("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to steer Label Studio's queue")
    for kind in ("plan", "steer"):
        stores.failures.release(project, kind)
    stores.task_queue.recheck(project)
    created = stores.task_queue.enqueue_plan(project)
    return {"status": "queued", "message": "asked for" if created else "already asked for"}


def _used(examples: ExampleStore, project: int, state: QueueState) -> int:
    return max(0, examples.answers(project) - int(state.get("answers", 0)))
