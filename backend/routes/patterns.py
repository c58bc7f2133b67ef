"""Patterns over the admin API: strings and expressions that people bring for the labels of marked text."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.application.spans.patterns import describe_patterns, put_patterns, remove_patterns
from backend.labelstudio.ids import read_id
from backend.web.payloads import known_project, read_body, reply, services

blueprint = Blueprint("patterns", __name__, url_prefix="/admin")


@blueprint.get("/projects/<project>/patterns")
def patterns(project: int) -> Response:
    """How many there are by label, and how they fare (`?control=NAME`); with `?limit=N` the first of them as well."""
    limit = read_id(request.args["limit"], "limit") if "limit" in request.args else 0
    return reply(describe_patterns(services().stores, known_project(project), request.args.get("control", ""), limit))


@blueprint.put("/projects/<project>/patterns")
def put(project: int) -> Response:
    """Keep patterns: in place of those of the control, beside them, or take them out (`how`)."""
    return reply(put_patterns(services().stores, known_project(project), read_body()))


@blueprint.delete("/projects/<project>/patterns")
def delete(project: int) -> Response:
    """Forget the patterns of a control (`?control=NAME`), or of one of its labels (`&label=L`)."""
    control, label = request.args.get("control", ""), request.args.get("label", "")
    return reply(remove_patterns(services().stores, known_project(project), control, label))
