"""What the scheduler does for each project's queue: asks for a plan when one is due, and for its writing until that is
done."""

from __future__ import annotations

import logging
import time

from backend.record_json import QueueState
from backend.rules.queue_due import QueueFacts, why_plan
from backend.settings.settings import Settings
from backend.store.stores import Stores

log = logging.getLogger(__name__)


class QueueScheduler:
    """The queues that one scheduler keeps planned and written."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self._settings, self._stores = settings, stores
        self._can = settings.has_label_studio

    def schedule(self, project: int) -> None:
        """Raises StoreUnavailable."""
        if not (self._can and self._settings.queue_enabled):
            return
        steering, trouble = self._stores.task_queue, self._stores.failures
        state = steering.state(project)
        planned = float(state.get("planned_at", 0))
        if planned > float(state.get("at", 0)) and "off_at" not in state:
            if not trouble.waits(project, "steer"):
                steering.enqueue_steer(project)
            return
        if trouble.waits(project, "plan"):
            return
        reason = why_plan(self._settings, self._facts(project, state))
        if reason and steering.enqueue_plan(project):
            log.info("plan due project=%s: %s", project, reason)

    def _facts(self, project: int, state: QueueState) -> QueueFacts:
        from model.versions.directory import version_order

        live = self._stores.versions.live(project)
        return QueueFacts(
            now=time.time(),
            live=version_order(live) if live else None,
            answers=self._stores.examples.answers(project),
            known=self._stores.projects.pool_size(project),
            planned_at=state.get("planned_at"),
            planned_live=version_order(state["planned_live"]) if state.get("planned_live") else (0, 0),
            planned_answers=int(state.get("answers", 0)),
            planned_known=int(state.get("rows", 0)),
            size=int(state.get("tasks", 0)),
            open=int(state.get("open", 0)),
            off_at=state.get("off_at"),
        )
