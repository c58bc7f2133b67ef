"""The teacher over the admin API: whom it asks and what that would cost, that it begins and stops, how far it is."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.application.teacher.teach import begin, describe_teacher, estimate, read_count, stop
from backend.web.payloads import known_project, read_body, reply, services

blueprint = Blueprint("teacher", __name__, url_prefix="/admin")


@blueprint.get("/projects/<project>/teacher")
def teacher(project: int) -> Response:
    """Whom it would ask, and how the last run fares; with `?texts=N` (0: TEACHER_TEXTS) what a new one would cost."""
    own, number = services(), known_project(project)
    answer = describe_teacher(own.stores, own.settings, number)
    if "texts" in request.args:
        answer["cost"] = estimate(own.stores, own.settings, number, read_count(request.args["texts"]))
    return reply(answer)


@blueprint.post("/projects/<project>/teacher")
def post(project: int) -> Response:
    """Begin; `texts`: at most so many."""
    own, number = services(), known_project(project)
    return reply(begin(own.stores, own.settings, number, read_body().get("texts", 0), "admin"), 202)


@blueprint.delete("/projects/<project>/teacher")
def delete(project: int) -> Response:
    """Stop; with `?forget=1` also forget what was answered."""
    return reply(stop(services().stores, known_project(project), forget=request.args.get("forget") == "1"))
