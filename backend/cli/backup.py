"""`understudy backup` and `understudy restore`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec

import click

from backend.screen import say
from backend.settings.home_path import HomePath
from backend.settings.settings import Settings, current_settings, load_settings

Given = ParamSpec("Given")

data_dir_option = click.option(
    "--data-dir", type=HomePath(file_okay=False), help="Where everything is kept (DATA_DIR)."
)


@click.command()
@click.argument("file", type=HomePath(dir_okay=False))
@data_dir_option
def backup(file: Path, data_dir: Path | None) -> None:
    """Write everything to FILE (.tar, or .tar.gz), while understudy runs or not.

    Examples, configs, versions and history; no secrets, so keep DATA_DIR/admin_token and webhook_secret apart."""
    from backend.backup.backup import make_backup

    _tell(f"written to {file}", _call(make_backup, _settings(data_dir), file))


@click.command()
@click.argument("file", type=HomePath(exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace what is there.")
@data_dir_option
def restore(file: Path, force: bool, data_dir: Path | None) -> None:
    """Read a backup into an empty store. Stop understudy first; a Redis of your own must run."""
    from backend.backup.restore import restore_backup

    _tell(f"restored from {file}", _call(restore_backup, _settings(data_dir), file, force=force))


def _settings(data_dir: Path | None) -> Settings:
    return load_settings(data_dir=data_dir) if data_dir else current_settings()


def _call(work: Callable[Given, Mapping[str, int]], *arguments: Given.args, **options: Given.kwargs) -> dict[str, int]:
    from model.errors import ModelError

    try:
        return dict(work(*arguments, **options))
    except ModelError as error:
        raise click.ClickException(error.message) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'disk'}: {error.strerror or error}") from error


def _tell(what: str, counts: dict[str, int]) -> None:
    say(f"{counts['projects']} projects, {counts['examples']} examples, {counts['versions']} versions {what}")


BACKUP_COMMANDS = (backup, restore)
