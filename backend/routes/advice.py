"""Advice over the admin API: when to stop, and the auto-accept dial."""

from __future__ import annotations

from flask import Blueprint, Response

from backend.application.advice import dial_from_body
from backend.web.payloads import known_project, read_body, reply, services

blueprint = Blueprint("advice", __name__, url_prefix="/admin/projects/<project>")


@blueprint.get("/advice")
def advice(project: int) -> Response:
    """Labels still needed, scarce classes, the auto-accept dial, copying, and whether answers have settled."""
    place = services()
    return reply(place.advisor.advise(place.stores, known_project(project)))


@blueprint.post("/dial")
def dial(project: int) -> Response:
    """The dial for `accuracy`, `control`, and `confidences` of the tasks that might be accepted."""
    place = services()
    return reply(dial_from_body(place.stores, known_project(project), read_body()))
