"""The Flask application: routes, who may call them, and errors in one place."""

from __future__ import annotations

import logging
import time

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from backend import auth
from backend.api import admin, explaining, labelstudio, operations, suspects
from backend.api.payloads import error_reply, reply
from backend.errors import BackendError, PayloadTooLarge, StoreUnavailable
from backend.log_context import begin_request
from backend.services import Services
from model.errors import ModelError

log = logging.getLogger(__name__)


def create_app(services: Services) -> Flask:
    """The application over running services."""
    app = Flask("understudy", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_mb << 20
    app.extensions["understudy"] = services
    for module in (labelstudio, operations, admin, explaining, suspects):
        app.register_blueprint(module.blueprint)
    _handle_requests(app, services)
    _handle_errors(app, services)
    return app


def _handle_requests(app: Flask, services: Services) -> None:
    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        g.request_id = begin_request(request.headers.get("X-Request-ID", ""))
        auth.check(services, request)

    @app.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unknown"
        services.metrics.requests.labels(route, str(response.status_code)).inc()
        if response.status_code >= 400 and route.startswith("/webhook"):
            services.metrics.webhooks_refused.labels(str(response.status_code)).inc()
        services.metrics.seconds.labels(route).observe(time.perf_counter() - g.get("began", time.perf_counter()))
        response.headers["X-Request-ID"] = g.get("request_id", "")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response


def _handle_errors(app: Flask, services: Services) -> None:
    @app.errorhandler(BackendError)
    def ours(error: BackendError) -> Response:
        if isinstance(error, StoreUnavailable):
            services.metrics.store_errors.inc()
        if error.status >= 500:
            log.error("%s %s: %s", request.method, request.path.split("/")[1], error.message)
        return error_reply(error)

    @app.errorhandler(ModelError)
    def models(error: ModelError) -> Response:
        log.error("%s: %s", request.endpoint, error.message)
        return reply({"error": error.code, "message": error.message}, 503)

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(error: RequestEntityTooLarge) -> Response:
        if request.path.startswith("/webhook"):
            services.background.note_missed(None, "a webhook was too large")
        limit = services.settings.max_body_mb
        return error_reply(PayloadTooLarge(f"the body is larger than MAX_BODY_MB={limit}"))

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        code = (error.name or "error").lower().replace(" ", "_")
        return reply({"error": code, "message": error.description or ""}, error.code or 500)

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.exception("unexpected error in %s", request.endpoint)
        return reply({"error": "internal_error", "message": "unexpected error; the log has the details"}, 500)
