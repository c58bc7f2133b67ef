"""What routes work with: the services, the project that is named, JSON objects in and out, errors in one shape."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import NoReturn

import orjson
from flask import Response, current_app, request

from backend.application.projects import require_project
from backend.application.services import Services
from backend.errors import BackendError, BadRequest
from model.spec import Json

MAX_DEPTH = 64
"""Deepest nesting of a body; Label Studio's own need twelve."""


def services() -> Services:
    """Those of the running application."""
    found: Services = current_app.extensions["understudy"]
    return found


def known_project(project: int) -> int:
    """The id of a known project. Raises NotFound."""
    return require_project(services().stores.projects, project)


def read_body() -> dict[str, Json]:
    """The request's JSON object. Raises BadRequest."""
    return parse_object(request.get_data(cache=False))


def parse_object(data: bytes) -> dict[str, Json]:
    """A JSON object from bytes, `{}` for no bytes. Raises BadRequest for anything else."""
    if not data.strip():
        return {}
    body = _parse(data)
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object", field="body")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and is_deeper(body, MAX_DEPTH):
        raise BadRequest(f"the body is nested deeper than {MAX_DEPTH} objects and lists", field="body")
    return body


def is_deeper(value: Json, depth: int) -> bool:
    """Whether objects and lists are nested more than `depth` deep. Level by level: the stack stays flat."""
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(value: Json) -> Iterable[Json]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _parse(data: bytes) -> Json:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:  # a lone surrogate in one task must not cost the batch: Python's own parser takes it
        return json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise BadRequest(f"the body is not JSON: {reason[:200]}", field="body") from error


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number[:20]} is not a JSON value")


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


EXPLAINED_STATUSES = frozenset({400, 413, 422})
"""Statuses whose reason phrase says what is wrong."""


def reply(body: Mapping[str, object], status: int = 200) -> Response:
    """A JSON reply. Lone surrogates, which are no UTF-8, leave as they came: escaped."""
    try:
        data = orjson.dumps(body)
    except TypeError:
        data = json.dumps(body).encode()
    return Response(data, status=status, mimetype="application/json")


def error_reply(error: BackendError) -> Response:
    """An error: its stable code, what went wrong, and the field; what a label config or a body lacks also in the status
    line, which is all that Label Studio's users see of it."""
    body = {"error": error.code, "message": error.message}
    for name in ("field", "hint", "job", "version", "setting"):
        if error.evidence.get(name):
            body[name] = str(error.evidence[name])
    answer = reply(body, error.status)
    if error.status in EXPLAINED_STATUSES:
        # Label Studio shows its user the reason phrase and ignores the body.
        answer.status = f"{error.status} {_phrase(error.message)}"
    if error.evidence.get("retry_after"):
        answer.headers["Retry-After"] = str(error.evidence["retry_after"])
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = str(error.evidence["challenge"])
    return answer


def _phrase(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text)[:180] or "unsupported label config"
