"""The codes of errors, with their HTTP status and what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getdoc

import backend.errors
import model.errors
from backend.errors import BackendError, SettingsError
from model.errors import ModelError

MODEL_STATUS = 503
"""Of every error of `model/` (backend/web/error_handlers.py)."""

ELSEWHERE = {
    "internal_error": (500, "Something that nobody expected; the log has it, with the request's id. Nothing is lost."),
    "method_not_allowed": (405, "The route is there, with another method: the header `Allow` names it."),
}
"""Of errors that Flask raises."""


def error_table() -> str:
    """One row a code, by status."""
    rows = {**ELSEWHERE, **{code: (status, _first_line(kind)) for kind, code, status in _kinds()}}
    shown = sorted(rows.items(), key=lambda row: (row[1][0], row[0]))
    body = "".join(f"| `{code}` | {status} | {words} |\n" for code, (status, words) in shown)
    return f"| code | status | |\n|---|---|---|\n{body}"


def _kinds() -> Iterator[tuple[type[Exception], str, int]]:
    """Error, its code and status: those of the two trees. A client's and a reader's own never leave the process."""
    for kind in vars(backend.errors).values():
        if isinstance(kind, type) and issubclass(kind, BackendError) and kind not in (BackendError, SettingsError):
            yield kind, kind.code, kind.status
    for kind in vars(model.errors).values():
        if isinstance(kind, type) and issubclass(kind, ModelError) and kind is not ModelError:
            yield kind, kind.code, MODEL_STATUS


def _first_line(kind: type) -> str:
    return (getdoc(kind) or "").partition("\n")[0]
