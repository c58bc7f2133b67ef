"""Probably wrong labels over the admin API."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.application.label_errors import DEFAULT_LIMIT_SUSPECTS, describe_suspects
from backend.labelstudio.ids import read_id
from backend.rules.relabel import list_label_errors
from backend.web.payloads import known_project, reply, services

blueprint = Blueprint("suspects", __name__, url_prefix="/admin")


@blueprint.get("/projects/<project>/suspects")
def suspects(project: int) -> Response:
    """The most suspicious labels (`?control=NAME&limit=N`), each with what the model would have said."""
    known = known_project(project)
    limit = read_id(request.args.get("limit", DEFAULT_LIMIT_SUSPECTS), "limit")
    return reply(describe_suspects(services().stores, known, request.args.get("control", ""), limit))


@blueprint.get("/projects/<project>/relabel")
def relabel(project: int) -> Response:
    """The tasks to look at again (`?limit=N`), as predictions ready to be written into Label Studio."""
    known = known_project(project)
    limit = read_id(request.args.get("limit", DEFAULT_LIMIT_SUSPECTS), "limit")
    return reply({"rows": list_label_errors(services().stores, known, limit)})
