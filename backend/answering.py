"""One /predict from config to answers, for our own server and for label-studio-ml's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        if project in services.background.steered:
            items = _hide_blind(services, project, tasks, items)
    return items, model.version


def _hide_blind(services: Services, project: int, tasks: Sequence[Any], items: list[Item]) -> list[Item]:
    """The items without those of blind tasks, which people are to label without a pre-label."""
    from model.batch import is_blind

    share, shown = services.settings.queue_blind_share, list(items)
    for index, task in enumerate(tasks):
        number = task.get("id") if isinstance(task, Mapping) else None
        if isinstance(number, int) and shown[index] and is_blind(project, number, share):
            shown[index] = []
            services.metrics.declined.labels("blind").inc()
    return shown
