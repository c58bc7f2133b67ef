"""`understudy backup` and `understudy restore`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec

import click

from backend.addresses.object_store import is_store_url
from backend.screen import say
from backend.settings.home_path import HomePath
from backend.settings.settings import Settings, current_settings, load_settings

Given = ParamSpec("Given")


class Place(HomePath):
    """A file, or an address in an object store as text."""

    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """The path, or the address as it is."""
        return str(value) if is_store_url(str(value)) else super().convert(value, param, ctx)


data_dir_option = click.option(
    "--data-dir", type=HomePath(file_okay=False), help="Where everything is kept (DATA_DIR)."
)


@click.command()
@click.argument("file", type=Place(dir_okay=False))
@data_dir_option
def backup(file: Path | str, data_dir: Path | None) -> None:
    """Write everything to FILE (.tar, or .tar.gz), while understudy runs or not.

    FILE may be in an object store (s3://bucket/name.tar), whichever ARTIFACTS_URL is set.
    Examples, configs, versions and history; no secrets, so keep DATA_DIR/admin_token and webhook_secret apart."""
    from backend.backup.backup import make_backup

    _tell(f"written to {file}", _call(make_backup, _settings(data_dir), file))


@click.command()
@click.argument("file", type=Place(exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace what is there.")
@data_dir_option
def restore(file: Path | str, force: bool, data_dir: Path | None) -> None:
    """Read a backup into an empty store. Stop understudy first; a Redis of your own must run.

    FILE may be in an object store (s3://bucket/name.tar)."""
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
