"""Turns predictions into annotations, and marked annotations back into none, through Label Studio's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backend.labelstudio.annotations import accepted_by
from backend.labelstudio.rest.client import number_filter
from backend.labelstudio.rest.data_manager import DataManagerClient

NOBODY = {"conjunction": "and", "items": [number_filter("total_annotations", "equal", 0)]}
"""Asked in the same request that annotates: whoever submits a moment earlier wins."""


class AcceptingClient(DataManagerClient):
    """The client, and what only `understudy accept` asks for."""

    def annotate_from(self, project: int, rows: Sequence[Mapping[str, Any]], version: str) -> int:
        """Annotations made from these predictions ({task, result, score}), of tasks that have none; the predictions,
        under a version of their own, are gone afterwards."""
        try:
            self.import_predictions(project, [{**row, "model_version": version} for row in rows])
            body = {
                "selectedItems": {"all": False, "included": [int(row["task"]) for row in rows]},
                "filters": NOBODY,
                "ordering": [],
                "model_version": version,
            }
            params = {"id": "predictions_to_annotations", "project": project}
            reply = self._object("POST", "api/dm/actions", body, params)
        finally:
            self.delete_predictions(project, version)
        return int("".join(filter(str.isdigit, str(reply.get("detail", "")))) or 0)

    def accepted(self, project: int) -> Iterator[int]:
        """Ids of the annotations that still bear the mark."""
        for _, listed in self.iter_annotations(project):
            yield from (int(annotation["id"]) for annotation in listed if accepted_by(annotation))

    def delete_annotation(self, annotation: int) -> None:
        """Remove one annotation."""
        self._transport.call("DELETE", f"api/annotations/{annotation}/")
