"""The ids that every log line of a request or a job carries: `request`, `project`, `job`.

structlog keeps them, per thread; it is imported late because it brings rich along.
"""

from __future__ import annotations

import re
import secrets
from contextlib import AbstractContextManager

SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def begin_request(given: str) -> str:
    """Begins a request; its id: `given` when it is sane, else a new one."""
    from structlog.contextvars import bind_contextvars

    name = sane_id(given) or secrets.token_hex(8)
    bind_contextvars(request=name)
    return name


def end_request() -> None:
    """What this thread logs from here on belongs to no request."""
    from structlog.contextvars import clear_contextvars

    clear_contextvars()


def bind_project(project: int | None) -> None:
    """From here on lines of this request are about `project`."""
    from structlog.contextvars import bind_contextvars

    if project:
        bind_contextvars(project=project)


def current_project() -> int | None:
    """The project that the request being answered is about, when that is known."""
    from structlog.contextvars import get_contextvars

    found = get_contextvars().get("project")
    return found if isinstance(found, int) else None


def current_request() -> str:
    """The id of the request that is being answered, "" outside of one."""
    from structlog.contextvars import get_contextvars

    return str(get_contextvars().get("request", ""))


def about(**ids: int | str | None) -> AbstractContextManager[object]:
    """Lines within carry these ids; None and "" are left out."""
    from structlog.contextvars import bound_contextvars

    return bound_contextvars(**{name: value for name, value in ids.items() if value})


def sane_id(given: object) -> str:
    """An id from outside: short, of letters and digits, or ""."""
    return given if isinstance(given, str) and SANE.fullmatch(given) else ""
