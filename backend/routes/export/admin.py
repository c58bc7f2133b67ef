"""Exports over the admin API."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request

from backend.application.export.exports import Exports
from backend.routes.export.send import send_archive
from backend.web.payloads import known_project, read_body, reply, services
from backend.web.url_paths import prefix_of

blueprint = Blueprint("exports", __name__, url_prefix="/admin/projects/<project>")


@blueprint.post("/export")
def ask(project: int) -> Response:
    """Export a control of a version: the export that runs when there is one."""
    return reply(Exports(services(), known_project(project)).request(read_body()), 202)


@blueprint.get("/export")
def show(project: int) -> Response:
    """How far it is, and what is there; with `?format=onnx` on to the newest archive of that format."""
    exports = Exports(services(), known_project(project))
    how = request.args.get("format", "")
    if not how:
        return reply(exports.describe())
    archive, file = exports.open(how=how)
    file.close()
    path = f"{prefix_of(services().settings.url)}/admin/projects/{project}/export/{archive.id}"
    return redirect(path, 303)  # type: ignore[return-value]


@blueprint.post("/export/cancel")
def cancel(project: int) -> Response:
    """End the one that runs."""
    return reply(Exports(services(), known_project(project)).cancel())


@blueprint.get("/export/<job>")
def archive(project: int, job: str) -> Response:
    """An archive, in pieces."""
    return send_archive(*Exports(services(), known_project(project)).open(job))
