"""Bodies of requests and replies by name, and which route takes and gives which: the half of the OpenAPI document that
no code knows. What is not named here is taken and passed over, as Label Studio's many fields are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LARGEST_ID = 10**18 - 1
"""Ids as text have at most 18 digits."""


@dataclass(frozen=True)
class Operation:
    """One route: names of schemas, further errors, and parameters of the query."""

    summary: str
    answer: str
    body: str = ""
    status: int = 200
    errors: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    media: str = "application/json"
    needs_body: bool = True
    of_page: bool = False
    """It is refused with a page, whatever it answers."""


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _named(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


TEXT, NUMBER, BOOL, ANY = {"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "object"}
MAYBE: dict[str, Any] = {"type": "string", "nullable": True}
PROJECT = _named("ProjectId")

SCHEMAS: dict[str, dict[str, Any]] = {
    "Text": {"type": "string"},
    "PathId": {"type": "integer", "minimum": 1, "maximum": LARGEST_ID},
    "JobId": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"},
    "ProjectId": {
        "description": "7, or Label Studio's '7.1795455205' (id and time of creation)",
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": LARGEST_ID},
            {"type": "string", "pattern": "^[1-9][0-9]{0,17}(\\.[0-9]{1,20})?$"},
        ],
    },
    "Error": _object({"error": TEXT, "message": TEXT}, {"field": TEXT, "hint": TEXT, "job": TEXT, "version": TEXT}),
    "Health": _object({"status": {"type": "string", "enum": ["UP"]}, "model_class": TEXT, "ready": BOOL}),
    "Ready": _object(
        {"ready": BOOL},
        {"reason": TEXT, "stale": ANY, "base_model": TEXT, "redis": _list(TEXT), "object_store": ANY},
    ),
    "Versions": _object({"versions": {**_list(TEXT), "minItems": 1}}),
    "OpenApi": _object({"openapi": TEXT, "info": ANY, "paths": ANY}),
    "Setup": _object({}, {"project": PROJECT, "schema": TEXT, "label_config": TEXT}),
    "Version": _object({"model_version": TEXT}),
    "Predict": _object({"tasks": _list({})}, {"project": PROJECT, "label_config": MAYBE}),
    "Results": _object({"results": _list({}), "model_version": TEXT}),
    "Webhook": _object({"action": {"type": "string", "minLength": 1}}),
    "Taken": _object({}, {"status": TEXT, "outcomes": ANY, "reason": TEXT, "job": TEXT, "new": BOOL}),
    "Train": _object({"project": PROJECT}, {"label_config": {}, "annotations": {}}),
    "Job": _object({"job": TEXT}),
    "Asked": _object({"job": TEXT, "status": TEXT, "new": BOOL, "message": TEXT}),
    "JobStatus": _object({"job_status": TEXT, "error": TEXT, "log": TEXT}),
    "Rollback": _object({"version": {"type": "string", "pattern": "^v[0-9]{1,9}(\\.[0-9]{1,9})?$"}}),
    "Show": _object({"spans": {"type": "string", "enum": ["clicks", "f1", "default"]}}),
    "Projects": _object({"projects": _list(_named("Project"))}),
    "Project": _object({"id": _named("PathId"), "live": TEXT, "served": TEXT, "examples": NUMBER, "pending": NUMBER}),
    "Examples": _object(
        {"examples": _list(_object({"id": _named("PathId"), "task": _named("PathId"), "labels": ANY}))}
    ),
    "Kept": _object({"live": TEXT, "pinned": MAYBE, "versions": _list(ANY), "history": _list(ANY)}),
    "Curve": _object({"curve": ANY, "recent": ANY}),
    "Advice": _object({"controls": ANY, "stability": {**ANY, "nullable": True}}),
    "Turn": _object({"accuracy": NUMBER, "control": TEXT, "confidences": ANY}, {"carried_over": ANY}),
    "Dial": _object(
        {"target": NUMBER, "threshold": {**NUMBER, "nullable": True}, "count": NUMBER, "reason": TEXT},
        {"carried_over": ANY},
    ),
    "Suspects": _object({"suspects": _list(ANY), "found": NUMBER, "searched": ANY}),
    "Pool": _object({"tasks": NUMBER, "compared": NUMBER, "labelled": NUMBER, "counts": ANY, "rows": _list(ANY)}),
    "Patterns": _object({"patterns": ANY, "pending": BOOL}, {"rows": _list(ANY)}),
    "PutPatterns": _object(
        {"patterns": _list(_object({"label": TEXT}, {"pattern": {}, "regex": TEXT, "ignore_case": BOOL}))},
        {"control": TEXT, "how": {"type": "string", "enum": ["replace", "add", "remove"]}},
    ),
    "Teacher": _object({"host": TEXT, "model": TEXT}, {"run": ANY, "kept": ANY, "cost": ANY}),
    "Teach": _object({}, {"texts": {"type": "integer"}}),
    "Encoder": _object(
        {"base_model": TEXT, "live": TEXT, "made_with": TEXT, "wish": TEXT, "state": TEXT},
        {
            "digest": TEXT,
            "left": NUMBER,
            "labels": NUMBER,
            "reason": TEXT,
            "again_at": NUMBER,
            "at": NUMBER,
            "message": TEXT,
        },
    ),
    "ChooseEncoder": _object({"wish": {"type": "string", "enum": ["take", "keep", "compare"]}}),
    "Hunts": _object({"share": NUMBER, "hunted_classes": NUMBER, "hunts": _list(ANY), "orders": _list(ANY)}),
    "Hunt": _object(
        {"label": TEXT}, {"control": TEXT, "count": NUMBER, "words": _list(TEXT), "regex": TEXT, "like": _list(NUMBER)}
    ),
    "Told": _object({"message": TEXT}),
    "Explained": _object(
        {"task": _named("PathId"), "version": TEXT, "control": TEXT, "label": {}, "words": _list(ANY)}
    ),
    "Live": _object({"live": TEXT, "pinned": MAYBE, "message": TEXT}),
    "Message": _object({"status": TEXT, "message": TEXT}),
    "Record": _object({"id": TEXT, "status": TEXT}),
    "Relabels": _object({"rows": _list(ANY)}),
    "PredictAll": _object({}, {"all": BOOL}),
    "PredictionRun": _object(
        {"id": TEXT, "status": TEXT, "step": NUMBER, "of": NUMBER, "written": NUMBER, "shards": ANY}
    ),
    "PredictFiles": _object(
        {"source": TEXT, "output": TEXT}, {"version": TEXT, "rows": {"type": "integer"}, "prefix": TEXT}
    ),
    "FileRun": _object(
        {"id": TEXT, "status": TEXT, "step": NUMBER, "of": NUMBER, "rate": NUMBER, "errors": NUMBER, "shards": ANY}
    ),
    "ExportWish": _object(
        {},
        {
            "format": TEXT,
            "version": TEXT,
            "control": TEXT,
            "int8": BOOL,
            "accept_loss": BOOL,
            "texts": NUMBER,
            "minutes": NUMBER,
            "again": BOOL,
        },
    ),
    "Export": _object(
        {"id": TEXT, "status": TEXT, "message": TEXT, "error": TEXT, "archives": _list(ANY)},
        {"stage": TEXT, "step": NUMBER, "of": NUMBER, "seconds_left": {**NUMBER, "nullable": True}, "new": BOOL},
    ),
    "LoginLink": _object({"path": TEXT, "seconds": NUMBER}),
    "View": _object({}),
    "Actions": _object({"actions": _list(_object({"at": NUMBER, "by": TEXT, "action": TEXT, "status": TEXT}))}),
}

_PROJECT = (404, 503)


def _page(summary: str, *errors: int) -> Operation:
    """HTML; whoever is not logged in is sent to do so."""
    return Operation(summary, "Text", errors=(303, 304, 503, *errors), media="text/html")


def _button(summary: str, *errors: int, body: str = "") -> Operation:
    """Answers with a sentence for the page that is open, without a script by going back to it."""
    return Operation(summary, "Text", body, errors=(303, 503, *errors), media="text/html")


OPERATIONS: Mapping[str, Operation] = {
    "GET /": Operation("Whether the process answers.", "Health"),
    "GET /health": Operation("Whether the process answers.", "Health"),
    "GET /ready": Operation("Whether models serve.", "Ready", errors=(503,)),
    "GET /versions": Operation("Versions that serve now.", "Versions"),
    "GET /metrics": Operation("Prometheus text.", "Text", media="text/plain"),
    "GET /openapi.json": Operation("This document.", "OpenApi"),
    "POST /setup": Operation("Whether a label config can be learned.", "Version", "Setup", errors=(422, 503)),
    "POST /predict": Operation("One result for each task.", "Results", "Predict", errors=(422, 503)),
    "POST /train": Operation("Store annotations and fine-tune.", "Asked", "Train", 201, (422, 503)),
    "POST /job_status": Operation("A training's record.", "JobStatus", "Job", errors=_PROJECT),
    "POST /webhook": Operation("Store what happened in Label Studio.", "Taken", "Webhook", errors=(422, 503)),
    "POST /webhook/<secret>": Operation("The same, secret in the path.", "Taken", "Webhook", errors=(422, 503)),
    "GET /admin/projects": Operation("Every project.", "Projects", errors=(503,)),
    "GET /admin/projects/<project>": Operation("One project.", "Project", errors=_PROJECT),
    "GET /admin/projects/<project>/examples": Operation("Stored annotations.", "Examples", errors=_PROJECT),
    "GET /admin/projects/<project>/versions": Operation("Kept versions.", "Kept", errors=_PROJECT),
    "GET /admin/projects/<project>/dataset": Operation(
        "Its labels, line by line.", "Text", errors=_PROJECT, query=("test", "people"), media="application/jsonl"
    ),
    "GET /admin/projects/<project>/curve": Operation("The learning curve.", "Curve", errors=_PROJECT),
    "GET /admin/projects/<project>/advice": Operation("When to stop, what to accept.", "Advice", errors=_PROJECT),
    "POST /admin/projects/<project>/dial": Operation("The auto-accept dial.", "Dial", "Turn", errors=_PROJECT),
    "GET /admin/projects/<project>/suspects": Operation(
        "Labels that are probably wrong.", "Suspects", errors=_PROJECT, query=("control", "limit")
    ),
    "GET /admin/projects/<project>/relabel": Operation(
        "Tasks to look at again.", "Relabels", errors=_PROJECT, query=("limit",)
    ),
    "GET /admin/projects/<project>/explain": Operation(
        "An answer and the words that decided.",
        "Explained",
        errors=(*_PROJECT, 422, 502),
        query=("task", "control", "start", "end", "label"),
    ),
    "GET /admin/projects/<project>/patterns": Operation(
        "Patterns by label, and how they fare.", "Patterns", errors=(*_PROJECT, 422), query=("control", "limit")
    ),
    "PUT /admin/projects/<project>/patterns": Operation(
        "Keep patterns of a control.", "Told", "PutPatterns", errors=(*_PROJECT, 422)
    ),
    "DELETE /admin/projects/<project>/patterns": Operation(
        "Forget patterns.", "Told", errors=(*_PROJECT, 422), query=("control", "label")
    ),
    "GET /admin/projects/<project>/teacher": Operation(
        "Whom a teacher's run would ask, and how the last one fares.",
        "Teacher",
        errors=(*_PROJECT, 409, 422),
        query=("texts",),
    ),
    "POST /admin/projects/<project>/teacher": Operation(
        "Ask a teacher about unlabelled texts.",
        "Teacher",
        "Teach",
        status=202,
        errors=(*_PROJECT, 409, 422),
    ),
    "DELETE /admin/projects/<project>/teacher": Operation(
        "Ask a teacher no more.", "Told", errors=_PROJECT, query=("forget",)
    ),
    "GET /admin/projects/<project>/encoder": Operation("How a change of BASE_MODEL fares.", "Encoder", errors=_PROJECT),
    "POST /admin/projects/<project>/encoder": Operation(
        "Decide a change of BASE_MODEL.", "Encoder", "ChooseEncoder", errors=_PROJECT
    ),
    "POST /admin/projects/<project>/retrain": Operation("Fine-tune now.", "Asked", status=202, errors=_PROJECT),
    "POST /admin/projects/<project>/rollback": Operation(
        "Serve an earlier version.", "Live", "Rollback", errors=(*_PROJECT, 409)
    ),
    "POST /admin/projects/<project>/unpin": Operation("End a rollback.", "Live", errors=_PROJECT),
    "POST /admin/projects/<project>/show": Operation(
        "Choose what suggested spans are to be good for.", "Message", "Show", errors=(*_PROJECT, 409)
    ),
    "POST /admin/projects/<project>/resync": Operation(
        "Reconcile with Label Studio.", "Message", status=202, errors=(*_PROJECT, 409)
    ),
    "POST /admin/projects/<project>/queue": Operation(
        "Choose the next tasks anew.", "Message", status=202, errors=(*_PROJECT, 409)
    ),
    "GET /admin/projects/<project>/pool": Operation("Duplicates and outliers.", "Pool", errors=_PROJECT),
    "GET /admin/projects/<project>/hunts": Operation("Scarce classes that are hunted.", "Hunts", errors=_PROJECT),
    "POST /admin/projects/<project>/hunts": Operation(
        "Hunt a class.", "Told", "Hunt", status=202, errors=(*_PROJECT, 422)
    ),
    "DELETE /admin/projects/<project>/hunts": Operation(
        "Hunt a class no longer.", "Told", errors=(*_PROJECT, 422), query=("control", "label")
    ),
    "GET /admin/projects/<project>/predict": Operation("The newest run of it.", "PredictionRun", errors=_PROJECT),
    "POST /admin/projects/<project>/predict": Operation(
        "Predict a whole project.", "PredictionRun", "PredictAll", 202, (*_PROJECT, 409), needs_body=False
    ),
    "POST /admin/projects/<project>/predict/cancel": Operation("End it.", "PredictionRun", errors=(*_PROJECT, 409)),
    "GET /admin/projects/<project>/files": Operation("The newest run that predicts files.", "FileRun", errors=_PROJECT),
    "POST /admin/projects/<project>/files": Operation(
        "Predict files.", "FileRun", "PredictFiles", 202, (*_PROJECT, 409)
    ),
    "POST /admin/projects/<project>/files/cancel": Operation("End it.", "FileRun", errors=(*_PROJECT, 409)),
    "GET /admin/projects/<project>/export": Operation(
        "The newest export, and the archives.", "Export", errors=(*_PROJECT, 303, 409), query=("format",)
    ),
    "POST /admin/projects/<project>/export": Operation(
        "Export a version.", "Export", "ExportWish", 202, (*_PROJECT, 501), needs_body=False
    ),
    "POST /admin/projects/<project>/export/cancel": Operation("End it.", "Export", errors=(*_PROJECT, 409)),
    "GET /admin/projects/<project>/export/<job>": Operation(
        "An archive.", "Text", errors=(*_PROJECT, 304), media="application/zip"
    ),
    "GET /admin/jobs/<job>": Operation("A training's record.", "Record", errors=_PROJECT),
    "POST /admin/jobs/<job>/cancel": Operation("Stop a training.", "Record", errors=(*_PROJECT, 409)),
    "GET /admin/audit": Operation("What admins did.", "Actions", errors=(503,), query=("limit",)),
    "POST /admin/login-link": Operation("A link that logs a browser in.", "LoginLink", status=201, errors=(503,)),
    "GET /ui/static/<file>": Operation("A file of the page.", "Text", errors=(404,), media="text/css"),
    "GET /ui/static/vendor/<file>": Operation("A file of the page.", "Text", errors=(404,), media="text/css"),
    "GET /ui/login": _page("The login form."),
    "POST /ui/login": _button("Log in.", 401),
    "POST /ui/logout": _button("Log out."),
    "GET /ui": _page("All projects."),
    "GET /ui/projects.json": Operation("The same as data.", "View", errors=(503,)),
    "GET /ui/operations": _page("The installation."),
    "GET /ui/operations.json": Operation("The same as data.", "View", errors=(503,)),
    "POST /ui/check": _button("Let the doctor look at everything."),
    "GET /ui/projects/<project>": Operation(
        "To the first tab.", "Text", status=303, errors=_PROJECT, media="text/html"
    ),
    "GET /ui/projects/<project>/<tab>": _page("A tab of a project.", 404),
    "GET /ui/projects/<project>/<tab>.json": Operation("The same as data.", "View", errors=_PROJECT),
    "GET /ui/projects/<project>/words/<task>": Operation(
        "The words that decided.",
        "Text",
        errors=(303, 404, 422, 502, 503),
        query=("control",),
        media="text/html",
    ),
    "GET /ui/projects/<project>/words/<task>.json": Operation(
        "The same as data.", "View", errors=(404, 422, 502, 503), query=("control",)
    ),
    "POST /ui/projects/<project>/retrain": _button("Fine-tune now.", 404),
    "POST /ui/projects/<project>/cancel": _button("Stop the training.", 404, 409),
    "POST /ui/projects/<project>/rollback": _button("Serve an earlier version.", 404, 409, body="Rollback"),
    "POST /ui/projects/<project>/unpin": _button("End a rollback.", 404),
    "POST /ui/projects/<project>/encoder": _button("Decide a change of BASE_MODEL.", 404, 409),
    "POST /ui/projects/<project>/resync": _button("Reconcile with Label Studio.", 404, 409),
    "POST /ui/projects/<project>/check": _button("Let the doctor look at its connection.", 404),
    "POST /ui/projects/<project>/queue": _button("Choose the next tasks anew.", 404, 409),
    "GET /ui/projects/<project>/hunt/classes": Operation(
        "Names for the field of a class.",
        "Text",
        errors=(303, 404, 503),
        query=("hunt_label", "hunt_control"),
        media="text/html",
    ),
    "POST /ui/projects/<project>/hunt": _button("Hunt a class.", 404),
    "POST /ui/projects/<project>/hunt/stop": _button("Hunt a class no longer.", 404),
    "POST /ui/projects/<project>/predict": _button("Predict a whole project.", 404, 409),
    "POST /ui/projects/<project>/predict/cancel": _button("End that.", 404, 409),
    "POST /ui/projects/<project>/files/cancel": _button("End a run over files.", 404, 409),
    "POST /ui/projects/<project>/teacher": _button("Ask a teacher about unlabelled texts.", 404, 409),
    "POST /ui/projects/<project>/teacher/stop": _button("Ask it no more.", 404),
    "POST /ui/projects/<project>/suspects": _button("List suspicious labels in Label Studio.", 404, 409, 502),
    "POST /ui/projects/<project>/export": _button("Export a version.", 404, 501),
    "POST /ui/projects/<project>/export/cancel": _button("End that.", 404, 409),
    "GET /ui/projects/<project>/export/<job>": Operation(
        "An archive.", "Text", errors=(303, 304, 404, 503), media="application/zip", of_page=True
    ),
}
