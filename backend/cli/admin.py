"""The orders to a running understudy: status, retrain, cancel, versions, rollback, examples, resync, audit."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from backend.admin_json import Action, ExampleAnswer, ProjectAnswer, VersionAnswer
from backend.cli.options.admin_api import json_option, project_argument, with_api
from backend.cli.render import (
    UNDER_WAY,
    render_advice,
    render_all_hunts,
    render_background_work,
    render_duplicates,
    render_hunts,
    render_learning_curve,
    render_patterns,
    render_task_queue,
)
from backend.errors import BackendError, BadRequest
from backend.outcomes import JobOutcome
from backend.record_json import Annotator, Disputed
from backend.screen import plain, say, say_json, say_lines, say_table
from model.spec import JsonObject

if TYPE_CHECKING:
    from backend.client.admin import AdminClient


AUDIT_COLUMNS = ("by", "address", "action", "project", "job", "status")


@click.command()
@click.argument("project", type=click.IntRange(1), required=False)
@json_option
@with_api
def status(api: AdminClient, project: int | None, as_json: bool) -> None:
    """Show the projects, or one of them; follows a running training on a terminal.

    Of one project: what is live, the learning curve on labels before they were learned, the accuracy to expect on
    unlabelled tasks, how many labels there are and lack, what keeps failing, and how reconciling goes.
    """
    from backend.client.follow import describe, follow

    shown = [api.project(project)] if project is not None else api.projects()
    if as_json:
        say_json(shown[0] if project is not None else shown)
        return
    if not shown:
        say("No project yet: connect one with `understudy connect --project ID`.")
        return
    say_table([_status_row(entry) for entry in shown])
    for ending in api.restarts():
        say(f"NOT WORKING: {ending}")
    if project is not None:
        _print_details(shown[0])
        _print_files(api, project)
    for job in filter(None, (entry.get("job") for entry in shown)):
        if sys.stdout.isatty():
            follow(api, job["id"])
        else:
            say(f"{job['id']}: {describe(job)}")


def _print_files(api: AdminClient, project: int) -> None:
    """The newest run that predicts files, if there ever was one."""
    from backend.cli.files.predict_files import tell

    with suppress(BackendError):
        tell(api.files(project), as_json=False)


@click.command()
@project_argument
@click.option("--wait/--no-wait", default=True, help="Stay and show the progress.")
@with_api
def retrain(api: AdminClient, project: int, wait: bool) -> None:
    """Fine-tune a project now; a second call while it runs follows the first.

    Label Studio's Start Training button does the same.
    """
    from backend.client.follow import follow

    reply = api.retrain(project)
    say(f"{reply['job']}: {reply.get('message') or reply['status']}")
    if not wait:
        return
    try:
        record = follow(api, reply["job"])
    except KeyboardInterrupt:
        say("")
        say(f"The training goes on; `understudy cancel {reply['job']}` would stop it.")
        return
    if record["status"] in (JobOutcome.FAILED, JobOutcome.CANCELLED):
        raise SystemExit(1)


@click.command()
@click.argument("job")
@with_api
def cancel(api: AdminClient, job: str) -> None:
    """Stop a training."""
    reply = api.cancel(job)
    say(f"{job}: {reply.get('message') or reply.get('status')}")


@click.command()
@project_argument
@json_option
@with_api
def versions(api: AdminClient, project: int, as_json: bool) -> None:
    """List the kept versions of a project, their metrics, and why a challenger was refused."""
    reply = api.versions(project)
    if as_json:
        say_json(reply)
        return
    live = reply.get("live")
    rows = [_version_row(entry, live) for entry in reply.get("versions", [])]
    if not rows:
        say("No version yet: label a few tasks.")
        return
    say_table(rows)


@click.command()
@project_argument
@click.argument("version")
@with_api
def rollback(api: AdminClient, project: int, version: str) -> None:
    """Serve an earlier version again, and stay there until `understudy unpin`."""
    reply = api.rollback(project, version)
    say(reply.get("message") or f"project {project} serves {reply.get('live', version)}")


@click.command()
@project_argument
@with_api
def unpin(api: AdminClient, project: int) -> None:
    """End a rollback: learning publishes by itself again."""
    reply = api.unpin(project)
    say(f"project {project} serves {reply.get('live')}; {reply.get('message')}")


@click.command()
@project_argument
@json_option
@with_api
def examples(api: AdminClient, project: int, as_json: bool) -> None:
    """Show what is stored: one line (or one JSON object a line) per annotation."""
    stored = api.examples(project)
    for example in stored:
        if as_json:
            say_json(example, indent=None)
        else:
            say("\t".join(plain(part) for part in _example_parts(example)), keep="\t")


@click.command()
@project_argument
@with_api
def resync(api: AdminClient, project: int) -> None:
    """Reconcile the stored examples with Label Studio."""
    reply = api.resync(project)
    say(reply.get("message") or f"project {project}: {reply.get('status', 'asked for')}")


@click.command()
@project_argument
@click.argument("spans", type=click.Choice(["clicks", "f1", "default"]))
@with_api
def show(api: AdminClient, project: int, spans: str) -> None:
    """Choose for one project what suggested spans are to be good for: the annotator's clicks, or F1."""
    say(api.show_spans(project, spans)["message"])


