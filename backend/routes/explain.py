"""Explanations over the admin API."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.application.explain import explain_task
from backend.labelstudio.ids import read_id
from backend.routes.labelstudio import known_project, services
from backend.web.payloads import reply

blueprint = Blueprint("explaining", __name__, url_prefix="/admin")


@blueprint.get("/projects/<project>/explain")
def explain(project: int) -> Response:
    """The answer for `?task=ID` (of `&control=NAME`) and the words that decided."""
    known = known_project(project)
    task = read_id(request.args.get("task"), "task")
    return reply(explain_task(services(), known, task, request.args.get("control", "")))
