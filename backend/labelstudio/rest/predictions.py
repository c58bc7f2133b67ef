"""Predictions and what becomes of them: stored, counted, deleted, made annotations, and taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from backend.labelstudio.annotations import accepted_by
from backend.labelstudio.rest.tasks import NOBODY, Tasks
from backend.labelstudio.rest.transport import Json, Transport

MEMORY_EFFICIENT_IMPORT = "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short"
"""True in Label Studio's environment, it lets a bulk import count anew only the tasks that get predictions by it."""


class Predictions:
    """Every method raises LabelStudioError."""

    def __init__(self, transport: Transport, tasks: Tasks) -> None:
        self._transport, self._tasks = transport, tasks

    def add_many(self, project: int, predictions: Sequence[Mapping[str, object]]) -> int:
        """Store `{"task", "result", "score", "model_version"}` in bulk; how many: it drops, unsaid, what does not fit
        the label config, and takes none (400) when one task is gone. It stores no `cluster` this way.

        Each call costs Label Studio 1.23 some .2 ms for every task of the project besides, however few it brings,
        unless its environment has MEMORY_EFFICIENT_IMPORT."""
        path = f"api/projects/{project}/import/predictions"
        return int(self._transport.call_object("POST", path, list(predictions)).get("created") or 0)

    def add(self, task: int, result: object, score: float, version: str, cluster: int | None) -> Json:
        """One prediction; its cluster the bulk import would not store."""
        body = {"task": task, "result": result, "score": score, "model_version": version}
        body |= {} if cluster is None else {"cluster": cluster}
        return self._transport.call_object("POST", "api/predictions/", body)

    def versions(self, project: int) -> dict[str, int]:
        """Model version -> predictions stored of it."""
        reply = self._transport.call_object("GET", f"api/projects/{project}/model-versions/")
        return {str(version): int(count) for version, count in reply.items()}

    def of(self, project: int, versions: Sequence[str], *, most: int = 1000) -> list[Json]:
        """Predictions of these versions, of the first `most` tasks that have any."""
        tasks = self._tasks.predicted(project, versions, most)
        found = [it for task in tasks for it in task.get("predictions") or ()]
        return [it for it in found if it.get("model_version") in versions]

    def delete(self, project: int, version: str) -> int:
        """Delete those of one version; how many."""
        path = f"api/projects/{project}/model-versions/"
        return int(
            self._transport.call_object("DELETE", path, {"model_version": version}).get("deleted_predictions") or 0
        )

    def annotate(self, project: int, rows: Sequence[Json], version: str) -> int:
        """Annotations made from these predictions ({task, result, score}), of tasks that have none: asked in the same
        request, so that whoever submits a moment earlier wins. The predictions, under a version of their own, are gone
        afterwards."""
        try:
            self.add_many(project, [{**row, "model_version": version} for row in rows])
            body = {
                "selectedItems": {"all": False, "included": [int(row["task"]) for row in rows]},
                "filters": NOBODY,
                "ordering": [],
                "model_version": version,
            }
            params = {"id": "predictions_to_annotations", "project": project}
            reply = self._transport.call_object("POST", "api/dm/actions", body, params)
        finally:
            self.delete(project, version)
        return int("".join(filter(str.isdigit, str(reply.get("detail", "")))) or 0)

    def accepted(self, project: int) -> Iterator[int]:
        """Ids of the annotations that `annotate` made and that still bear the mark."""
        for _, listed in self._tasks.with_annotations(project):
            yield from (int(annotation["id"]) for annotation in listed if accepted_by(annotation))

    def take_back(self, annotation: int) -> None:
        """Delete one of these annotations."""
        self._transport.call("DELETE", f"api/annotations/{annotation}/")
