"""For load balancers and Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from backend.routes.labelstudio import services
from backend.web.openapi import openapi
from backend.web.payloads import reply

blueprint = Blueprint("operations", __name__)


@blueprint.get("/ready")
def ready() -> Response:
    """503 with a reason until models serve; then 200, with what could not be loaded and how Redis could lose labels."""
    registry = services().registry
    if registry.not_ready:
        return reply({"ready": False, "reason": registry.not_ready}, 503)
    problems = services().background.watch.problems
    return reply({"ready": True, "stale": registry.stale(), "redis": problems})


@blueprint.get("/openapi.json")
def describe() -> Response:
    """Every route as OpenAPI."""
    return reply(openapi())


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus text."""
    return Response(generate_latest(services().metrics.registry), content_type=CONTENT_TYPE_LATEST)
