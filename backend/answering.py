"""One /predict from config to answers, for our own server and for label-studio-ml's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.errors import Overloaded
from backend.labelstudio.config import parse_label_config
from backend.labelstudio.helpers import read_helpers
from backend.services import Services
from backend.serving.prediction import Item, answer_tasks
from backend.serving.predictors import deadline


def answer_request(
    services: Services, project: int | None, config: Any, tasks: Sequence[Any]
) -> tuple[list[Item], str]:
    """(one item per task in order, the version that answered all of them); remembers the tasks as unlabelled texts.

    Raises BadRequest or UnsupportedConfig for the label config, NotReady when models do not serve in time, Overloaded
    when too much waits already."""
    left = deadline(services.settings.predict_deadline)
    spec = parse_label_config(config)
    try:
        with services.admission.enter():
            model = services.registry.model_for(project, spec, left())
            items, documents = answer_tasks(
                model,
                spec,
                tasks,
                settings=services.settings,
                predictors=services.predictors,
                metrics=services.metrics,
                left=left,
                cache=services.answers,
                helpers=read_helpers(config),
                highlighter=services.highlighter.of(project),
            )
    except Overloaded:
        services.metrics.refused.inc()
        raise
    if project is not None:
        services.background.add_pool(project, documents)
    return items, model.version
