"""What `/ready` answers, for load balancers."""

from __future__ import annotations

from flask import Blueprint, Response

from backend.web.payloads import reply, services

blueprint = Blueprint("ready", __name__)


@blueprint.get("/ready")
def ready() -> Response:
    """503 with a reason until models serve; then 200, with what could not be loaded and how Redis could lose labels."""
    registry = services().registry
    if registry.not_ready:
        return reply({"ready": False, "reason": registry.not_ready}, 503)
    problems = services().background.watch.problems
    return reply({"ready": True, "stale": registry.stale(), "redis": problems})
