"""`understudy teach`: ask a language model about unlabelled texts, see how far that is, stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backend.cli.options.admin_api import json_option, project_argument, with_api
from backend.errors import BadRequest
from backend.screen import say, say_json

if TYPE_CHECKING:
    from backend.client.admin import AdminClient
    from backend.record_json import TeacherAnswer


@click.command()
@project_argument
@click.option("--texts", type=click.IntRange(1), help="Most texts that are asked about (default: TEACHER_TEXTS).")
@click.option("--dry-run", is_flag=True, help="Tell requests, tokens and cost; nothing leaves this machine.")
@click.option("--status", "only_status", is_flag=True, help="Show how far it is; nothing is begun.")
@click.option("--stop", is_flag=True, help="Ask no more; what was answered stays.")
@click.option("--forget", is_flag=True, help="Stop, and forget what was answered.")
@json_option
@with_api
def teach(
    api: AdminClient,
    project: int,
    texts: int | None,
    dry_run: bool,
    only_status: bool,
    stop: bool,
    forget: bool,
    as_json: bool,
) -> None:
    """Ask the language model at TEACHER_URL about unlabelled texts, for a better start.

    Sends up to TEACHER_TEXTS texts of the project, with the names, aliases and hints of its labels, to TEACHER_URL, and
    nothing else. What it answers is no label: the model starts from it, and leaves it as people's labels arrive."""
    if dry_run + only_status + (stop or forget) > 1:
        raise BadRequest("--dry-run, --status and --stop: one of them")
    if stop or forget:
        found = api.stop_teacher(project, forget=forget)
        say_json(found) if as_json else say(found["message"])
    elif dry_run:
        answer = api.teacher(project, texts or 0)
        say_json(answer) if as_json else say(describe_cost(answer))
    else:
        answer = api.teacher(project) if only_status else api.teach(project, texts)
        say_json(answer) if as_json else say(describe_run(answer))


def describe_cost(answer: TeacherAnswer) -> str:
    """What a run would send, in one line."""
    cost = answer["cost"]
    money = f", about {cost['money']:g} in TEACHER_PRICE's money" if "money" in cost else ""
    questions = ", ".join(cost["questions"])
    return (
        f"would send {cost['requests']} texts to {answer['host']} ({answer['model']}), about {cost['tokens']:,} tokens"
        f"{money}; asked: {questions}. Nothing was sent."
    )


def describe_run(answer: TeacherAnswer) -> str:
    """In one line."""
    if not answer["host"]:
        return "TEACHER_URL is not set: no text leaves this machine for a teacher."
    run = answer["run"]
    if run is None:
        return f"{answer['host']} ({answer['model']}) was not asked about this project."
    far = f"{run['step']} of {run['of']} texts, {run['answered']} answered, {run['bad']} unusable"
    far += f", {run['requests']:,} requests, {run['tokens']:,} tokens"
    far += f", about {run['money']:g} in TEACHER_PRICE's money" if "money" in run else ""
    again = f"; again in {run['retry_in']:.0f} s" if run["retry_in"] > 0 else ""
    said = f": {run['message']}" if run["message"] else ""
    left = [name for name, kept in answer.get("kept", {}).items() if not kept]
    out = f"; left out by the labels: {', '.join(left)}" if left else ""
    return f"teacher {answer['host']} ({answer['model']}): {run['status']}, {far}{said}{again}{out}"
