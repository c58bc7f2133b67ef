"""The OpenAPI description of every route, built from the policy table and the bodies below."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from backend.web.openapi_bodies import OPERATIONS, SCHEMAS, Operation
from backend.web.policy import POLICIES, Caller, Policy

OPENAPI_VERSION = "3.0.3"

REASONS = {
    303: "To another page: to log in, or back to the one that was open.",
    304: "Nothing has changed.",
    400: "The body, a field or an id cannot be used; `field` names it.",
    401: "Credentials are missing or wrong.",
    403: "A web page of another site may not do this.",
    404: "There is no such project, version, job or task.",
    405: "The route takes another method.",
    409: "The present state does not allow it.",
    413: "The body is too large.",
    422: "The label config holds nothing that can be learned; the status line says why.",
    429: "Asked too often; Retry-After says when to come again.",
    501: "A package that this needs is not installed; the message has the command that does it.",
    502: "Label Studio refused, or did not answer.",
    503: "Models are loading, Redis is away, or too much waits; Retry-After says when to come again.",
}

SECURITY: Mapping[Caller, list[dict[str, list[str]]]] = {
    Caller.ANYONE: [],
    Caller.PROBE: [{}, {"basic": []}],
    Caller.LABEL_STUDIO: [{"basic": []}, {}],
    Caller.WEBHOOK: [{"secret": []}, {"basic": []}, {}],
    Caller.ADMIN: [{"bearer": []}],
    Caller.BROWSER: [{"bearer": []}, {"cookie": []}],
}
"""`{}`: no credentials, when none are configured."""

SCHEMES = {
    "basic": {"type": "http", "scheme": "basic"},
    "secret": {"type": "apiKey", "in": "header", "name": "X-Webhook-Secret"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "understudy_session_PORT"},
}


@lru_cache(maxsize=1)
def openapi() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route, policy in POLICIES.items():
        method, rule = route.split(" ")
        operation = _describe(rule, method, policy, OPERATIONS[route])
        paths.setdefault(path_of(rule), {})[method.lower()] = operation
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "understudy", "version": version("understudy")},
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": SCHEMES},
    }


def path_of(rule: str) -> str:
    """`/admin/jobs/{job}` for Flask's `/admin/jobs/<job>`."""
    return re.sub(r"<(\w+)>", r"{\1}", rule)


def _describe(rule: str, method: str, policy: Policy, operation: Operation) -> dict[str, Any]:
    named = [_parameter(name, "path") for name in re.findall(r"<(\w+)>", rule)]
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}{rule}").strip("_") or method.lower(),
        "parameters": named + [_parameter(name, "query") for name in operation.query],
        "security": SECURITY[policy.caller],
        "responses": {
            str(operation.status): _answer("Done.", operation.answer, operation.media),
            **{str(status): _refusal(status, operation) for status in _statuses(method, policy, operation)},
            **({"503": _answer(REASONS[503], "Ready")} if operation.answer == "Ready" else {}),
        },
    }
    if operation.body:
        form = operation.media == "text/html"
        sent = "application/x-www-form-urlencoded" if form else "application/json"
        content = {sent: {"schema": _reference(operation.body)}}
        described["requestBody"] = {"required": operation.needs_body, "content": content}
    return described


def _statuses(method: str, policy: Policy, operation: Operation) -> list[int]:
    """Errors that any route of this kind may answer, and those of this one."""
    found = {400, 405, *operation.errors}
    found |= {401} if policy.caller is not Caller.ANYONE else set()
    found |= {403, 413} if method != "GET" else set()
    found |= {429} if policy.per_minute else set()
    return sorted(found)


def _parameter(name: str, place: str) -> Mapping[str, Any]:
    schema = {"project": "PathId", "task": "PathId", "limit": "PathId", "job": "JobId"}.get(name, "Text")
    return {"name": name, "in": place, "required": place == "path" or name == "task", "schema": _reference(schema)}


def _answer(why: str, schema: str, media: str = "application/json") -> Mapping[str, Any]:
    return {"description": why, "content": {media: {"schema": _reference(schema)}}}


def _refusal(status: int, operation: Operation) -> Mapping[str, Any]:
    """Pages are answered with pages."""
    page = operation.of_page or operation.media in ("text/html", "text/css")
    return _answer(REASONS[status], "Text", "text/html") if page else _answer(REASONS[status], "Error")


def _reference(name: str) -> Mapping[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
