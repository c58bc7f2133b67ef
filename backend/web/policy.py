"""The policy table: for every route its callers, its largest body and its rate limit.

A route that is missing here is not served: `tests/backend/web/test_policy.py` walks the application's own list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Caller(Enum):
    """The callers of a route."""

    ANYONE = "anyone"
    """No credentials: tells nothing but whether models serve."""
    PROBE = "probe"
    """No credentials, as a load balancer or the kubelet asks; basic auth that is wrong is refused all the same, so that
    Label Studio's check of a connection tells of it."""
    LABEL_STUDIO = "label_studio"
    """Basic auth, when BASIC_AUTH_USER is set."""
    WEBHOOK = "webhook"
    """The webhook secret in header or path, or basic auth; whoever it is when neither is set."""
    ADMIN = "admin"
    """The admin token."""
    BROWSER = "browser"
    """A browser that is logged in to the model page, or the admin token."""


SMALL, CONFIG, WHOLE = 1 << 20, 8 << 20, 1 << 40
"""Bytes of a body. CONFIG: a label config of 1 MB with every character escaped; one that is larger is refused by its
own limit, which says more. Of WHOLE, only MAX_BODY_MB is the bound."""


@dataclass(frozen=True)
class Policy:
    """What holds for one route."""

    caller: Caller
    body: int = SMALL
    """Largest body in bytes; never more than MAX_BODY_MB."""
    per_minute: int = 0
    """Calls a minute for each project (or job); 0: any number."""
    changes: bool = False
    """An admin's action: it goes into the audit log."""


_ANYONE, _BASIC, _ADMIN = Policy(Caller.ANYONE), Policy(Caller.LABEL_STUDIO), Policy(Caller.ADMIN)
_BROWSER, _LOGIN = Policy(Caller.BROWSER), Policy(Caller.ANYONE, per_minute=30, changes=True)
_BATCH, _EVENT = Policy(Caller.LABEL_STUDIO, WHOLE), Policy(Caller.WEBHOOK, WHOLE)


def _action(per_minute: int, caller: Caller = Caller.ADMIN) -> Policy:
    return Policy(caller, per_minute=per_minute, changes=True)


def _button(per_minute: int) -> Policy:
    return _action(per_minute, Caller.BROWSER)


