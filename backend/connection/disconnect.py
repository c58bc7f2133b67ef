"""`understudy disconnect`: takes out of a Label Studio project what `connect` and the queue put into it.

Labels stay, and so do predictions unless they are asked for, too. Everything is looked for first, so that it may be run
again at any time, and also after half a connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from backend.errors import SettingsError, StoreUnavailable
from backend.jobs.sync.pool_tab import TAB_TITLE, remove_tab
from backend.jobs.sync.relabel_tab import remove_relabels
from backend.jobs.task_queue.stream_order import restore_tabs
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.project_connection import SAMPLING, own_backend
from backend.rules.queue_due import queue_number, stale_versions
from backend.settings.settings import Settings
from backend.store.stores import Stores

DEFAULT_SAMPLING = "Sequential sampling"
"""What a new project has."""

LIVE = re.compile(r"v\d{1,9}(\.\d{1,9})?")
"""Names of live versions."""


def run_disconnect(settings: Settings, project: int, *, predictions: bool = False) -> Iterator[str]:
    """Disconnects `project`; yields a line for everything removed. `predictions`: those of live versions go as well.

    Raises SettingsError without LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, and LabelStudioError."""
    if not settings.has_label_studio:
        raise SettingsError(
            "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY (Label Studio: Account & Settings, personal access token)"
        )
    with LabelStudioClient.of(settings) as client:
        present = client.project(project)
        if present.get("sampling") == SAMPLING:  # first: it also ends the steering
            client.set_project(project, sampling=DEFAULT_SAMPLING)
            yield f"Project's sampling set to '{DEFAULT_SAMPLING}'."
        backend = own_backend(client.backends(project), settings.url, None)
        if backend is not None:
            client.delete_backend(int(backend["id"]))
            yield f"ML backend '{backend.get('title')}' removed."
        yield from _remove_webhooks(client, settings, project)
        yield from _remove_predictions(client, present, predictions)
        yield from _restore_tabs(client, settings, project)
        yield from remove_relabels(client, project)
        if remove_tab(client, project):
            yield f"Tab '{TAB_TITLE}' removed."
        yield f"Project {project} ({present.get('title', '')}) does not use {settings.url} any more."


def _restore_tabs(client: LabelStudioClient, settings: Settings, project: int) -> Iterator[str]:
    """What we did to the tabs is remembered in Redis: without that an order may be a user's, and stays."""
    stores = Stores(settings)
    try:
        yield from restore_tabs(client, stores, project)
    except StoreUnavailable as error:
        yield f"The order of the Data Manager's tabs stays, since what we changed is not known: {error.message}"
    finally:
        stores.close()


def _remove_webhooks(client: LabelStudioClient, settings: Settings, project: int) -> Iterator[str]:
    for hook in client.webhooks(project):
        if str(hook.get("url", "")).startswith(f"{settings.url}/webhook"):
            client.delete_webhook(int(hook["id"]))
            yield "Webhook removed."


def _remove_predictions(client: LabelStudioClient, present: Mapping[str, Any], live: bool) -> Iterator[str]:
    """Those of the queue, by the name that the queue went by; and if asked for those of live versions."""
    project, versions = int(present["id"]), client.predictions.versions(int(present["id"]))
    name = str(present.get("model_version") or "")
    gone = stale_versions(versions, name, ()) if queue_number(name) else [v for v in versions if queue_number(v)]
    gone += [version for version in versions if live and LIVE.fullmatch(version)]
    for version in gone:
        count = client.predictions.delete(project, version)
        yield f"{count} predictions of '{version}' deleted."
