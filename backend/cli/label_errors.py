"""`understudy suspects`: labels that are probably wrong, on a terminal, or in a tab of Label Studio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from backend.admin_json import DisputedAnswer, DisputedTask, Suspect, SuspectsAnswer
from backend.cli.options.admin_api import json_option, project_argument, with_api
from backend.errors import BadRequest, SettingsError
from backend.record_json import SpanPlace
from backend.screen import plain, say, say_json, say_lines, say_table
from backend.settings.settings import current_settings

if TYPE_CHECKING:
    from backend.client.admin import AdminClient
    from backend.labelstudio.rest.client import LabelStudioClient

COLUMNS = ("control", "task", "annotation", "text", "given", "suggested", "p(given)", "p(suggested)", "flag")
ROWS, LIMIT = 20, 100
"""Shown, and with --push written, when no other number is asked for."""

TEXT_COLUMNS = 48
"""Characters of the text that are shown."""


@click.command()
@project_argument
@click.option("--control", default="", help="Which control; default: all.")
@click.option("--limit", type=click.IntRange(1, 1000), help="Most rows; default 20, with --push 100.")
@click.option("--push", is_flag=True, help="List them, and tasks whose annotators disagree, in a tab of Label Studio.")
@click.option("--remove", is_flag=True, help="Take that tab, and all that was written for it, out again.")
@json_option
@with_api
def suspects(
    api: AdminClient, project: int, control: str, limit: int | None, push: bool, remove: bool, as_json: bool
) -> None:
    """List the labels that are probably wrong, with what the model would have said."""
    if push and remove:
        raise BadRequest("--push and --remove: one of them")
    if push:
        return _push(api, project, limit or LIMIT)
    if remove:
        return _remove(project)
    _show(api, project, control, limit or ROWS, as_json)
    return None


def _push(api: AdminClient, project: int, limit: int) -> None:
    from backend.jobs.sync.relabel_tab import describe_push, push_relabels

    rows = api.relabels(project, limit)
    with _label_studio() as client:
        pushed = push_relabels(client, project, rows)
    say(describe_push(pushed, project))


def _remove(project: int) -> None:
    from backend.jobs.sync.relabel_tab import remove_relabels

    with _label_studio() as client:
        lines = remove_relabels(client, project)
    say_lines(lines or [f"Project {project} has nothing of it."])


def _label_studio() -> LabelStudioClient:
    from backend.labelstudio.rest.client import LabelStudioClient

    settings = current_settings()
    if not settings.has_label_studio:
        raise SettingsError("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to write into Label Studio")
    return LabelStudioClient.of(settings)


def _show(api: AdminClient, project: int, control: str, limit: int, as_json: bool) -> None:
    found = api.suspects(project, control, limit)
    if as_json:
        say_json(found)
        return
    _show_suspects(found)
    _show_disputed(found.get("disputed", ()))


def _show_disputed(disputed: Sequence[DisputedTask]) -> None:
    """What not all annotators of a task say, with how many do."""
    if not disputed:
        return
    say("Annotators disagree:")
    say_table(
        [
            {
                "control": row["control"],
                "task": str(row["task"]),
                "text": _cut(row["text"]),
                "answers": "; ".join(_voted(one) for one in row["answers"]),
            }
            for row in disputed
        ]
    )


def _voted(one: DisputedAnswer) -> str:
    place = one.get("place")
    what = f'"{plain(place["text"])}" {one["label"]}' if place else one["label"] or "(nothing)"
    return f"{what} {one['votes']} of {one['of']}"


def _show_suspects(found: SuspectsAnswer) -> None:
    if marking := found.get("not_searched"):
        say(f"Not searched yet: {', '.join(marking)}. Marked text is, from 16 texts on, when nobody is labelling.")
    if not found["searched"] and not found["suspects"]:
        if marking:
            return
        say("No whole search has run yet: label tasks of at least two classes, and wait for the next version.")
        return
    if not found["suspects"]:
        say(f"None: the model agrees with all labels it was asked about ({_searched(found)}).")
        return
    marked = any("kind" in row for row in found["suspects"])
    say_table([_row(row, marked) for row in found["suspects"]])
    searched = f" ({_searched(found)})" if found["searched"] else ""
    say(f"{len(found['suspects'])} of {found['found']}{searched}.")
    if bare := sum(not row["flag"] and "like" not in row for row in found["suspects"]):
        say(f"{bare} without a flag: the least sure of the rest, and most of them right.")


def _searched(found: SuspectsAnswer) -> str:
    return ", ".join(f"{control}: {entry['labels']} labels" for control, entry in found["searched"].items())


def _row(row: Suspect, marked: bool) -> dict[str, str]:
    cells = dict(zip(COLUMNS, _cells(row), strict=True))
    return {**cells, "kind": row.get("kind", "")} if marked else cells


def _cells(row: Suspect) -> Iterator[str]:
    yield row["control"]
    yield str(row["task"])
    yield ", ".join(str(id_) for id_ in row["annotations"])
    yield _cut(row["text"])
    yield _shown(row["given"], row.get("given_span"), "kind" in row)
    yield _shown(row["suggested"], row.get("suggested_span"), "kind" in row)
    yield f"{row['p_given']:.3f}"
    yield f"{row['p_suggested']:.3f}"
    yield row["flag"] + (f"; duplicate of task {row['like']}" if "like" in row else "")


def _cut(text: str) -> str:
    text = plain(text)
    return text if len(text) <= TEXT_COLUMNS else text[: TEXT_COLUMNS - 1] + "…"


def _shown(label: str, span: SpanPlace | None, marked: bool) -> str:
    if span is not None:
        return f'"{plain(span["text"])}" {label}'
    return label or ("(nothing)" if marked else "(not set)")


SUSPECT_COMMANDS = (suspects,)
