"""Requests that were answered with 4xx: one log line each, now and then. Label Studio shows its users next to nothing
of them, so that a typing error in a URL looks like a model that does not learn."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from backend.errors import BackendError
from backend.labelstudio.rejects import Reject
from backend.rejects.pending import RejectNotes
from backend.telemetry.log_throttle import LogThrottle

log = logging.getLogger(__name__)

PATH_CHARACTERS = 40
"""Characters of a path that leads nowhere."""

REASON_CHARACTERS = 300


@dataclass(frozen=True)
class Refusal:
    """Why a request was refused."""

    code: str
    message: str

    @classmethod
    def of(cls, error: BackendError) -> Refusal:
        """Of one of our own errors."""
        return cls(error.code, error.message)


class Refusals:
    """The refused requests of one web process."""

    def __init__(self, notes: RejectNotes) -> None:
        self._throttle, self._notes = LogThrottle(), notes

    def note(
        self, method: str, route: str | None, path: str, status: int, refusal: Refusal | None, project: int | None
    ) -> None:
        """`route`: the rule that matched, None for a path that leads nowhere. Of such a path only the beginning is
        written: what follows `/webhook/` is a secret, and may be one elsewhere."""
        shown = route or _beginning(path)
        said = refusal.message[:REASON_CHARACTERS] if refusal else "refused"
        told = Reject("request", f"{method[:10]} {shown} was answered {status}: {said}")
        self._notes.note(project, "requests", [(None, told)])
        held_back = self._throttle.admit((method, shown, status, refusal.code if refusal else ""))
        if held_back is None:
            return
        more = f" ({held_back} more since the last line)" if held_back else ""
        hint = "; see docs/http.md for what there is" if status in (404, 405) else ""
        log.warning("%s %s answered %s: %s%s%s", method[:10], shown, status, said, hint, more)


def _beginning(path: str) -> str:
    first, _, rest = path.lstrip("/").partition("/")
    return f"/{first[:PATH_CHARACTERS]}{'/…' if rest else ''}"