@click.command()
@click.option("--open/--no-open", "opens", default=True, help="Open the browser; else only print the link.")
@with_api
def ui(api: AdminClient, opens: bool) -> None:
    """Open the model page in the browser, logged in by a link that works once, within a minute."""
    import webbrowser

    link = api.login_link()
    url = link.get("url", "")
    say(f"Model page, for {link['seconds']} s: {url}")
    if opens and not webbrowser.open(url):
        say("No browser could be started here: open the link yourself.")


ADMIN_COMMANDS = (ui, status, retrain, cancel, versions, rollback, unpin, examples, resync, show)


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
        say_table([_audit_row(action) for action in actions])
    else:
        say("Nothing yet.")


def _example_parts(example: ExampleAnswer) -> Iterable[object]:
    labels = json.dumps({**example.get("labels", {}), **example.get("spans", {})}, ensure_ascii=False)
    removed = example.get("removed")
    more = (f"removed: {json.dumps(removed, ensure_ascii=False)}",) if removed else ()
    return example["id"], example["task"], labels, example.get("updated_at"), *more


def _status_row(entry: ProjectAnswer) -> dict[str, object]:
    job = entry.get("job")
    return {
        "project": entry["id"],
        "version": entry.get("live") or "v0",
        "examples": entry.get("examples", 0),
        "pending": entry.get("pending", 0),
        "training": job["status"] if job else "",
    }


def _version_row(entry: VersionAnswer, live: str | None) -> dict[str, object]:
    return {
        "version": entry["version"],
        "": "live" if entry["version"] == live else "",
        "kind": entry.get("kind", ""),
        "status": entry.get("status", ""),
        "labels": sum((entry.get("labels_seen") or {}).values()),
        "made": entry.get("created_at", ""),
        "reason": entry.get("reason", ""),
    }


