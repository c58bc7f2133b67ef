"""Exports on the model page: a form, and the archives."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.application.export.exports import Exports
from backend.routes.export.send import send_archive
from backend.routes.ui.replies import said
from backend.web.payloads import known_project, services

blueprint = Blueprint("export_page", __name__, url_prefix="/ui/projects/<project>")

PREFIX = "export_"
"""Of the names of its fields: all buttons of a page send one form, and a rollback has a `version` of its own."""

CHOSEN = ("format", "version", "control")
TICKED = ("int8", "accept_loss")
"""Fields of the form; a box that is not ticked is not sent."""


@blueprint.post("/export")
def ask(project: int) -> Response:
    """Export a control of a version."""
    asked = {name: request.form[PREFIX + name] for name in CHOSEN if PREFIX + name in request.form}
    ticked = {name: PREFIX + name in request.form for name in TICKED}
    found = Exports(services(), known_project(project)).request({**asked, **ticked})
    return said(f"export: {found['message']}", _back(project))


@blueprint.post("/export/cancel")
def cancel(project: int) -> Response:
    """End the one that runs."""
    Exports(services(), known_project(project)).cancel()
    return said("the export is cancelled", _back(project))


@blueprint.get("/export/<job>")
def archive(project: int, job: str) -> Response:
    """An archive, in pieces."""
    return send_archive(*Exports(services(), known_project(project)).open(job))


def _back(project: int) -> str:
    return f"/ui/projects/{project}/versions"
