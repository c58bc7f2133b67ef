"""`understudy queue`: what Label Studio hands out next, and a new plan on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backend.cli.options import json_option, project_argument, with_api
from backend.screen import say, say_json

if TYPE_CHECKING:
    from backend.client.admin import AdminClient


@click.command()
@project_argument
@click.option("--plan", "plan_now", is_flag=True, help="Choose the next tasks anew, now.")
@json_option
@with_api
def queue(api: AdminClient, project: int, plan_now: bool, as_json: bool) -> None:
    """Show what steers the labelling queue of a project."""
    from backend.cli.render import render_task_queue
    from backend.rules.queue_share import hint_handed

    if plan_now:
        say(f"A new plan was {api.plan(project)['message']}.")
        return
    found = api.project(project).get("queue") or {}
    if as_json:
        say_json(found)
        return
    say(render_task_queue(found) or "queue: nothing is planned yet")
    if hint := hint_handed(project, found):
        say(hint)


QUEUE_COMMANDS = (queue,)
