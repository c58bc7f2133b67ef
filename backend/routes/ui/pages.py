"""The pages: all projects, one project's tabs, the installation; each with its JSON twin."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict

import orjson
from flask import Blueprint, Response, redirect, request

from backend.application.services import Services
from backend.errors import NotFound
from backend.health.news import news_of_installation, news_of_project, news_of_projects
from backend.routes.ui.actions import LOOKS, LOOKS_ALREADY
from backend.routes.ui.reader import read
from backend.routes.ui.replies import figures, frame, no_news, page, reasons, said, shown
from backend.rules.disabled_features import switched_off
from backend.telemetry.log_context import bind_project
from backend.ui.page import PEOPLE, TABS
from backend.ui.views.classes import view_classes
from backend.ui.views.confidence import view_confidence
from backend.ui.views.errors import view_errors
from backend.ui.views.operations import view_operations
from backend.ui.views.overview import view_overview
from backend.ui.views.people import view_people
from backend.ui.views.projects import ProjectsView, view_projects
from backend.ui.views.queue import view_queue
from backend.ui.views.versions import view_versions
from backend.web.payloads import known_project, services
from backend.web.url_paths import prefix_of

blueprint = Blueprint("pages", __name__, url_prefix="/ui")

View = Callable[[Services, int, Mapping[str, str]], object]
"""Of a known project; with what its address asks for after the question mark."""

VIEWS: dict[str, View] = {
    "overview": view_overview,
    "classes": view_classes,
    "confidence": view_confidence,
    "errors": view_errors,
    "versions": view_versions,
    PEOPLE: view_people,
    "queue": view_queue,
}
"""Of each tab."""


@blueprint.get("")
def projects() -> Response:
    """One row a project."""
    wired = services()
    news = news_of_projects(wired.stores.client, wired.stores.examples.changes)
    return no_news(news) or shown("projects.html", frame("Projects", news), _projects)


@blueprint.get("/projects.json")
def projects_json() -> Response:
    return twin(read(_projects))


@blueprint.get("/operations")
def operations() -> Response:
    """The installation."""
    news = news_of_installation(services().stores.client)
    if (same := no_news(news)) is not None:
        return same
    return shown("operations.html", frame("Operations", news, "operations"), view_operations)


@blueprint.post("/check")
def check() -> Response:
    """Let the doctor look at everything now."""
    return said(LOOKS if services().stores.findings.request() else LOOKS_ALREADY, "/ui/operations")


@blueprint.get("/operations.json")
def operations_json() -> Response:
    return twin(read(view_operations))


@blueprint.get("/projects/<project>")
def project(project: int) -> Response:
    """Its first tab."""
    path = f"{prefix_of(services().settings.url)}/ui/projects/{known_project(project)}/{TABS[0].slug}"
    return redirect(path, 303)  # type: ignore[return-value]


@blueprint.get("/projects/<project>/<tab>")
def tab(project: int, tab: str) -> Response:
    """One tab of a project."""
    view, wired = _view_of(tab), services()
    found = news_of_project(wired.stores.client, project)
    if not found:
        known_project(project)  # says that it is not
    bind_project(project)
    news = found + wired.registry.version_of(project)
    if (same := no_news(news)) is not None:
        return same
    return shown(f"{tab}.html", frame("", news, tab, project), lambda wired: view(wired, project, request.args))


@blueprint.get("/projects/<project>/<tab>.json")
def tab_json(project: int, tab: str) -> Response:
    """What the tab shows, as data."""
    known, view = known_project(project), _view_of(tab)
    return twin(read(lambda wired: view(wired, known, request.args)))


@blueprint.get("/projects/<project>/words/<task>")
def words(project: int, task: int) -> Response:
    """The words that decided for a task's answer (of `?control`): a part of the tab of errors, or a page."""
    known = known_project(project)
    found = reasons().why(services(), known, task, request.args.get("control", ""))
    return page("why.html", frame(f"Task {task}", project=known), view=found)


@blueprint.get("/projects/<project>/words/<task>.json")
def words_json(project: int, task: int) -> Response:
    """The same as data."""
    return twin(reasons().why(services(), known_project(project), task, request.args.get("control", "")))


def twin(view: object) -> Response:
    """A view as JSON. Lone surrogates, which are no UTF-8, leave escaped."""
    try:
        data = orjson.dumps(view, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        data = json.dumps(asdict(view)).encode()  # type: ignore[call-overload]
    return Response(data, mimetype="application/json")


def _projects(wired: Services) -> ProjectsView:
    return view_projects(wired, figures(), switched_off(wired.settings), request.args)


def _view_of(tab: str) -> View:
    if tab not in VIEWS or (tab == PEOPLE and not services().settings.ui_people):
        raise NotFound("there is no such tab")
    return VIEWS[tab]
