"""What admins did: written after each of their actions, and shown to them."""

from __future__ import annotations

import logging

from flask import Blueprint, Request, Response, request

from backend.application.services import Services
from backend.errors import StoreUnavailable
from backend.labelstudio.ids import read_id
from backend.web.payloads import reply, services

log = logging.getLogger(__name__)

blueprint = Blueprint("audit", __name__, url_prefix="/admin")

ENTRIES_SHOWN = 100


@blueprint.get("/audit")
def audit() -> Response:
    """The last actions (`?limit=N`), newest first."""
    return reply({"actions": services().stores.audit.read(read_id(request.args.get("limit", ENTRIES_SHOWN), "limit"))})


def _action(done: Request) -> str:
    """What stands behind the project, such as `predict/cancel`; elsewhere the last part of the path."""
    rule = done.url_rule.rule if done.url_rule else ""
    own = [part for part in rule.partition("<project>/")[2].split("/") if part and not part.startswith("<")]
    name = "/".join(own) or rule.rpartition("/")[2]
    return f"delete {name}" if done.method == "DELETE" else name


def write_audit(wired: Services, done: Request, status: int) -> None:
    """Remember an action and how it ended; in the log as well, since Redis may be away. Holds no text and no token."""
    named = done.view_args or {}
    entry = {
        "by": "admin",
        "address": done.remote_addr or "",
        "action": _action(done),
        "project": str(named.get("project", "")),
        "job": str(named.get("job", "")),
        "status": str(status),
    }
    log.info("admin action=%(action)s project=%(project)s job=%(job)s status=%(status)s address=%(address)s", entry)
    try:
        wired.stores.audit.write(entry)
    except StoreUnavailable as error:
        log.error("the action above is in no audit log but this one: %s", error.message)
