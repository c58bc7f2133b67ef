"""Whole-project prediction over HTTP: ask for it, see how far it is, end it."""

from __future__ import annotations

from flask import Blueprint, Response

from backend.application.prediction_runs import cancel_prediction, describe_prediction, request_prediction
from backend.web.payloads import known_project, read_body, reply, services

blueprint = Blueprint("predicting", __name__, url_prefix="/admin")


@blueprint.post("/projects/<project>/predict")
def ask(project: int) -> Response:
    """Predict every task without an annotation (`{"all": true}`: every task), straight into Label Studio."""
    place, known = services(), known_project(project)
    return reply(request_prediction(place.settings, place.stores, known, read_body().get("all", False)), 202)


@blueprint.get("/projects/<project>/predict")
def show(project: int) -> Response:
    return reply(describe_prediction(services().stores, known_project(project)))


@blueprint.post("/projects/<project>/predict/cancel")
def cancel(project: int) -> Response:
    return reply(cancel_prediction(services().stores, known_project(project)))
