"""The adapter to label-studio-ml 2.x: the same serving and store behind that package's own server.

Its processes (learner, trainer, sync, scheduler) run with `understudy up` or one by one; this class takes the place of
the web process. Needs requirements-label-studio-ml.txt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from backend.application.predict import answer_request
from backend.application.services import Services, build_services
from backend.application.webhook_events import take_event
from backend.errors import BackendError
from backend.labelstudio.events import parse_webhook
from backend.labelstudio.ids import read_project_id
from backend.labelstudio.task_spec import parse_label_config
from backend.settings.settings import current_settings


@lru_cache(maxsize=1)
def shared_services() -> Services:
    """Built at the first request; that package makes a new model object for each one."""
    return build_services(current_settings())


class BertClassifier(LabelStudioMLBase):  # type: ignore[misc]
    """predict, fit and setup as label-studio-ml 2.x calls them. The label config travels with every request."""

    def setup(self) -> None:
        """Report the version that would answer, and remember the label config."""
        services, project = shared_services(), self._project()
        config = getattr(self, "label_config", None)
        if project is not None and config:
            parse_label_config(config)
            services.configs.remember(project, config)
        self.set("model_version", services.registry.version_of(project))

    def predict(self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """One item per task, in order; `[]` for one that cannot be decided."""
        return answer_request(shared_services(), self._project(), self.label_config, tasks)[0]

    def fit(self, event: str, data: dict[str, Any], **additional_params: Any) -> Mapping[str, object]:
        """Store what happened; the workers learn it. Errors come back as a reply, since that server has no other way.

        That server passes on ANNOTATION_CREATED, ANNOTATION_UPDATED and START_TRAINING only; deletions are found by
        the reconciliation."""
        try:
            return take_event(shared_services(), parse_webhook({"action": event, **data}))
        except BackendError as error:
            return {"error": error.code, "message": error.message}

    def _project(self) -> int | None:
        return read_project_id(self.project_id) if self.project_id not in ("", "None", None) else None
