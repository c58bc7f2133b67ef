"""For Prometheus, and for whoever generates clients."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from backend.web.openapi import openapi
from backend.web.payloads import reply, services

blueprint = Blueprint("operations", __name__)


@blueprint.get("/openapi.json")
def describe() -> Response:
    """Every route as OpenAPI."""
    return reply(openapi())


@blueprint.get("/metrics")
def metrics() -> Response:
    return Response(generate_latest(services().metrics.registry), content_type=CONTENT_TYPE_LATEST)
