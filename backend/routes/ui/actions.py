"""The buttons of a project: each does what its command does, once however often it is pressed."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.application.encoder.change import choose_encoder
from backend.application.files.file_runs import cancel_files
from backend.application.label_errors import push_suspects
from backend.application.prediction_runs import cancel_prediction, request_prediction
from backend.application.projects import request_resync, rollback_to, unpin
from backend.application.task_queue import request_plan
from backend.application.teacher.teach import begin, stop
from backend.application.webhook_events import start_training
from backend.errors import BadRequest, Conflict
from backend.routes.ui.replies import said
from backend.web.payloads import known_project, services

blueprint = Blueprint("actions", __name__, url_prefix="/ui/projects/<project>")

LOOKS, LOOKS_ALREADY = "the doctor looks; what it finds stands here in a moment", "the doctor looks already"


@blueprint.post("/retrain")
def retrain(project: int) -> Response:
    """Fine-tune now."""
    found = start_training(services(), known_project(project), "admin")
    return _said(project, "overview", str(found.get("message") or f"fine-tune {found['status']}"))


@blueprint.post("/cancel")
def cancel(project: int) -> Response:
    """Stop the training that runs."""
    running = services().stores.jobs.running(known_project(project))
    if running is None:
        raise Conflict("no fine-tune is running")
    services().stores.jobs.cancel(running["id"])
    return _said(project, "overview", "the fine-tune is asked to stop; what is live stays live")


@blueprint.post("/rollback")
def rollback(project: int) -> Response:
    """Serve `version` again, and stay there."""
    version = request.form.get("version", "")
    if not version:
        raise BadRequest("version: the name of a kept version, such as v3.17, is needed", field="version")
    had, known = services(), known_project(project)
    found = rollback_to(had.settings, had.stores.versions, known, version, had.registry.artifacts)
    return _said(project, "versions", found["message"])


@blueprint.post("/unpin")
def release(project: int) -> Response:
    """End a rollback."""
    found = unpin(services().stores, known_project(project))
    return _said(project, "versions", found["message"])


@blueprint.post("/encoder")
def encoder(project: int) -> Response:
    """Take another encoder, keep the one that answers, or compare them: `encoder_wish`."""
    had, known = services(), known_project(project)
    found = choose_encoder(had.stores, had.settings, known, request.form.get("encoder_wish", ""))
    return _said(project, "versions", found.get("message", ""))


@blueprint.post("/resync")
def resync(project: int) -> Response:
    """Reconcile with Label Studio now."""
    found = request_resync(services().settings, services().stores, known_project(project))
    return _said(project, "overview", f"reconciling with Label Studio: {found['message']}")


@blueprint.post("/check")
def check(project: int) -> Response:
    """Let the doctor look at its connection now."""
    new = services().stores.findings.request(known_project(project))
    return _said(project, "overview", LOOKS if new else LOOKS_ALREADY)


@blueprint.post("/queue")
def queue(project: int) -> Response:
    """Choose the next tasks anew."""
    found = request_plan(services().settings, services().stores, known_project(project))
    return _said(project, "queue", f"a new choice of the next tasks: {found['message']}")


@blueprint.post("/predict")
def predict(project: int) -> Response:
    """Predict all unlabelled tasks."""
    found = request_prediction(services().settings, services().stores, known_project(project), False)
    return _said(project, "queue", f"predicting all tasks: {found['message']}")


@blueprint.post("/predict/cancel")
def cancel_predict(project: int) -> Response:
    """End that; what is written stays."""
    cancel_prediction(services().stores, known_project(project))
    return _said(project, "queue", "predicting is over; what is written stays")


@blueprint.post("/files/cancel")
def cancel_file_run(project: int) -> Response:
    """End a run that predicts files; the parts that are written stay."""
    cancel_files(services().stores, known_project(project))
    return _said(project, "queue", "predicting files is over; the parts that are written stay")


@blueprint.post("/teacher")
def ask_teacher(project: int) -> Response:
    """Ask a language model about unlabelled texts."""
    found = begin(services().stores, services().settings, known_project(project), 0, "admin")
    return _said(project, "queue", f"{found['host']} ({found['model']}) is asked about unlabelled texts")


@blueprint.post("/teacher/stop")
def stop_teacher(project: int) -> Response:
    """Ask it no more; what was answered stays."""
    found = stop(services().stores, known_project(project))
    return _said(project, "queue", f"the teacher: {found['message']}")


@blueprint.post("/suspects")
def suspects(project: int) -> Response:
    """List labels that are probably wrong, and disputed tasks, in a tab of Label Studio."""
    found = push_suspects(services().settings, services().stores, known_project(project))
    return _said(project, "errors", found)


def _said(project: int, tab: str, message: str) -> Response:
    return said(message, f"/ui/projects/{project}/{tab}")
