"""Explanations over the admin API."""

from __future__ import annotations

from flask import Blueprint, Response, request

from backend.application.explain import explain_task
from backend.labelstudio.ids import LARGEST_ID, bad_field, read_id
from backend.serving.explained_spans import SpanQuery
from backend.web.payloads import known_project, reply, services

blueprint = Blueprint("explaining", __name__, url_prefix="/admin")


@blueprint.get("/projects/<project>/explain")
def explain(project: int) -> Response:
    """The answer for `?task=ID` (of `&control=NAME`) and the words that decided; of marked text also why the characters
    `&start=N&end=N` are marked (as `&label=NAME`), or are not."""
    known = known_project(project)
    task = read_id(request.args.get("task"), "task")
    return reply(explain_task(services(), known, task, request.args.get("control", ""), _read_span()))


def _read_span() -> SpanQuery | None:
    """The span that is asked for. Raises BadRequest."""
    start, end, label = (request.args.get(name) for name in ("start", "end", "label"))
    if start is None and end is None:
        if label:
            raise bad_field("label", "needs start and end, too")
        return None
    first = 0 if start == "0" else read_id(start, "start")
    last = read_id(end, "end")
    if not first < last <= LARGEST_ID:
        raise bad_field("end", "must be behind start")
    return SpanQuery(first, last, label or "")
