"""The label configs of projects: kept in the store, and which were just found there.

Label Studio calls /setup with the same one over and over. Asking Redis each time makes /setup wait behind the log's
fsync of every label that comes meanwhile (measured while a thousand tasks are predicted: p99 of 109 to 210 ms instead
of 18 to 20)."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

from backend.base_model.languages import LanguageReport
from backend.errors import BadRequest, StoreUnavailable, UnsupportedConfig
from backend.labelstudio.task_spec import parse_label_config
from backend.store.projects import ProjectStore, note_questions
from backend.store.work.trainings import JobStore
from backend.telemetry.log_throttle import LogThrottle
from model.spec import TaskSpec

log = logging.getLogger(__name__)

TRUSTED_SECONDS = 5.0
"""Another replica, or a Redis that has lost its data, is noticed that late."""

PROJECTS_KEPT = 1000


def warn_of_language(projects: ProjectStore, project: int) -> str:
    """Whether the encoder knows what the project's texts are written in, as was noticed last; "" where it does."""
    report = LanguageReport.from_json(projects.language(project))
    return report.warn() if report is not None else ""


class LabelConfigs:
    """The label configs read last. Thread-safe."""

    def __init__(self, projects: ProjectStore, jobs: JobStore, trusted: float = TRUSTED_SECONDS) -> None:
        self._projects, self._jobs, self._trusted = projects, jobs, trusted
        self._seen: dict[int, tuple[str, float]] = {}
        self._guard, self._throttle = threading.Lock(), LogThrottle()

    def remember(self, project: int, config: str | None, moment: int | None = None) -> None:
        """Keep the label config, which came at `moment` (default: now); a changed one asks for a refit and a
        reconciliation. Raises StoreUnavailable."""
        if config is None:
            return
        if (before := self._projects.config(project)) == config:
            self._note(project, config)
            return
        if not _is_readable(config):
            log.warning("a label config that cannot be read is passed over project=%s", project)
            return
        note_questions(self._projects, project, before, config, moment)
        if self._projects.save_config(project, config):
            log.info("label config changed project=%s", project)
            self._projects.mark_dirty(project, "the label config has changed")
            self._jobs.enqueue_refit(project)
        self._note(project, config)

    def tell_language(self, project: int) -> None:
        """Say in the log, now and then, that the encoder does not know what the texts are written in. Raises
        StoreUnavailable."""
        if self._throttle.admit(project) is None:
            return
        if warning := warn_of_language(self._projects, project):
            log.warning("setup project=%s %s", project, warning)

    def remember_first(self, project: int, config: object) -> None:
        """Keep the label config of a project that has none: some tools predict without /setup.

        Asks once for each project: predictions do not wait for Redis."""
        if not isinstance(config, str) or self._knows(project):
            return
        self._note(project, "")
        with suppress(StoreUnavailable):
            if self._projects.config(project) is None:
                self.remember(project, config)

    def spec_of(self, project: int, config: str | None = None) -> TaskSpec | None:
        """The project's task spec; None when its config is unknown or holds nothing that can be learned."""
        config = config or self._projects.config(project)
        if config is None:
            return None
        try:
            return parse_label_config(config)
        except (UnsupportedConfig, BadRequest):
            return None

    def holds(self, project: int, config: str) -> bool:
        """Whether the store had exactly this config a moment ago."""
        with self._guard:
            known, until = self._seen.get(project, ("", 0.0))
        return known == config and time.monotonic() < until

    def _knows(self, project: int) -> bool:
        """Whether this process has asked the store about the project's config at all."""
        with self._guard:
            return project in self._seen

    def _note(self, project: int, config: str) -> None:
        with self._guard:
            if len(self._seen) >= PROJECTS_KEPT:
                self._seen.clear()
            self._seen[project] = config, time.monotonic() + self._trusted


def _is_readable(config: str) -> bool:
    """Whether it is a label config at all, be there something to learn or not: nothing else is stored."""
    try:
        parse_label_config(config)
    except UnsupportedConfig:
        return True
    except BadRequest:
        return False
    return True
