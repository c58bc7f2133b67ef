"""Credentials: basic auth for Label Studio, a secret for webhooks, a bearer token for admins."""

from __future__ import annotations

import base64
import hmac

from flask import Request

from backend.application.services import Services
from backend.errors import Unauthorized
from backend.web.policy import Caller

BASIC, BEARER = 'Basic realm="understudy", charset="UTF-8"', 'Bearer realm="understudy"'
"""What a 401 says in WWW-Authenticate."""


def check(services: Services, caller: Caller, request: Request) -> None:
    """Raises Unauthorized unless the request comes from `caller`; in constant time whatever was sent."""
    if caller is Caller.ADMIN:
        _check_admin(services, request)
    elif caller is Caller.WEBHOOK:
        _check_webhook(services, request)
    elif caller is Caller.LABEL_STUDIO and not _basic_is_right(services, request):
        message = "basic auth is needed: the user and password set as BASIC_AUTH_USER and BASIC_AUTH_PASS"
        raise Unauthorized(message, challenge=BASIC)


def _check_admin(services: Services, request: Request) -> None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not _same(token.strip(), services.admin_token):
        raise Unauthorized("the admin token is needed: Authorization: Bearer ADMIN_TOKEN", challenge=BEARER)


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
        message = "the webhook secret is needed, in X-Webhook-Secret (run `understudy connect`) or the path"
        raise Unauthorized(message, challenge=BASIC)


def _basic_is_right(services: Services, request: Request) -> bool:
    settings = services.settings
    if not settings.basic_auth_user:
        return True
    user, password = _read_basic(request.headers.get("Authorization", ""))
    right_user = _same(user, settings.basic_auth_user)
    right_password = _same(password, settings.basic_auth_pass.get_secret_value())
    return right_user and right_password


def _read_basic(header: str) -> tuple[str, str]:
    """User and password, as Latin-1; empty for anything else. Flask's own reader raises on bytes beyond ASCII, and does
    not take Latin-1, which is what Label Studio sends."""
    kind, _, rest = header.partition(" ")
    try:
        text = base64.b64decode(rest.strip(), validate=True).decode("latin-1") if kind.lower() == "basic" else ""
    except ValueError:
        text = ""
    user, _, password = text.partition(":")
    return user, password


def _same(given: str, wanted: str) -> bool:
    """Compared as bytes: hmac refuses text beyond ASCII. Headers come as Latin-1, whatever their bytes meant."""
    secret = wanted.encode()
    as_text = hmac.compare_digest(given.encode("utf-8", "backslashreplace"), secret)
    as_bytes = hmac.compare_digest(given.encode("latin-1", "backslashreplace"), secret)
    return as_text or as_bytes
