"""One project's connection, as Label Studio has it: the ML backend's row, the webhook, and what they tell of 1.23's
three defaults (private addresses refused in two places, legacy tokens off)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backend.doctor.verdict import Verdict, fail, ok, skipped, warn
from backend.errors import LabelStudioError
from backend.jobs.task_queue.stream_order import describe_link, filters_of, order_of
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.project_connection import SAMPLING, SECRET_HEADER, own_backend
from backend.labelstudio.rest.transport import PRIVATE_ADDRESS_SETTINGS
from backend.settings.settings import Settings

Row = Mapping[str, Any]

NEEDED_ACTIONS = frozenset(
    {
        *("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED", "ANNOTATIONS_DELETED"),
        *("TASKS_CREATED", "TASKS_DELETED", "PROJECT_UPDATED"),
    }
)
"""Actions without which changes are only seen by the next reconciliation."""


def check_connection(settings: Settings, client: LabelStudioClient, project: int, secret: str) -> Iterator[Verdict]:
    """Asking for the rows makes Label Studio call /health and /setup of each backend, so that its state is of now."""
    try:
        present = client.project(project)
        backend = own_backend(client.backends(project), settings.url, None)
        hooks = client.webhooks(project)
    except LabelStudioError as error:
        remedy = str(error.evidence.get("hint") or "check the id, and who owns LABEL_STUDIO_API_KEY")
        yield fail(f"project {project}", error.message, remedy)
        return
    yield from judge_backend(settings, project, present, backend)
    if settings.queue_enabled and backend is not None and present.get("sampling") == SAMPLING:
        yield check_tabs(settings, client, project)
    hook = own_webhook(hooks, settings.url, secret)
    yield judge_webhook(project, hook, settings.url, secret)
    if hook is not None:
        yield check_sending(client, project, hook)


def check_tabs(settings: Settings, client: LabelStudioClient, project: int) -> Verdict:
    """Whether a link to the label stream, which follows the first tab of the Data Manager, follows the queue."""
    name = f"project {project}: link to the label stream"
    try:
        tabs = client.tabs.of(project)
    except LabelStudioError as error:
        return skipped(name, error.message, connect_again(project))
    told = describe_link(settings.label_studio_url, project, tabs)
    if not tabs or not (order_of(tabs[0]) or filters_of(tabs[0])):
        return warn(name, "the first tab of the Data Manager has no order: tasks come by id", connect_again(project))
    return ok(name, told)


def connect_again(project: int) -> str:
    """The remedy of most things."""
    return f"run `understudy connect --project {project}`"


def judge_backend(settings: Settings, project: int, present: Row, backend: Row | None) -> Iterator[Verdict]:
    name = f"project {project}: ml backend"
    if backend is None:
        yield fail(name, f"none with the URL {settings.url}", connect_again(project))
        return
    if str(backend.get("url", "")).rstrip("/") != settings.url:
        yield fail(name, f"Label Studio calls {backend.get('url')}, not {settings.url}", connect_again(project))
        return
    yield judge_state(name, backend, settings.url)
    yield judge_auth(settings, project, backend)
    title = backend.get("title")
    if present.get("model_version") != title:
        evidence = f"the project shows predictions of {present.get('model_version')!r}, not of {title!r}"
        yield warn(f"project {project}: model version", evidence, connect_again(project))
    elif present.get("sampling") != SAMPLING:
        evidence = f"tasks come by {present.get('sampling')!r}, not the uncertain ones first"
        yield warn(f"project {project}: sampling", evidence, connect_again(project))
    else:
        yield ok(f"project {project}: queue", f"uncertain tasks first, by the scores of {title!r}")


def judge_state(name: str, backend: Row, url: str) -> Verdict:
    """Whether Label Studio reaches us: it has just called /health and /setup."""
    state, said = str(backend.get("state", "")), str(backend.get("error_message") or "")
    if state == "CO":
        return ok(name, f"Label Studio reaches {url}")
    if state == "DI":
        remedy = (
            f"Label Studio's machine must reach {url} (else set PUBLIC_URL and connect again). For a private address"
        )
        return fail(
            name,
            f"Label Studio gets no answer from {url} {said}".strip(),
            f"{remedy}: {PRIVATE_ADDRESS_SETTINGS}, there",
        )
    return fail(
        name, f"state {state}: {said or 'no message'}", "see the log of `web`; a wrong label config is named there"
    )


def judge_auth(settings: Settings, project: int, backend: Row) -> Verdict:
    """Whether the row carries the credentials that we ask for."""
    name, wanted = f"project {project}: basic auth", settings.basic_auth_user
    basic = backend.get("auth_method") == "BASIC_AUTH"
    if not wanted:
        return ok(name, "none is asked for")
    if not basic or backend.get("basic_auth_user") != wanted or not backend.get("basic_auth_pass_is_set", True):
        return fail(name, "Label Studio's row has other credentials or none", connect_again(project))
    return ok(name, f"set, user {wanted}")


def own_webhook(hooks: Sequence[Row], url: str, secret: str) -> Row | None:
    """The webhook that comes here, by header or by secret in the path."""
    wanted = [f"{url}/webhook", *([f"{url}/webhook/{secret}"] if secret else [])]
    found = [hook for hook in hooks if str(hook.get("url", "")).rstrip("/") in wanted]
    return max(found, key=lambda hook: bool(hook.get("is_active")), default=None)


def judge_webhook(project: int, hook: Row | None, url: str, secret: str) -> Verdict:
    """Whether annotations are sent, whole and with the secret."""
    name = f"project {project}: webhook"
    if hook is None:
        return fail(name, f"none to {url}/webhook: no annotation arrives", connect_again(project))
    headers = {key.lower(): value for key, value in dict(hook.get("headers") or {}).items()}
    by_path = bool(secret) and str(hook["url"]).rstrip("/").endswith(f"/webhook/{secret}")
    problems = [
        what
        for what, wrong in (
            ("switched off", not hook.get("is_active")),
            ("sent without payload", not hook.get("send_payload")),
            ("not for all actions", not is_complete(hook)),
            (
                "with a wrong secret or none",
                bool(secret) and not by_path and headers.get(SECRET_HEADER.lower()) != secret,
            ),
        )
        if wrong
    ]
    if problems:
        return fail(name, ", ".join(problems), connect_again(project))
    return ok(name, "active, with payload, " + ("with the secret" if secret else "no secret is asked for"))


def is_complete(hook: Row) -> bool:
    """Whether every change of an annotation is sent."""
    return bool(hook.get("send_for_all_actions")) or set(hook.get("actions") or ()) >= NEEDED_ACTIONS


def check_sending(client: LabelStudioClient, project: int, hook: Row) -> Verdict:
    """SSRF_PROTECTION_ENABLED refuses a private URL when a webhook is saved, and again, silently, when it is sent."""
    name = f"project {project}: webhook is sent"
    if not hook.get("send_for_all_actions"):
        return skipped(name, "cannot be tried without changing the chosen actions", connect_again(project))
    try:
        client.would_send(int(hook["id"]), url=str(hook["url"]))
    except LabelStudioError as error:
        return fail(
            name, error.message, f"set {PRIVATE_ADDRESS_SETTINGS} in the environment of Label Studio and restart it"
        )
    return ok(name, "Label Studio's protection against private addresses lets it through")
