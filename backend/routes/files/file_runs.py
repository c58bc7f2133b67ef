"""Runs that predict files, over the admin API: the web process opens none of them."""

from __future__ import annotations

from flask import Blueprint, Response

from backend.application.files.file_runs import cancel_files, describe_files, request_files
from backend.web.payloads import known_project, read_body, reply, services

blueprint = Blueprint("files", __name__, url_prefix="/admin/projects/<project>")


@blueprint.post("/files")
def ask(project: int) -> Response:
    """Predict files: the run that is there when it reads and writes the same."""
    return reply(request_files(services().stores, known_project(project), read_body()), 202)


@blueprint.get("/files")
def show(project: int) -> Response:
    return reply(describe_files(services().stores, known_project(project)))


@blueprint.post("/files/cancel")
def cancel(project: int) -> Response:
    return reply(cancel_files(services().stores, known_project(project)))