POLICIES: Mapping[str, Policy] = {
    "GET /": _BASIC,
    "GET /health": Policy(Caller.PROBE),
    "GET /ready": _ANYONE,
    "GET /versions": _BASIC,
    "GET /metrics": _BASIC,
    "GET /openapi.json": _BASIC,
    "POST /setup": Policy(Caller.LABEL_STUDIO, CONFIG),
    "POST /predict": _BATCH,
    "POST /train": _BATCH,
    "POST /job_status": _BASIC,
    "POST /webhook": _EVENT,
    "POST /webhook/<secret>": _EVENT,
    "GET /admin/projects": _ADMIN,
    "GET /admin/projects/<project>": _ADMIN,
    "GET /admin/projects/<project>/examples": _ADMIN,
    "GET /admin/projects/<project>/versions": _ADMIN,
    "GET /admin/projects/<project>/dataset": Policy(Caller.ADMIN, per_minute=10, changes=True),  # every text leaves
    "GET /admin/projects/<project>/curve": _ADMIN,
    "GET /admin/projects/<project>/advice": _ADMIN,
    "POST /admin/projects/<project>/dial": _ADMIN,
    "GET /admin/projects/<project>/suspects": _ADMIN,
    "GET /admin/projects/<project>/relabel": _ADMIN,
    "GET /admin/projects/<project>/explain": Policy(Caller.ADMIN, per_minute=120),  # up to a second of CPU each
    "GET /admin/projects/<project>/patterns": _ADMIN,
    "PUT /admin/projects/<project>/patterns": Policy(Caller.ADMIN, WHOLE, per_minute=30, changes=True),
    "DELETE /admin/projects/<project>/patterns": _action(30),
    "GET /admin/projects/<project>/teacher": _ADMIN,
    "POST /admin/projects/<project>/teacher": _action(30),
    "DELETE /admin/projects/<project>/teacher": _action(30),
    "GET /admin/projects/<project>/encoder": _ADMIN,
    "POST /admin/projects/<project>/encoder": _action(60),
    "POST /admin/projects/<project>/retrain": _action(30),
    "POST /admin/projects/<project>/rollback": _action(60),
    "POST /admin/projects/<project>/unpin": _action(60),
    "POST /admin/projects/<project>/show": _action(60),
    "POST /admin/projects/<project>/resync": _action(30),
    "POST /admin/projects/<project>/queue": _action(30),
    "GET /admin/projects/<project>/pool": _ADMIN,
    "GET /admin/projects/<project>/hunts": _ADMIN,
    "POST /admin/projects/<project>/hunts": _action(30),
    "DELETE /admin/projects/<project>/hunts": _action(30),
    "GET /admin/projects/<project>/predict": _ADMIN,
    "POST /admin/projects/<project>/predict": _action(30),
    "POST /admin/projects/<project>/predict/cancel": _action(60),
    "GET /admin/projects/<project>/files": _ADMIN,
    "POST /admin/projects/<project>/files": _action(30),
    "POST /admin/projects/<project>/files/cancel": _action(60),
    "GET /admin/projects/<project>/export": _ADMIN,
    "POST /admin/projects/<project>/export": _action(10),
    "POST /admin/projects/<project>/export/cancel": _action(60),
    "GET /admin/projects/<project>/export/<job>": _action(10),  # the model leaves
    "GET /admin/jobs/<job>": _ADMIN,
    "POST /admin/jobs/<job>/cancel": _action(60),
    "GET /admin/audit": _ADMIN,
    "POST /admin/login-link": _action(30),
    "GET /ui/static/<file>": _ANYONE,
    "GET /ui/static/vendor/<file>": _ANYONE,
    "GET /ui/login": _ANYONE,
    "POST /ui/login": _LOGIN,
    "POST /ui/logout": _button(60),
    "GET /ui": _BROWSER,
    "GET /ui/projects.json": _BROWSER,
    "GET /ui/operations": _BROWSER,
    "GET /ui/operations.json": _BROWSER,
    "POST /ui/check": _button(30),
    "GET /ui/projects/<project>": _BROWSER,
    "GET /ui/projects/<project>/<tab>": _BROWSER,
    "GET /ui/projects/<project>/<tab>.json": _BROWSER,
    "GET /ui/projects/<project>/words/<task>": Policy(Caller.BROWSER, per_minute=120),  # as explain
    "GET /ui/projects/<project>/words/<task>.json": Policy(Caller.BROWSER, per_minute=120),
    "POST /ui/projects/<project>/retrain": _button(30),
    "POST /ui/projects/<project>/cancel": _button(60),
    "POST /ui/projects/<project>/rollback": _button(60),
    "POST /ui/projects/<project>/unpin": _button(60),
    "POST /ui/projects/<project>/encoder": _button(60),
    "POST /ui/projects/<project>/resync": _button(30),
    "POST /ui/projects/<project>/check": _button(30),
    "POST /ui/projects/<project>/queue": _button(30),
    "GET /ui/projects/<project>/hunt/classes": _BROWSER,
    "POST /ui/projects/<project>/hunt": _button(30),
    "POST /ui/projects/<project>/hunt/stop": _button(30),
    "POST /ui/projects/<project>/predict": _button(30),
    "POST /ui/projects/<project>/predict/cancel": _button(60),
    "POST /ui/projects/<project>/files/cancel": _button(60),
    "POST /ui/projects/<project>/teacher": _button(30),
    "POST /ui/projects/<project>/teacher/stop": _button(60),
    "POST /ui/projects/<project>/suspects": _button(30),
    "POST /ui/projects/<project>/export": _button(10),
    "POST /ui/projects/<project>/export/cancel": _button(60),
    "GET /ui/projects/<project>/export/<job>": _button(10),
}


def policy_of(method: str, rule: str | None, path: str) -> Policy:
    """The policy of a route. Paths that lead nowhere need the credentials of their neighbours, so that a stranger
    learns nothing from a 404. Raises KeyError for a route that is not in the table."""
    if rule is not None:
        return POLICIES[f"{'GET' if method == 'HEAD' else method} {rule}"]
    first = path.split("/")[1] if "/" in path else ""
    return {"admin": _ADMIN, "webhook": Policy(Caller.WEBHOOK), "ui": _BROWSER}.get(first, _BASIC)
