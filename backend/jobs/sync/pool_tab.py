"""A tab of the Data Manager that lists a pool's duplicates and outliers. It filters by task: nothing is written to
tasks, since a prediction on an unlabelled one would change the order in which a link hands it out."""

from __future__ import annotations

from collections.abc import Sequence

from backend.jobs.sync.relabel_tab import HIDDEN_COLUMNS
from backend.jobs.task_queue.stream_order import FIRST_TAB, Tab
from backend.labelstudio.rest.client import LabelStudioClient

TAB_TITLE = "understudy: duplicates and outliers"

MOST_TASKS = 100
"""Tasks that a tab lists: each is a condition of its filter."""


def push_tasks(client: LabelStudioClient, project: int, tasks: Sequence[int]) -> int:
    """Make the tab list these, the first MOST_TASKS of them; how many. Raises LabelStudioError."""
    some = list(dict.fromkeys(tasks))[:MOST_TASKS]
    tabs = client.tabs.of(project)
    for tab in tabs:
        if _title(tab) == TAB_TITLE:
            client.tabs.delete(int(tab["id"]))
    if not some:
        return 0
    if not tabs:
        client.tabs.create(project, FIRST_TAB)  # with ours alone, the whole list would be missing
    items = [
        {"filter": "filter:tasks:id", "operator": "equal", "type": "Number", "value": task} for task in sorted(some)
    ]
    shown = {
        "title": TAB_TITLE,
        "type": "list",
        "target": "tasks",
        "filters": {"conjunction": "or", "items": items},
        "hiddenColumns": {"explore": [f"tasks:{name}" for name in HIDDEN_COLUMNS], "labeling": []},
    }
    client.tabs.create(project, shown)
    return len(some)


def remove_tab(client: LabelStudioClient, project: int) -> bool:
    """Whether there was one. Raises LabelStudioError."""
    found = [tab for tab in client.tabs.of(project) if _title(tab) == TAB_TITLE]
    for tab in found:
        client.tabs.delete(int(tab["id"]))
    return bool(found)


def _title(tab: Tab) -> str:
    return str((tab.get("data") or {}).get("title") or "")
