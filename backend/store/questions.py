"""Keeps, per project, since when each question is in the label config."""

from __future__ import annotations

import time

from backend.errors import BadRequest, UnsupportedConfig
from backend.labelstudio.task_spec import parse_label_config
from backend.store.projects import ProjectStore


def note_questions(
    projects: ProjectStore, project: int, before: str | None, config: str, moment: int | None = None
) -> None:
    """Another label config than `before` has come at `moment` (microseconds since 1970; now if not given): call it
    before it is stored. Raises StoreUnavailable."""
    names = _questions(config)
    if names is None or before == config:
        return
    earlier = _questions(before) if before else None  # of a store that did not keep this yet
    projects.follow_questions(project, earlier, names, time.time_ns() // 1000 if moment is None else moment)


def _questions(config: str) -> list[str] | None:
    """Names of the controls that are learned; None for a config that cannot be read."""
    try:
        return [control.name for control in parse_label_config(config).questions]
    except UnsupportedConfig:
        return []
    except BadRequest:
        return None
