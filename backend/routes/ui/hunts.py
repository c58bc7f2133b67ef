"""Scarce classes on the model page: a form that orders a hunt, names for its field, and a button that stops one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from flask import Blueprint, Response, request

from backend.application.services import Services
from backend.application.task_queue import order_hunt, read_typed, stop_hunt, suggest_classes
from backend.errors import BadRequest
from backend.routes.ui.reader import read
from backend.routes.ui.replies import REFRESH, frame, go, page, said
from backend.ui.render import render
from backend.ui.views.queue import FIELDS, HuntForm, QueueView, describe_form, view_queue
from backend.web.browser import is_partial
from backend.web.payloads import known_project, services

blueprint = Blueprint("hunts", __name__, url_prefix="/ui/projects/<project>/hunt")

PREFIX = "hunt_"
"""Of the names of its fields."""


@blueprint.post("")
def order(project: int) -> Response:
    """Hunt a class; what is wrong with a field is said there."""
    wired, known = services(), known_project(project)
    given = {name: request.form.get(PREFIX + name, "").strip() for name in FIELDS}
    try:
        told = order_hunt(wired.settings, wired.stores, known, read_typed(given))
    except BadRequest as error:
        return _refuse(wired, known, given, error)
    message = f"{given['label']}: {told['message']}"
    if not is_partial(request):
        return go(f"/ui/projects/{known}/queue#order")
    return _form(known, describe_form(wired.stores, known), message, 200)


@blueprint.post("/stop")
def stop(project: int) -> Response:
    """Hunt a class no longer: control and label, as JSON."""
    wired, known = services(), known_project(project)
    try:
        control, label = json.loads(request.form.get("hunted", ""))
        text = str(label)
    except (TypeError, ValueError):
        raise BadRequest("hunted: control and label of a class are needed", field="hunted") from None
    told = stop_hunt(wired.settings, wired.stores, known, str(control), text)
    return said(f"{text}: {told['message']}", f"/ui/projects/{known}/queue")


@blueprint.get("/classes")
def classes(project: int) -> Response:
    """Names that hold what is typed, for the field of the class."""
    known, asked = known_project(project), request.args
    found = read(
        lambda wired: suggest_classes(
            wired.stores, known, asked.get("hunt_label", "").strip(), asked.get("hunt_control", "")
        )
    )
    return Response(render("class_names.html", classes=found), mimetype="text/html")


def _refuse(wired: Services, project: int, given: Mapping[str, str], error: BadRequest) -> Response:
    field = str(error.evidence.get("field"))
    field = field if field in FIELDS else "label"
    form = describe_form(wired.stores, project, given, {field: error.message.removeprefix(f"{field}: ")})
    if is_partial(request):
        return _form(project, form, "", error.status)

    def look(wired: Services) -> tuple[str, QueueView]:
        title = wired.stores.projects.title(project) or f"Project {project}"
        return title, replace(view_queue(wired, project, {}), order=form)

    title, view = read(look)
    answer = page("queue.html", frame(title, tab="queue", project=project), view=view)
    answer.status_code = error.status
    return answer


def _form(project: int, form: HuntForm, message: str, status: int) -> Response:
    """The form anew in place of the old one, beside what is said of the order."""
    text = render("order.html", frame=frame("", project=project), project=project, form=form, message=message)
    answer = Response(text, status=status, mimetype="text/html")
    answer.headers["HX-Retarget"], answer.headers["HX-Reswap"] = "#order", "outerHTML"
    if status < BadRequest.status:
        answer.headers["HX-Trigger"] = REFRESH
    return answer
