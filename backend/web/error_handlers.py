"""The error handlers of all routes: for our own errors, the models', HTTP's, and unexpected ones."""

from __future__ import annotations

import logging

from flask import Flask, Response, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed, RequestEntityTooLarge

from backend.application.services import Services
from backend.errors import BackendError, BadRequest, PayloadTooLarge, StoreUnavailable
from backend.redaction import hide_secrets
from backend.rejects.refused_requests import Refusal
from backend.supervision.disk_full import explain_disk_full
from backend.web.browser import refuse_page, wants_page
from backend.web.payloads import error_reply, reply
from model.errors import ModelError

log = logging.getLogger(__name__)


def handle_errors(app: Flask, services: Services) -> None:
    """Every error is a JSON object with a code and a message; a traceback goes into the log only."""
    _handle_ours(app, services)
    _handle_bodies(app, services)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        code = (error.name or "error").lower().replace(" ", "_")
        g.refusal = Refusal(code, error.name or "")
        if wants_page(request):
            return refuse_page(services, request, _PageError(error.description or "", error.code or 500, code))
        answer = reply({"error": code, "message": error.description or ""}, error.code or 500)
        if isinstance(error, MethodNotAllowed):
            answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return answer

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.exception("unexpected error in %s", request.endpoint)
        message = "unexpected error; the log has the details"
        if wants_page(request):
            return refuse_page(services, request, _PageError(message, 500, "internal_error"))
        return reply({"error": "internal_error", "message": message}, 500)


def _handle_ours(app: Flask, services: Services) -> None:
    @app.errorhandler(BackendError)
    def ours(error: BackendError) -> Response:
        if isinstance(error, StoreUnavailable):
            services.metrics.store_errors.inc()
            error = explain_disk_full(services.settings, error)
        if error.status >= 500:
            log.error("%s: %s", request.endpoint, error.message)  # no path: it may hold the webhook secret
        return _refuse(services, error)

    @app.errorhandler(ModelError)
    def models(error: ModelError) -> Response:
        log.error("%s: %s", request.endpoint, error.message)
        return reply({"error": error.code, "message": hide_secrets(error.message)}, 503)


def _handle_bodies(app: Flask, services: Services) -> None:
    """A webhook whose body was not taken is an event that Label Studio does not send again: reconcile."""

    def note_missed(why: str) -> None:
        if request.path.startswith("/webhook"):
            services.background.note_missed(None, why)

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(error: RequestEntityTooLarge) -> Response:
        note_missed("a webhook was too large")
        limit, largest = services.settings.max_body_mb, (request.max_content_length or 0) >> 20
        shown = f"MAX_BODY_MB={limit}" if largest == limit else f"{largest} MiB"
        return _refuse(services, PayloadTooLarge(f"the body is larger than {shown}"))

    @app.errorhandler(ClientDisconnected)
    def broken_off(error: ClientDisconnected) -> Response:
        note_missed("a webhook broke off")
        return _refuse(services, BadRequest("body: it ended early, or came too slowly", field="body"))


class _PageError(BackendError):
    """What is no error of ours, as a page shows it."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def _refuse(services: Services, error: BackendError) -> Response:
    g.refusal = Refusal.of(error)
    return refuse_page(services, request, error) if wants_page(request) else error_reply(error)
