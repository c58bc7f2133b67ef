"""`understudy connect`: makes a Label Studio project use this backend, or brings its connection up to date.

Every step looks first and changes only what differs, so it may be run again at any time. Label Studio 1.23 refuses
private addresses by default, in two places with two switches; the second one leaves half a connection behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backend.errors import LabelStudioError, SettingsError, StoreUnavailable
from backend.labelstudio.label_display import spec_of
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.project_connection import SAMPLING, SECRET_HEADER, TITLE, own_backend
from backend.redis_access.shared_secrets import webhook_secret
from backend.settings.settings import Settings

SWITCHES = """\
    ML_BLOCK_LOCAL_IP=false
    SSRF_PROTECTION_ENABLED=false

(or, instead of both, USE_DEFAULT_BANNED_SUBNETS=false), restart it, and run this command again."""

BLOCKED = """\
Label Studio refuses {url}: it calls no private addresses unless it is told to. Set these two variables in the
environment of Label Studio (not of understudy):

{switches}

Label Studio said: {said}"""

HALF_CONNECTED = """\
Label Studio made the connection to {url} but refuses its webhook: it would show predictions, yet no annotation would
ever arrive. ML_BLOCK_LOCAL_IP=false is set there, the second variable is not. Set both in the environment of Label
Studio (not of understudy):

{switches}

Label Studio said: {said}"""

UNREACHABLE = """\
Label Studio cannot use {url}: {said}
Is `understudy up` running, and does that URL work from the machine (or container) that Label Studio runs on? If it is
known there by another address, set PUBLIC_URL to it."""


def run_connect(settings: Settings, project: int, *, title: str | None = None, sampling: bool = True) -> Iterator[str]:
    """Connects `project`; yields a line for everything done or found in order.

    `title` None keeps the present one. Raises SettingsError without LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY,
    LabelStudioError, with the remedy, when Label Studio refuses something.
    """
    if not settings.has_label_studio:
        raise SettingsError(
            "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY (Label Studio: Account & Settings, personal access token)"
        )
    client = LabelStudioClient.of(settings)
    present = client.project(project)
    before = own_backend(client.backends(project), settings.url, title)
    yield _connect_backend(client, settings, present, before, title)
    backend = own_backend(client.backends(project), settings.url, title) or {}
    yield _connect_webhook(client, settings, project, before)
    yield from _set_project(client, present, str(backend.get("title") or title or TITLE), sampling)
    name = str(present.get("title") or "")
    yield from _follow(client, settings, project, name, steered=sampling or present.get("sampling") == SAMPLING)
    yield f"Project {project} ({present.get('title', '')}) uses {settings.url}."


def _connect_backend(
    client: LabelStudioClient,
    settings: Settings,
    present: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    title: str | None,
) -> str:
    project, spec = int(present["id"]), spec_of(str(present.get("label_config") or ""))
    name = title or (str(before["title"]) if before and before.get("title") else TITLE)
    auth = settings.basic_auth
    try:
        client.create_or_update_backend(
            project,
            url=settings.url,
            title=name,
            basic_auth=auth,
            backend=int(before["id"]) if before else None,
            interactive=bool(spec and spec.spans),
        )
    except LabelStudioError as error:
        after = own_backend(client.backends(project), settings.url, title)
        raise _explained(error, settings.url, half_done=after is not None and before is None) from error
    protection = "with basic auth" if auth else "without basic auth"
    return f"ML backend '{name}' {'updated' if before else 'created'}, {protection}."


def _connect_webhook(
    client: LabelStudioClient, settings: Settings, project: int, before: Mapping[str, Any] | None
) -> str:
    """Label Studio makes the webhook with the connection, but neither moves it when the URL changes nor protects it."""
    url = f"{settings.url}/webhook"
    old = f"{str((before or {}).get('url', settings.url)).rstrip('/')}/webhook"
    hooks = client.webhooks(project)
    by_url = [hook for hook in hooks if _same_url(hook["url"], url)] or [
        hook for hook in hooks if _same_url(hook["url"], old)
    ]
    found = next(iter(by_url), None)
    secret = webhook_secret(settings)
    present = dict((found or {}).get("headers") or {})
    headers = {name: value for name, value in present.items() if name.lower() != SECRET_HEADER.lower()}
    headers |= {SECRET_HEADER: secret} if secret else {}
    sends = all((found or {}).get(name, True) for name in ("is_active", "send_payload", "send_for_all_actions"))
    if found and found["url"] == url and present == headers and sends:
        return f"Webhook is in order, {_protection(secret)}."
    try:
        if found:
            client.patch_webhook(int(found["id"]), url=url, headers=headers)
        else:
            client.create_webhook(project, url=url, headers=headers)
    except LabelStudioError as error:
        raise _explained(error, settings.url, half_done=True) from error
    return f"Webhook {'updated' if found else 'created'}, {_protection(secret)}."


def _same_url(given: object, wanted: str) -> bool:
    """One made by hand may end in a slash: a second one beside it would bring every label twice."""
    return str(given).strip().rstrip("/") == wanted


def _protection(secret: str) -> str:
    return f"with the secret in {SECRET_HEADER}" if secret else "without a secret"


def _set_project(client: LabelStudioClient, present: Mapping[str, Any], title: str, sampling: bool) -> Iterator[str]:
    changes = {}
    if sampling and present.get("sampling") != SAMPLING:
        changes["sampling"] = SAMPLING
    if client.project(int(present["id"])).get("model_version") != title:
        # Scores in the Data Manager, uncertainty sampling and live predictions all hang on this name.
        changes["model_version"] = title
    if changes:
        client.set_project(int(present["id"]), **changes)
    for name, value in changes.items():
        yield f"Project's {name.replace('_', ' ')} set to '{value}'."


def _follow(client: LabelStudioClient, settings: Settings, project: int, name: str, *, steered: bool) -> Iterator[str]:
    """The model page knows the project's name, and a link to the label stream follows the Data Manager's first tab.
    The connection stands: what goes wrong here is told and tried again with every queue."""
    from backend.jobs.task_queue.stream_order import describe_link, follow_queue, restore_tabs
    from backend.store.stores import Stores

    stores = Stores(settings)
    try:
        stores.projects.note_title(project, name)
        if not (steered and settings.queue_enabled):
            yield from restore_tabs(client, stores, project)
            return
        yield from follow_queue(client, stores, project)
        yield describe_link(settings.label_studio_url, project, client.tabs.of(project))
    except (LabelStudioError, StoreUnavailable) as error:
        yield f"The Data Manager's tabs stay as they are until there is a queue: {error.message}"
    finally:
        stores.close()


def _explained(error: LabelStudioError, url: str, *, half_done: bool) -> LabelStudioError:
    """The error with what to do about it in front."""
    said = error.message
    if "reserved network address" in said or "private" in said.lower() or "SSRF" in said:
        text = (HALF_CONNECTED if half_done else BLOCKED).format(url=url, switches=SWITCHES, said=said)
    elif "health check failed" in said or "valid ML backend" in said or "Able to connect" in said:
        text = UNREACHABLE.format(url=url, said=said)
    else:
        text = said
    return LabelStudioError(text, **error.evidence)
