"""Explanations over the admin API."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.application.explain import explain_task
from backend.application.projects import require_project
from backend.labelstudio.ids import read_id
from backend.routes.labelstudio import services
from backend.web.payloads import reply

blueprint = Blueprint("explaining", __name__, url_prefix="/admin")


@blueprint.get("/projects/<project>/explain")
def explain(project: int) -> Response:
    """The answer for `?task=ID` (of `&control=NAME`) and the words that decided."""
    known = require_project(services(), project)
    task = read_id(request.args.get("task"), "task")
    return reply(explain_task(services(), known, task, request.args.get("control", "")))
