"""The Flask application: its routes, and what happens before and after each of them."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request

from backend.application.services import Services
from backend.rejects.refused_requests import Refusals
from backend.routes import admin, advice, audit, dataset, labelstudio, operations, patterns, ready
from backend.routes import explain as explaining
from backend.routes import label_errors as suspects
from backend.routes import prediction_runs as predicting
from backend.routes.audit import write_audit
from backend.routes.encoder import change as encoding
from backend.routes.export import admin as exporting
from backend.routes.files import file_runs
from backend.routes.teacher import teach as teaching
from backend.routes.ui import actions, exports, hunts, login, pages
from backend.telemetry.log_context import begin_request, current_project, end_request
from backend.web.browser import PAGE_HEADERS
from backend.web.error_handlers import handle_errors
from backend.web.guard import Guard
from backend.web.serving_collector import ServingCollector
from backend.web.store_collector import StoreCollector
from backend.web.url_paths import TidyPaths, prefix_of

API = (
    *(labelstudio, ready, operations, admin, advice, audit, explaining, suspects, predicting, patterns, dataset),
    *(exporting, file_runs, teaching, encoding),
)
PAGES = (login, pages, actions, exports, hunts)
"""Modules with a blueprint each."""

NOT_NOTED = ("/admin", "/ui")
"""What is refused there is told to the person who asked: it is no fault of a project or of Label Studio."""


def create_app(services: Services) -> Flask:
    """The application over running services."""
    app = Flask("understudy", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_mb << 20
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # would redirect
    app.extensions["understudy"] = services
    for module in (*API, *PAGES):
        app.register_blueprint(module.blueprint)
    _add_collectors(services)
    _handle_requests(app, services)
    handle_errors(app, services)
    app.wsgi_app = TidyPaths(app.wsgi_app, app.url_map, prefix_of(services.settings.url))  # type: ignore[assignment]
    return app


def _add_collectors(services: Services) -> None:
    services.metrics.add(ServingCollector(services.registry, services.predictors, services.answers))
    stored = StoreCollector(services.settings)
    services.metrics.add(stored, stored.close)


REPLY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every reply: these are data, no page, and nobody else's business."""


def add_headers(response: Response) -> None:
    """Those of all replies, and of pages their own policy; files that are kept for good say so themselves."""
    kept = response.cache_control.immutable
    given = {name: value for name, value in REPLY_HEADERS.items() if not (kept and name == "Cache-Control")}
    response.headers.update(given)
    if response.mimetype in ("text/html", "text/css", "text/javascript") or response.status_code == 304:
        response.headers.update(PAGE_HEADERS)


def _handle_requests(app: Flask, services: Services) -> None:
    guard, refusals = Guard(services), Refusals(services.background.rejects)

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        g.request_id = begin_request(request.headers.get("X-Request-ID", ""))
        guard.check(request)

    @app.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unknown"
        services.metrics.requests.labels(route, str(response.status_code)).inc()
        if response.status_code >= 400 and route.startswith("/webhook"):
            services.metrics.webhooks_refused.labels(str(response.status_code)).inc()
        if 400 <= response.status_code < 500 and not route.startswith(NOT_NOTED):
            rule = request.url_rule.rule if request.url_rule else None
            refusals.note(request.method, rule, request.path, response.status_code, g.get("refusal"), current_project())
        services.metrics.seconds.labels(route).observe(time.perf_counter() - g.get("began", time.perf_counter()))
        response.headers["X-Request-ID"] = g.get("request_id", "")
        add_headers(response)
        if g.get("audited"):
            write_audit(services, request, response.status_code)
        return response

    @app.teardown_request
    def forget(error: BaseException | None) -> None:
        end_request()
