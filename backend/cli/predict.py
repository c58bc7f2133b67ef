"""`understudy predict`: a whole project into Label Studio, or a file of tasks into a file of predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.admin_json import RunAnswer
from backend.cli.files.predict_files import Wish, at_home, is_in_bulk, predict_in_bulk
from backend.cli.files.predict_files import tell as tell_files
from backend.cli.options.admin_api import json_option, with_api
from backend.errors import BadRequest
from backend.outcomes import JobOutcome
from backend.screen import plain, say, say_json, say_lines

if TYPE_CHECKING:
    from backend.client.admin import AdminClient


@click.command()
@click.argument("target", metavar="PROJECT|FILE|IN")
@click.option("--all", "everything", is_flag=True, help="Tasks with annotations, too.")
@click.option("--wait/--no-wait", default=True, help="Stay and show the progress.")
@click.option("--status", "only_status", is_flag=True, help="Only show how far it is.")
@click.option("--cancel", "only_cancel", is_flag=True, help="End it; what is written stays.")
@click.option("-o", "--output", metavar="FILE|FOLDER", help="FILE, IN: where to write.")
@click.option("--project", type=click.IntRange(1), help="FILE, IN: the project whose model answers.")
@click.option("--version", default="", help="IN: which version answers; default: the one that is live now.")
@click.option("--rows", type=click.IntRange(100, 1_000_000), help="IN: rows of a shard (default 10000).")
@click.option("--prefix", default="", help="IN: of the columns answer, score and version.")
@click.option("--workers", type=click.IntRange(0, 256), help="IN: how many to start here; default: 1 if none is alive.")
@json_option
@with_api
def predict(
    api: AdminClient,
    target: str,
    output: str | None,
    project: int | None,
    version: str,
    rows: int | None,
    prefix: str,
    workers: int | None,
    **options: bool,
) -> None:
    """Predict every task of a PROJECT without an annotation, straight into Label Studio; or, with -o and --project, the
    tasks of a FILE (Label Studio's import format or export, JSON lines, CSV, TSV; - is standard input) into another.

    With a FOLDER to write to, IN may have any size: a path, a pattern such as 'in/*.parquet', a folder or a URL
    (s3://bucket/in/*.parquet) of CSV, JSON lines or parquet. It is cut into shards for `understudy predictor` workers,
    and each becomes a part of FOLDER with the columns of IN, answer, score and version. The same command goes on where
    it stopped."""
    if target.isdigit():
        if output or project:
            raise BadRequest("-o and --project go with a FILE of tasks, not with a project")
        return _predict_project(api, int(target), **options)
    if output is None or project is None:
        raise BadRequest(f"{plain(target)}: a FILE of tasks needs -o OUTPUT and --project ID; a project is a number")
    if is_in_bulk(target, output):
        return _predict_in_bulk(api, Wish(target, output, project, version, rows or 0, prefix, workers), **options)
    if version or rows or prefix or workers is not None:
        raise BadRequest("--version, --rows, --prefix and --workers go with a FOLDER to write to: end OUT with /")
    return _predict_file(api, target, at_home(output), project, options["as_json"])


def _predict_in_bulk(api: AdminClient, wish: Wish, **options: bool) -> None:
    if options["only_cancel"]:
        return tell_files(api.cancel_files(wish.project), options["as_json"])
    if options["only_status"]:
        return tell_files(api.files(wish.project), options["as_json"])
    return predict_in_bulk(api, wish, wait=options["wait"], as_json=options["as_json"])


def _predict_project(
    api: AdminClient,
    project: int,
    *,
    everything: bool,
    wait: bool,
    only_status: bool,
    only_cancel: bool,
    as_json: bool,
) -> None:
    from backend.client.follow import follow
    from backend.client.follow import wait as wait_for

    if only_cancel:
        return _tell(api.cancel_prediction(project), as_json)
    if only_status:
        return _tell(api.prediction(project), as_json)
    asked = api.predict(project, everything)
    if not wait:
        return _tell(asked, as_json)
    if not as_json:
        say(f"{asked['id']}: {asked['message']}")
    try:
        record = (wait_for if as_json else follow)(_Run(api, project), asked["id"])
    except KeyboardInterrupt:
        say("")
        say(f"It goes on; `understudy predict {project} --cancel` would end it.")
        return None
    _tell(record, as_json)
    if record["status"] != JobOutcome.DONE:
        raise SystemExit(1)
    return None


def _tell(record: RunAnswer, as_json: bool) -> None:
    if as_json:
        say_json(dict(record))
    else:
        say(describe_run(record))
        say_lines(record.get("reasons") or () if record["status"] == JobOutcome.DONE else ())
        say_lines(describe_refused(record))


def describe_refused(record: RunAnswer) -> Iterator[str]:
    """A line for each reason why Label Studio dropped predictions, with the tasks."""
    for row in record.get("refused") or ():
        named = ", ".join(str(task) for task in row["tasks"])
        more = f" and {row['count'] - len(row['tasks'])} more" if row["count"] > len(row["tasks"]) else ""
        verb = "prediction was" if row["count"] == 1 else "predictions were"
        yield f"{row['count']} {verb} refused by Label Studio: {plain(row['words'])} (tasks {named}{more})"


def describe_run(record: RunAnswer) -> str:
    """One line of a run."""
    parts = [f"{record['id']}: {record['status']}, {record['step']} of {record['of']} tasks"]
    parts.append(f"{record['written']} predictions written")
    others = (
        (record["present"], "had one"),
        (record["declined"], "declined"),
        (record["dropped"], "refused by Label Studio"),
    )
    parts += [f"{count} {words}" for count, words in others if count]
    if record.get("error"):
        parts.append(f"waits {record['retry_in']} s, since: {record['error']}")
    if record.get("message") and record["status"] in (JobOutcome.FAILED, JobOutcome.DONE):
        parts.append(str(record["message"]))
    return ", ".join(parts)


class _Run:
    """A project's run as `follow` looks at jobs."""

    def __init__(self, api: AdminClient, project: int) -> None:
        self._api, self._project = api, project

    def job(self, job: str = "") -> RunAnswer:
        """With what a progress bar tells beside the numbers."""
        record = self._api.prediction(self._project)
        waits = f"waits {record['retry_in']} s: {record['error']}" if record.get("error") else ""
        return {**record, "stage": waits or f"{record['written']} written"}


def _predict_file(api: AdminClient, source: str, output: Path, project: int, as_json: bool) -> None:
    from backend.client.predict import PredictClient
    from backend.client.predict_file import predict_file
    from backend.rejects.report import describe_reject
    from backend.settings.settings import current_settings

    with PredictClient(current_settings(), api.url) as client:
        outcome = predict_file(client, project, source, output)
    if as_json:
        shown = asdict(outcome)
        always = ("tasks", "predicted", "declined")
        return say_json({name: value for name, value in shown.items() if value or name in always}, indent=None)
    declined = f", {outcome.declined} without (unreadable, or not sure enough)" if outcome.declined else ""
    say(f"{plain(output)}: {outcome.tasks} tasks, {outcome.predicted} with a prediction{declined}.")
    for words, count in sorted(outcome.reasons.items(), key=lambda item: -item[1]):
        say(describe_reject("tasks", words, count))
    for what, row in outcome.notes.items():
        say(f"row {row}: {what}" if row else what)
    return None


PREDICT_COMMANDS = (predict,)
