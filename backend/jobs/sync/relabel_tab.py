"""Writes the tasks to look at again into Label Studio, where a tab of the Data Manager lists them; and takes them out.

As predictions of versions of their own, because the Data Manager filters by those: the Community edition has no column
for `mislabeling`. They are neither of the live version nor of the queue's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.admin_json import RelabelRow
from backend.errors import LabelStudioError
from backend.jobs.task_queue.stream_order import FIRST_TAB, Tab
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.span_answers import with_spans
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.relabel import RELABEL_VERSIONS, VERSION_PREFIX, list_label_errors
from backend.settings.settings import Settings
from model.span import ScoredSpan
from model.spec import Prediction

if TYPE_CHECKING:
    from backend.store.stores import Stores

log = logging.getLogger(__name__)

TAB_TITLE = "understudy: check labels"

HIDDEN_COLUMNS = (
    *("inner_id", "completed_at", "total_annotations", "cancelled_annotations", "total_predictions", "file_upload"),
    *("storage_filename", "annotations_ids", "predictions_score", "draft_exists", "avg_lead_time", "created_at"),
    *(
        "updated_at",
        "updated_by",
        "comment_count",
        "unresolved_comment_count",
        "comment_authors",
        "last_comment_updated_at",
    ),
)
"""Columns of the tab; an admin may change them."""


@dataclass(frozen=True)
class Pushed:
    """`tasks` that are listed now; `changed`: whether anything was written."""

    tasks: int
    changed: bool


def push_if_wanted(settings: Settings, stores: Stores, project: int) -> dict[str, Any]:
    """After a reconciliation, with RELABEL_PUSH: how many tasks are listed, or what went wrong, which is no reason to
    reconcile again."""
    if not settings.relabel_push:
        return {}
    try:
        with LabelStudioClient.of(settings) as client:
            return {"relabels": push_relabels(client, project, list_label_errors(stores, project)).tasks}
    except LabelStudioError as error:
        log.warning("tasks to look at again cannot be listed project=%s: %s", project, error.message)
        return {"relabel_error": error.message[:300]}


def push_relabels(client: LabelStudioClient, project: int, rows: Sequence[RelabelRow]) -> Pushed:
    """Make Label Studio list exactly these. Raises LabelStudioError."""
    if _wanted(rows) == _present(client, project):
        return Pushed(len(rows), False)
    written = _with_regions(client, project, rows)
    _delete_predictions(client, project)
    count = client.predictions.add_many(project, written) if written else 0
    if rows:
        _ensure_tab(client, project)
    log.info("tasks to look at again project=%s: %s", project, count)
    return Pushed(count, True)


def describe_push(pushed: Pushed, project: int) -> str:
    """What came of it, in a sentence."""
    if not pushed.tasks:
        return "Nothing to look at again."
    return f"{pushed.tasks} tasks {'' if pushed.changed else 'already '}in the tab '{TAB_TITLE}' of project {project}."


def remove_relabels(client: LabelStudioClient, project: int) -> list[str]:
    """Take out all that was pushed; a line for everything removed. Raises LabelStudioError."""
    lines = []
    if count := _delete_predictions(client, project):
        lines.append(f"{count} suggestions of '{VERSION_PREFIX}' deleted.")
    for tab in client.tabs.of(project):
        if _title(tab) == TAB_TITLE:
            client.tabs.delete(int(tab["id"]))
            lines.append(f"Tab '{TAB_TITLE}' removed.")
    return lines


def _delete_predictions(client: LabelStudioClient, project: int) -> int:
    present = client.predictions.versions(project)
    return sum(client.predictions.delete(project, version) for version in present if version.startswith(VERSION_PREFIX))


def _with_regions(client: LabelStudioClient, project: int, rows: Sequence[RelabelRow]) -> list[RelabelRow]:
    """As they are written: marked spans as regions, which the page of each task counts in its own way."""
    marked = [row for row in rows if "spans" in row]
    if not marked:
        return list(rows)
    spec = parse_label_config(str(client.project(project).get("label_config") or ""))
    tasks = client.tasks.some(project, [row["task"] for row in marked])
    found: list[RelabelRow] = []
    for row in rows:
        version, score, result = row["model_version"], row["score"], row["result"]
        if row.get("spans") and row["task"] in tasks:
            predictions = [
                Prediction(control, (), score, spans=tuple(ScoredSpan(*span) for span in spans))
                for control, spans in row["spans"].items()
            ]
            result, *_ = with_spans(spec, tasks[row["task"]].get("data"), predictions, version, result)
        found.append({"task": row["task"], "result": result, "score": score, "model_version": version})
    return found


def _wanted(rows: Sequence[RelabelRow]) -> set[tuple[int, str, float]]:
    return {(int(row["task"]), str(row["model_version"]), float(row["score"])) for row in rows}


def _present(client: LabelStudioClient, project: int) -> set[tuple[int, str, float]]:
    """What is there: the score stands for the answer, which seldom changes without it."""
    if not any(version.startswith(VERSION_PREFIX) for version in client.predictions.versions(project)):
        return set()
    found = client.predictions.of(project, RELABEL_VERSIONS)
    return {(int(it["task"]), str(it["model_version"]), float(it.get("score") or 0)) for it in found}


def _ensure_tab(client: LabelStudioClient, project: int) -> None:
    tabs = client.tabs.of(project)
    if any(_title(tab) == TAB_TITLE for tab in tabs):
        return
    if not tabs:
        client.tabs.create(project, FIRST_TAB)  # with ours alone, the whole list would be missing
    contains = {
        "filter": "filter:tasks:predictions_model_versions",
        "operator": "contains",
        "type": "List",
        "value": list(RELABEL_VERSIONS),
    }
    client.tabs.create(
        project,
        {
            "title": TAB_TITLE,
            "type": "list",
            "target": "tasks",
            "filters": {"conjunction": "and", "items": [contains]},
            "hiddenColumns": {"explore": [f"tasks:{name}" for name in HIDDEN_COLUMNS], "labeling": []},
        },
    )


def _title(tab: Tab) -> str:
    return str((tab.get("data") or {}).get("title") or "")
