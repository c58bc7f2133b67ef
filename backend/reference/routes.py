"""The routes as the policy table has them."""

from __future__ import annotations

from backend.web.policy import POLICIES, SMALL, Caller, Policy

CALLERS = {
    Caller.ANYONE: "anyone",
    Caller.PROBE: "anyone, but for wrong basic auth",
    Caller.LABEL_STUDIO: "basic auth",
    Caller.WEBHOOK: "webhook secret or basic auth",
    Caller.ADMIN: "admin token",
    Caller.BROWSER: "a browser that is logged in, or the admin token",
}


HEAD = "| route | who may call it | largest body | calls a minute, each project | in the audit log |\n"


def route_table() -> str:
    rows = "".join(_row(route, policy) for route, policy in POLICIES.items())
    return f"{HEAD}|---|---|---|---|---|\n{rows}"


def _row(route: str, policy: Policy) -> str:
    limit = f"{policy.per_minute}" if policy.per_minute else "any"
    audited = "yes" if policy.changes else "no"
    return f"| `{route}` | {CALLERS[policy.caller]} | {_body(policy)} | {limit} | {audited} |\n"


def _body(policy: Policy) -> str:
    mebibytes = policy.body // SMALL
    return f"{mebibytes} MiB" if mebibytes < 1024 else "`MAX_BODY_MB`"
