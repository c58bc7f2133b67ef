"""A project's encoder over the admin API: how a change of BASE_MODEL fares, and what is to be done."""

from __future__ import annotations

from flask import Blueprint, Response

from backend.application.encoder.change import choose_encoder, describe_encoder
from backend.web.payloads import known_project, read_body, reply, services

blueprint = Blueprint("encoder", __name__, url_prefix="/admin")


@blueprint.get("/projects/<project>/encoder")
def encoder(project: int) -> Response:
    """The comparison with the encoder of BASE_MODEL, as it stands."""
    own, number = services(), known_project(project)
    return reply(describe_encoder(own.stores, own.settings, number))


@blueprint.post("/projects/<project>/encoder")
def post(project: int) -> Response:
    """Decide: `wish` is take, keep or compare."""
    own, number = services(), known_project(project)
    return reply(choose_encoder(own.stores, own.settings, number, read_body().get("wish")))