def _print_details(entry: ProjectAnswer) -> None:
    for control, counts in (entry.get("labels") or {}).items():
        say(f"{control}: " + ", ".join(f"{label or '(none of these)'} {count}" for label, count in counts.items()))
    from backend.rules.queue_share import hint_handed

    for line in render_learning_curve(entry.get("metrics") or {}, entry.get("curve") or {}):
        say(line)
    if advice := entry.get("advice"):
        say_lines(render_advice(advice))
    _print_annotators(entry)
    say_lines(render_patterns(entry.get("patterns") or {}))
    say_lines(render_duplicates(entry.get("duplicates") or {}))
    _print_teacher(entry)
    for line in render_background_work(entry, time.time()):
        say(line)
    if line := render_task_queue(entry.get("queue") or {}):
        say(line)
    queued = entry.get("queue") or {}
    hunts = [own for own in queued.get("hunts", []) if own["state"] in UNDER_WAY]
    say_lines(render_hunts(hunts, queued.get("hunted_classes", 0)))
    if line := hint_handed(int(entry["id"]), entry.get("queue") or {}):
        say(line)
    if aim := entry.get("spans_show"):
        say(f"spans are shown for {aim}, chosen for this project (`understudy show`)")
    for reason in entry.get("not_learned") or ():
        say(f"not learned: {reason}")
    for what, why in (entry.get("off") or {}).items():
        say(f"off: {what}: {why}")


def _print_teacher(entry: ProjectAnswer) -> None:
    if (teacher := entry.get("teacher")) and teacher["run"]:
        from backend.cli.teacher.teach import describe_run

        say(describe_run(teacher))


def _print_annotators(entry: ProjectAnswer) -> None:
    for control, people in (entry.get("annotators") or {}).items():
        say(f"{control}, annotators: {_people_line(people, (entry.get('disagreements') or {}).get(control))}")
    for control, labels in (entry.get("agreement") or {}).items():
        told = ", ".join(f"{label} {share:.2f}" for label, share in labels.items())
        say(f"{control}, agreement of annotators (F1 of their spans): {told}")


def _people_line(people: Mapping[str, Annotator], disputed: Sequence[Disputed] | None) -> str:
    parts = []
    for person, entry in people.items():
        known = entry.get("reliability")
        parts.append(f"{person} {'' if known is None else f'{known:.0%} '}({entry.get('labels', 0)} labels)")
    tasks = f"; most disputed tasks {', '.join(str(item['task']) for item in disputed[:5])}" if disputed else ""
    return ", ".join(parts) + tasks


def _audit_row(action: Action) -> dict[str, object]:
    moment = datetime.fromtimestamp(action["at"], timezone.utc).isoformat(sep=" ", timespec="seconds")
    return {"at": moment, **{name: action.get(name, "") for name in AUDIT_COLUMNS}}


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


@click.command()
@project_argument
@click.argument("label", metavar="[CLASS]", required=False)
@click.option("--words", default="", help="Words or phrases of its members, with commas between them.")
@click.option("--regex", default="", help="An expression that its members match, in RE2's syntax, in whatever case.")
@click.option("--like", type=click.IntRange(1), multiple=True, help="A task that its members are like; repeatable.")
@click.option("--count", type=click.IntRange(1, 1000), default=20, show_default=True, help="Members to find.")
@click.option("--control", default="", help="Which control, where several have that class.")
@click.option("--stop", is_flag=True, help="Hunt it no longer, by itself neither.")
@json_option
@with_api
def hunt(
    api: AdminClient,
    project: int,
    label: str | None,
    words: str,
    regex: str,
    like: tuple[int, ...],
    count: int,
    control: str,
    stop: bool,
    as_json: bool,
) -> None:
    """Have the queue look for members of a class, or show what it hunts.

    It stops when enough are found, or when too many tasks turned out to be something else. Without CLASS: the classes
    with fewer than 10 labels that are hunted by themselves (HUNT_SHARE), those ordered, and what came of it."""
    if label is None:
        if words or regex or like or stop:
            raise BadRequest("name the CLASS", field="label")
        found = api.hunts(project)
        say_json(found) if as_json else say_lines(render_all_hunts(found))
        return
    if stop:
        told = api.stop_hunt(project, control, label)
    else:
        order: JsonObject = {"label": label, "control": control, "count": count, "regex": regex, "like": list(like)}
        told = api.hunt(project, {**order, "words": words.split(",") if words else []})
    say_json(told) if as_json else say(f"{plain(label)}: {told['message']}")


QUEUE_COMMANDS = (queue, hunt)
