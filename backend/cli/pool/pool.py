"""`understudy pool`: duplicates and outliers among the unlabelled tasks, on a terminal, as CSV, or in a tab of Label
Studio."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from backend.cli.options.admin_api import json_option, project_argument, with_api
from backend.errors import BadRequest, SettingsError
from backend.screen import plain, say, say_json, say_lines, say_table
from backend.settings.settings import current_settings
from model.duplicates.findings import FINDINGS

if TYPE_CHECKING:
    from backend.client.admin import AdminClient
    from backend.labelstudio.rest.client import LabelStudioClient
    from backend.record_json import PoolReport, PoolRow

COLUMNS = ("kind", "task", "like", "value", "about", "text")
ROWS = 10
"""Shown of each kind when no other number is asked for."""

TEXT_COLUMNS = 60


@click.command()
@project_argument
@click.option("--kind", "kinds", type=click.Choice(FINDINGS), multiple=True, help="Of this kind only; may come again.")
@click.option("--limit", type=click.IntRange(1, 200), default=ROWS, show_default=True, help="Most rows of each kind.")
@click.option("--push", is_flag=True, help="List them in a tab of Label Studio, 100 at most.")
@click.option("--remove", is_flag=True, help="Take that tab out again.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@with_api
def pool(
    api: AdminClient,
    project: int,
    kinds: Sequence[str],
    limit: int,
    push: bool,
    remove: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the unlabelled tasks that are there again, and those unlike all others.

    far: unlike its nearest neighbours (mean cosine); empty: without letters; script: in one that others seldom have."""
    if push and remove:
        raise BadRequest("--push and --remove: one of them")
    if remove:
        return _remove(project)
    found = api.pool(project)
    rows = choose_rows(found, kinds, limit)
    if push:
        return _push(project, rows)
    if as_json:
        say_json({**found, "rows": rows})
    elif as_csv:
        say_lines(write_csv(rows).splitlines())
    else:
        _show(found, rows)
    return None


def choose_rows(found: PoolReport, kinds: Sequence[str], limit: int) -> list[PoolRow]:
    """At most `limit` of each kind that is asked for; of all kinds where none is."""
    own = {kind: [row for row in found["rows"] if row["kind"] == kind][:limit] for kind in kinds or FINDINGS}
    return [row for rows in own.values() for row in rows]


def write_csv(rows: Sequence[PoolRow]) -> str:
    """With a header. No cell begins as a formula does."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows:
        cells = (row["kind"], row["task"], row.get("like", ""), row.get("value", ""), row.get("about", ""), row["text"])
        table.writerow([_cell(cell) for cell in cells])
    return file.getvalue()


def _cell(value: object) -> str:
    """On one line."""
    text = " ".join(plain(value).split())
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and not isinstance(value, int | float) else text


def _show(found: PoolReport, rows: Sequence[PoolRow]) -> None:
    counts = ", ".join(f"{count} {kind}" for kind, count in found["counts"].items() if count) or "nothing unusual"
    say(f"{found['tasks']} tasks: {counts}; {found['labelled']} unlabelled ones have a text that is labelled.")
    if rows:
        say_table([_row(row) for row in rows])
    if found["compared"] < found["tasks"]:
        say(f"{found['compared']} of them were compared with each other.")


def _row(row: PoolRow) -> dict[str, str]:
    text = plain(row["text"])
    cut = text if len(text) <= TEXT_COLUMNS else text[: TEXT_COLUMNS - 1] + "…"
    about = f"of task {row['like']}" if "like" in row else row.get("about", "") or f"{row.get('value', '')}"
    return {"kind": row["kind"], "task": str(row["task"]), "": about, "text": cut}


def _push(project: int, rows: Sequence[PoolRow]) -> None:
    from backend.jobs.sync.pool_tab import TAB_TITLE, push_tasks

    with _label_studio() as client:
        count = push_tasks(client, project, [task for row in rows for task in _tasks(row)])
    say(f"{count} tasks in the tab '{TAB_TITLE}' of project {project}." if count else "Nothing to list.")


def _tasks(row: PoolRow) -> list[int]:
    """A duplicate beside what it is one of."""
    return [row["like"], row["task"]] if "like" in row else [row["task"]]


def _remove(project: int) -> None:
    from backend.jobs.sync.pool_tab import remove_tab

    with _label_studio() as client:
        removed = remove_tab(client, project)
    say("The tab is removed." if removed else f"Project {project} has nothing of it.")


def _label_studio() -> LabelStudioClient:
    from backend.labelstudio.rest.client import LabelStudioClient

    settings = current_settings()
    if not settings.has_label_studio:
        raise SettingsError("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to write into Label Studio")
    return LabelStudioClient.of(settings)
