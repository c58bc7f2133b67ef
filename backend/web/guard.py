"""The checks before every route: origin, credentials, the ids it names, the rate limit."""

from __future__ import annotations

import base64
import hmac
import math
import re
from urllib.parse import urlsplit

from flask import Request, g

from backend.application.services import Services
from backend.errors import BadRequest, Forbidden, RateLimited, Unauthorized
from backend.labelstudio.ids import read_id
from backend.serving.patience import Patience
from backend.settings.settings import Settings
from backend.web import guard as auth
from backend.web.browser import SAFE_METHODS, check_browser
from backend.web.policy import Caller, policy_of
from backend.web.rate_limit import RateLimiter

BASIC, BEARER = 'Basic realm="understudy", charset="UTF-8"', 'Bearer realm="understudy"'
"""What a 401 says in WWW-Authenticate."""


def check(services: Services, caller: Caller, request: Request) -> None:
    """Raises Unauthorized unless the request comes from `caller`; in constant time whatever was sent."""
    if caller is Caller.ADMIN or (caller is Caller.BROWSER and "Authorization" in request.headers):
        _check_admin(services.admin_token, request)
    elif caller is Caller.BROWSER:
        g.patience = Patience(services.admission)
        g.patience.give_way()
        g.session = check_browser(services, request)
    elif caller is Caller.WEBHOOK:
        _check_webhook(services.webhook_secret, services.settings, request)
    elif _needs_basic(caller, request) and not _basic_is_right(services.settings, request):
        message = "basic auth is needed: the user and password set as BASIC_AUTH_USER and BASIC_AUTH_PASS"
        raise Unauthorized(message, challenge=BASIC)


def _needs_basic(caller: Caller, request: Request) -> bool:
    return caller is Caller.LABEL_STUDIO or (caller is Caller.PROBE and "Authorization" in request.headers)


def _check_admin(admin_token: str, request: Request) -> None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not _same(token.strip(), admin_token):
        raise Unauthorized("the admin token is needed: Authorization: Bearer ADMIN_TOKEN", challenge=BEARER)


def _check_webhook(secret: str, settings: Settings, request: Request) -> None:
    """The header, the path, or basic auth: Label Studio's Start Training sends the latter, annotations none of them."""
    if not secret:
        return
    in_path = request.path.removeprefix("/webhook").strip("/")
    by_header = _same(request.headers.get("X-Webhook-Secret", ""), secret)
    by_path = _same(in_path, secret)
    by_user = bool(settings.basic_auth_user) and _basic_is_right(settings, request)
    if not (by_header or by_path or by_user):
        message = "the webhook secret is needed, in X-Webhook-Secret (run `understudy connect`) or the path"
        raise Unauthorized(message, challenge=BASIC)


def _basic_is_right(settings: Settings, request: Request) -> bool:
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


JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Guard:
    """The policy table, enforced."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limiter = RateLimiter()

    def check(self, request: Request) -> None:
        """Lets the request through. Raises Forbidden, Unauthorized, BadRequest or RateLimited."""
        rule = request.url_rule.rule if request.url_rule else None
        policy = policy_of(request.method, rule, request.path)
        request.max_content_length = min(policy.body, self._services.settings.max_body_mb << 20)
        if request.method not in SAFE_METHODS:
            self._refuse_other_sites(request)
        auth.check(self._services, policy.caller, request)
        g.audited = policy.changes
        _read_ids(request)
        if policy.per_minute:
            self._limit(request, rule, policy.per_minute)

    def _refuse_other_sites(self, request: Request) -> None:
        """No page in somebody's browser may press our buttons: this server may be open to its own machine or network.

        Label Studio and the command line are no browsers and send neither header."""
        site = request.headers.get("Sec-Fetch-Site", "none")
        origin = request.headers.get("Origin")
        if site not in ("none", "same-origin") or (origin is not None and not self._is_ours(request, origin)):
            raise Forbidden("a web page of another site may not do this")

    def _is_ours(self, request: Request, origin: str) -> bool:
        return _host_of(origin) in {request.host, urlsplit(self._services.settings.url).netloc}

    def _limit(self, request: Request, rule: str | None, per_minute: int) -> None:
        named = (request.view_args or {}).get("project") or (request.view_args or {}).get("job")
        seconds = math.ceil(self._limiter.wait((rule, named), per_minute))
        if seconds:
            raise RateLimited(f"more than {per_minute} a minute; come again in {seconds} s", retry_after=seconds)


def _read_ids(request: Request) -> None:
    """Ids in place of texts before anything is made of them. Flask's own `int` takes digits of any script."""
    named = request.view_args or {}
    for name in {"project", "task"} & set(named):
        named[name] = read_id(named.pop(name), name)
    if "job" in named:
        named["job"] = _read_job(named.pop("job"))


def _read_job(text: str) -> str:
    if not JOB_ID.fullmatch(text):
        raise BadRequest("job: the id of a job is needed", field="job")
    return text


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
