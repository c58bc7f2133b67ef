"""The admin API: projects, trainings, versions. Every route needs the admin token."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.application.learning_curve import describe_curve
from backend.application.projects import (
    describe_examples,
    describe_pool,
    describe_project,
    describe_versions,
    request_resync,
    rollback_to,
    show_spans,
    unpin,
)
from backend.application.task_queue import describe_hunts, order_hunt, request_plan, stop_hunt
from backend.application.webhook_events import start_training
from backend.errors import BadRequest
from backend.outcomes import JobOutcome
from backend.web.payloads import known_project, read_body, reply, services

blueprint = Blueprint("admin", __name__, url_prefix="/admin")


@blueprint.get("/projects")
def projects() -> Response:
    known = services().stores.projects.projects()
    return reply({"projects": [describe_project(services(), project) for project in known]})


@blueprint.get("/projects/<project>")
def project(project: int) -> Response:
    """One project: live version, examples, pending, labels, held-out metrics, advice, running job, what is off."""
    known = known_project(project)
    advice = services().advisor.advise(services().stores, known)
    return reply({**describe_project(services(), known), "advice": advice})


@blueprint.get("/projects/<project>/examples")
def examples(project: int) -> Response:
    """What is stored, one object per annotation."""
    return reply({"examples": describe_examples(services().stores, known_project(project))})


@blueprint.get("/projects/<project>/versions")
def versions(project: int) -> Response:
    """Kept versions, newest first, and the history of the live pointer."""
    return reply(describe_versions(services(), known_project(project)))


@blueprint.get("/projects/<project>/curve")
def curve(project: int) -> Response:
    """Accuracy, confidence, log-loss and ECE of new labels before they were learned, by the labels known then."""
    return reply(describe_curve(services().stores.evidence, known_project(project)))


@blueprint.post("/projects/<project>/retrain")
def retrain(project: int) -> Response:
    """Fine-tune now; the job that is there already when there is one."""
    return reply(start_training(services(), known_project(project), "admin"), 202)


@blueprint.post("/projects/<project>/rollback")
def rollback(project: int) -> Response:
    """Serve `version` again, and stay there."""
    version = read_body().get("version")
    if not isinstance(version, str):
        raise BadRequest("version: the name of a kept version, such as v3.17, is needed", field="version")
    had, known = services(), known_project(project)
    return reply(rollback_to(had.settings, had.stores.versions, known, version, had.registry.artifacts))


@blueprint.post("/projects/<project>/unpin")
def release(project: int) -> Response:
    """End a rollback: learning publishes by itself again."""
    return reply(unpin(services().stores, known_project(project)))


@blueprint.post("/projects/<project>/show")
def show(project: int) -> Response:
    """What suggested spans are to be good for: `spans` is `clicks`, `f1`, or `default` for what SPANS_SHOW says."""
    aim = read_body().get("spans")
    if not isinstance(aim, str):
        raise BadRequest("spans: clicks, f1 or default is needed", field="spans")
    return reply(show_spans(services(), known_project(project), aim))


@blueprint.post("/projects/<project>/resync")
def resync(project: int) -> Response:
    """Reconcile with Label Studio now."""
    return reply(request_resync(services().settings, services().stores, project), 202)


@blueprint.post("/projects/<project>/queue")
def queue(project: int) -> Response:
    """Choose the next tasks of the labelling queue anew, now."""
    return reply(request_plan(services().settings, services().stores, known_project(project)), 202)


@blueprint.get("/projects/<project>/pool")
def pool(project: int) -> Response:
    """Duplicates and outliers among the unlabelled tasks."""
    return reply(describe_pool(services().stores, known_project(project)))


@blueprint.get("/projects/<project>/hunts")
def hunts(project: int) -> Response:
    """Scarce classes that the queue hunts, what came of it, and orders."""
    return reply(describe_hunts(services().settings, services().stores, known_project(project)))


@blueprint.post("/projects/<project>/hunts")
def hunt(project: int) -> Response:
    """Hunt a class: `label`, and `control`, `count`, `words`, `regex` or tasks `like` its members."""
    return reply(order_hunt(services().settings, services().stores, known_project(project), read_body()), 202)


@blueprint.delete("/projects/<project>/hunts")
def stop(project: int) -> Response:
    """Hunt a class no longer (`?label=L`, `&control=NAME`)."""
    control, label = request.args.get("control", ""), request.args.get("label", "")
    return reply(stop_hunt(services().settings, services().stores, known_project(project), control, label))


@blueprint.get("/jobs/<job>")
def job(job: str) -> Response:
    return reply(services().stores.jobs.get(job))


@blueprint.post("/jobs/<job>/cancel")
def cancel(job: str) -> Response:
    record = services().stores.jobs.cancel(job)
    return reply({**record, "message": "cancelled" if record["status"] == JobOutcome.CANCELLED else "asked to stop"})
