"""`understudy suspects`: labels that are probably wrong, on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from backend.admin_commands import json_option, print_table, project_argument, with_api

if TYPE_CHECKING:
    from backend.admin_client import AdminClient

COLUMNS = ("control", "task", "annotation", "text", "given", "suggested", "p(given)", "p(suggested)", "flag")
WIDTH = 48
"""Characters of the text that are shown."""


@click.command()
@project_argument
@click.option("--control", default="", help="Which control; default: all.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most rows.")
@json_option
@with_api
def suspects(api: AdminClient, project: int, control: str, limit: int, as_json: bool) -> None:
    """List the labels that are probably wrong, with what the model would have said."""
    found = api.suspects(project, control, limit)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if not found["searched"]:
        click.echo("No whole search has run yet: label tasks of at least two classes, and wait for the next version.")
        return
    if not found["suspects"]:
        click.echo(f"None: the model agrees with all labels it was asked about ({_searched(found)}).")
        return
    print_table([_row(row) for row in found["suspects"]])
    click.echo(f"{len(found['suspects'])} of {found['found']} ({_searched(found)}).")


def _searched(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{control}: {entry['labels']} labels" for control, entry in found["searched"].items())


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return dict(zip(COLUMNS, _cells(row), strict=True))


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    yield row["control"]
    yield str(row["task"])
    yield ", ".join(str(id_) for id_ in row["annotations"])
    text = "".join(char if char.isprintable() else " " for char in row["text"])
    yield text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
    yield row["given"] or "(not set)"
    yield row["suggested"] or "(not set)"
    yield f"{row['p_given']:.3f}"
    yield f"{row['p_suggested']:.3f}"
    yield row["flag"]


SUSPECT_COMMANDS = (suspects,)
