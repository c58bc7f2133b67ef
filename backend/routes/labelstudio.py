"""The endpoints that Label Studio calls. Shapes and limits: docs/http.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from flask import Blueprint, Response

from backend.application.predict import answer_page, answer_request, is_mark
from backend.application.services import Services
from backend.application.webhook_events import (
    start_training,
    store_task_annotations,
    take_event,
)
from backend.errors import BadRequest, NotFound, StoreUnavailable
from backend.labelstudio.events import KNOWN_ACTIONS, parse_webhook
from backend.labelstudio.ids import read_project_id
from backend.labelstudio.rejects import count_rejects
from backend.labelstudio.task_spec import parse_label_config
from backend.serving.prediction import Item
from backend.telemetry.log_context import bind_project
from backend.web.payloads import read_body, reply, services
from model.spec import Json, JsonObject

blueprint = Blueprint("labelstudio", __name__)


@blueprint.get("/")
@blueprint.get("/health")
def health() -> Response:
    """Up as soon as the process answers; /ready says whether models serve."""
    return reply({"status": "UP", "model_class": "understudy", "ready": not services().registry.not_ready})


@blueprint.get("/versions")
def versions() -> Response:
    """Versions that serve now. Label Studio does not say for which project it asks."""
    registry = services().registry
    return reply({"versions": sorted(registry.served()) or [registry.version_of(None)]})


@blueprint.post("/setup")
def setup() -> Response:
    """Whether the label config can be learned, and which version would answer. Never waits for a model."""
    body = read_body()
    project = _project(body)
    config = body.get("schema") or body.get("label_config")
    spec = parse_label_config(config)
    services().registry.prepare(project, spec)
    if project is not None and not services().configs.holds(project, str(config)):
        with suppress(StoreUnavailable):  # predictions go on without Redis
            services().configs.remember(project, str(config))
            services().configs.tell_language(project)
    return reply({"model_version": services().registry.version_of(project)})


@blueprint.post("/predict")
def predict() -> Response:
    """One result per task, all of one version."""
    wired = services()
    stage = wired.metrics.stage
    with stage.labels("parse").time():
        body = read_body()
    tasks = body.get("tasks")
    if not isinstance(tasks, list):
        raise BadRequest("tasks: a list is needed", field="tasks")
    project = _project(body)
    config = body.get("label_config")
    if config is None and project is not None:
        config = wired.stores.projects.config(project)
    elif project is not None:
        wired.configs.remember_first(project, config)
    context = _context(body)
    if context is not None and is_mark(spec := parse_label_config(config), tasks, context):
        items, version = answer_page(wired, project, spec, tasks[0], context)
        return reply({"results": items, "model_version": version})
    say_blind = body.get("say_blind") is not False  # Label Studio says nothing of it
    whole = body.get("whole") is True
    items, version = answer_request(wired, project, config, tasks, say_blind=say_blind, whole=whole)
    with stage.labels("reply").time():
        return reply({"results": items, "model_version": version, **_reasons(wired, body, config, tasks, items)})


def _reasons(
    wired: Services, body: JsonObject, config: Json, tasks: Sequence[Json], items: Sequence[Item]
) -> dict[str, dict[str, int]]:
    """`declined`: why tasks cannot be read -> how many, for `understudy predict`, which asks for it."""
    params = body.get("params")
    if not isinstance(params, Mapping) or params.get("reasons") is not True or all(items):
        return {}
    return {"declined": count_rejects(parse_label_config(config), tasks, items, wired.settings.max_text_chars)}


@blueprint.post("/webhook")
@blueprint.post("/webhook/<secret>")
def webhook(secret: str = "") -> Response:
    """Stores what happened, then answers."""
    wired = services()
    event = parse_webhook(read_body())
    bind_project(event.project)
    wired.metrics.events.labels(event.action if event.action in KNOWN_ACTIONS else "other").inc()
    wired.metrics.last_event.set_to_current_time()
    try:
        answer = take_event(wired, event)
        wired.background.watch.require_safe()
        return reply(answer)
    except StoreUnavailable:
        wired.background.note_missed(event.project or None, f"{event.action} came while Redis was away")
        raise


@blueprint.post("/train")
def train() -> Response:
    """What old Label Studio configurations call instead of START_TRAINING; brings the annotations along."""
    wired, body = services(), read_body()
    project = _project(body)
    if project is None:
        raise BadRequest("project: a project id is needed", field="project")
    if isinstance(config := body.get("label_config"), str):
        wired.configs.remember(project, config)
    tasks = body.get("annotations")
    if isinstance(tasks, list):
        store_task_annotations(wired, project, tasks)
    return reply(start_training(wired, project, "Label Studio"), 201)


@blueprint.post("/job_status")
def job_status() -> Response:
    job = read_body().get("job")
    if not isinstance(job, str):
        raise BadRequest("job: the id of a job is needed", field="job")
    record = services().stores.jobs.find(job) if len(job) < 100 else None
    if record is None:
        raise NotFound(f"there is no job {job[:100]!r}", job=job[:100])
    return reply({"job_status": record["status"], "error": "", "log": "", **services().stores.jobs.get(job)})


def _context(body: JsonObject) -> Json:
    """What the page says of a mark that was just made, in the params of a request."""
    params = body.get("params")
    return params.get("context") if isinstance(params, Mapping) else None


def _project(body: JsonObject) -> int | None:
    """The project id; None when the body has none, as in tools that only try a backend out."""
    project = None if body.get("project") in (None, "") else read_project_id(body["project"])
    bind_project(project)
    return project
