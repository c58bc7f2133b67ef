"""`understudy audit`: what admins did, on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from backend.cli.admin import json_option, with_api
from backend.screen import say, say_json, say_table

if TYPE_CHECKING:
    from backend.client.admin import AdminClient

COLUMNS = ("by", "address", "action", "project", "job", "status")


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most rows.")
@json_option
@with_api
def audit(api: AdminClient, limit: int, as_json: bool) -> None:
    """List what admins did, newest first: when, from where, and how it ended (HTTP status)."""
    actions = api.audit(limit)
    if as_json:
        say_json(actions)
    elif actions:
        say_table([_row(action) for action in actions])
    else:
        say("Nothing yet.")


def _row(action: Mapping[str, Any]) -> dict[str, Any]:
    moment = datetime.fromtimestamp(action["at"], timezone.utc).isoformat(sep=" ", timespec="seconds")
    return {"at": moment, **{name: action.get(name, "") for name in COLUMNS}}
