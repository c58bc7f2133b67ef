"""Who may call what: basic auth for Label Studio, a secret for webhooks, a bearer token for admins."""

from __future__ import annotations

import hmac

from flask import Request

from backend.errors import Unauthorized
from backend.services import Services

OPEN = frozenset({"/ready"})
"""Tells nothing but whether models serve; load balancers ask it without credentials."""


def check(services: Services, request: Request) -> None:
    """Raises Unauthorized, in constant time whatever was sent."""
    path = request.path
    if path in OPEN:
        return
    if path == "/admin" or path.startswith("/admin/"):
        _check_admin(services, request)
    elif path == "/webhook" or path.startswith("/webhook/"):
        _check_webhook(services, request)
    elif not _basic_is_right(services, request):
        raise Unauthorized("basic auth is needed: the user and password set as BASIC_AUTH_USER and BASIC_AUTH_PASS")


def _check_admin(services: Services, request: Request) -> None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not _same(token.strip(), services.admin_token):
        raise Unauthorized("the admin token is needed: Authorization: Bearer ADMIN_TOKEN")


def _check_webhook(services: Services, request: Request) -> None:
    """The header, the path, or basic auth: Label Studio's Start Training sends the latter, annotations none of them."""
    secret = services.webhook_secret
    if not secret:
        return
    in_path = request.path.removeprefix("/webhook").strip("/")
    by_header = _same(request.headers.get("X-Webhook-Secret", ""), secret)
    by_path = _same(in_path, secret)
    by_user = bool(services.settings.basic_auth_user) and _basic_is_right(services, request)
    if not (by_header or by_path or by_user):
        raise Unauthorized("the webhook secret is needed, in X-Webhook-Secret (run `understudy connect`) or the path")


def _basic_is_right(services: Services, request: Request) -> bool:
    settings = services.settings
    if not settings.basic_auth_user:
        return True
    given = request.authorization
    user = (given.username or "") if given is not None and given.type == "basic" else ""
    password = (given.password or "") if given is not None and given.type == "basic" else ""
    right_user = _same(user, settings.basic_auth_user)
    right_password = _same(password, settings.basic_auth_pass.get_secret_value())
    return right_user and right_password


def _same(given: str, wanted: str) -> bool:
    """Compared as bytes: hmac refuses text beyond ASCII."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8"))
