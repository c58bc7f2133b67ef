"""What `/ready` answers, for load balancers."""

from __future__ import annotations

from flask import Blueprint, Response

from backend.web.payloads import reply, services

blueprint = Blueprint("ready", __name__)


@blueprint.get("/ready")
def ready() -> Response:
    """503 with a code and a reason until models serve; then 200, with what could not be loaded, why a former encoder
    stands in for BASE_MODEL's, how Redis could lose labels and, where there is one, whether the object store
    answers."""
    registry = services().registry
    if registry.not_ready:
        return reply({"ready": False, "error": registry.why_not_ready, "reason": registry.not_ready}, 503)
    problems = services().background.watch.problems
    told: dict[str, object] = {"ready": True, "stale": registry.stale(), "redis": problems}
    if registry.encoders.unusable:
        told["base_model"] = registry.encoders.unusable
    if registry.prefetch is not None:
        told["object_store"] = registry.prefetch.describe()
    return reply(told)
