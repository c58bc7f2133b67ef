"""What every request passes before its route: where it comes from, who sent it, which ids it names, how often."""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

from flask import Request, g

from backend.application.services import Services
from backend.errors import BadRequest, Forbidden, RateLimited
from backend.labelstudio.ids import read_id
from backend.web import auth
from backend.web.policy import policy_of
from backend.web.rate_limit import RateLimiter

JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


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
        if request.method not in SAFE:
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
    if "project" in named:
        named["project"] = read_id(named.pop("project"), "project")
    if "job" in named:
        named["job"] = _read_job(named.pop("job"))


def _read_job(text: str) -> str:
    if not JOB.fullmatch(text):
        raise BadRequest("job: the id of a job is needed", field="job")
    return text


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
