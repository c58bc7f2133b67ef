"""What `understudy accept` does in the real Label Studio: marks survive, and only what bears one is taken back."""

from __future__ import annotations

import pytest

from backend.labelstudio.annotations import accepted_by, mark_result
from backend.labelstudio.rest.client import LabelStudioClient
from tests.e2e.conftest import Studio, choices_result

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
]


def test_predictions_become_marked_annotations_and_go_again(label_studio: Studio, config: str) -> None:
    project = label_studio.create_project("accept", config)
    with LabelStudioClient(label_studio.server.url, label_studio.server.access_token) as studio:
        labelled, edited, *others = studio.tasks.add(project, [{"text": f"message {n}"} for n in range(5)])
        label_studio.annotate(labelled, "praise")
        result = mark_result(choices_result("praise"), "r1")
        rows = [{"task": task, "score": 0.99, "result": result} for task in (labelled, edited, *others[:2])]

        assert studio.predictions.annotate(project, rows, "understudy-accept-r1") == 3, "a labelled task is left alone"
        assert studio.predictions.versions(project) == {}
        made = {int(task["id"]): items for task, items in studio.tasks.with_annotations(project)}
        assert {task: [accepted_by(item) for item in items] for task, items in made.items()} == {
            labelled: [""],
            edited: ["r1"],
            others[0]: ["r1"],
            others[1]: ["r1"],
        }

        change = {"result": choices_result("praise"), "lead_time": 1.5}
        label_studio.call("PATCH", f"/api/annotations/{made[edited][0]['id']}/", change)
        for annotation in list(studio.predictions.accepted(project)):
            studio.predictions.take_back(annotation)
        assert {int(task["id"]) for task, _ in studio.tasks.with_annotations(project)} == {labelled, edited}
