"""`understudy doctor`: shows the verdicts of all checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.errors import SettingsError
from backend.redaction import hide_secrets
from backend.screen import Styled, say, say_json
from backend.settings.home_path import HomePath
from backend.settings.settings import load_settings

if TYPE_CHECKING:
    from backend.doctor.verdict import Verdict

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": "blue"}


@click.command()
@click.option(
    "--project", type=click.IntRange(1), help="Examine the connection of this project (default: all, up to 10)."
)
@click.option("--data-dir", type=HomePath(file_okay=False), help="Where everything is kept (DATA_DIR).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(project: int | None, data_dir: Path | None, as_json: bool) -> None:
    """Examine settings, disk, Redis, processes, Label Studio and the way between them; say how to mend what is wrong.

    Changes nothing. Exit status: 0 nothing to do, 1 warnings, 2 failures."""
    from backend.base_model.download import showing_downloads
    from backend.doctor.verdict import exit_status

    seen: list[Verdict] = []
    with showing_downloads(lambda line: say(line, err=True)):
        for found in _verdicts(project, data_dir):
            verdict = replace(found, evidence=hide_secrets(found.evidence), remedy=hide_secrets(found.remedy))
            seen.append(verdict)
            _tell(verdict, as_json)
    if as_json:
        say_json([asdict(verdict) for verdict in seen])
    raise SystemExit(exit_status(seen))


def _verdicts(project: int | None, data_dir: Path | None) -> Iterator[Verdict]:
    from backend.doctor.all_checks import examine_all
    from backend.doctor.verdict import fail, ok

    try:
        settings = load_settings(data_dir=data_dir) if data_dir else load_settings()
    except SettingsError as error:
        yield fail("settings", error.message, "mend it in the environment or in .env; docs/settings.md")
        return
    yield ok("settings", "valid")
    yield from examine_all(settings, project)


def _tell(verdict: Verdict, silent: bool) -> None:
    if silent:
        return
    say(Styled(f"{verdict.state:7}", fg=COLOURS[verdict.state]), f" {verdict.check}: {verdict.evidence}")
    if verdict.remedy:
        say(f"        → {verdict.remedy}", keep="\n")
