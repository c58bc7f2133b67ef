"""What commands take that ask a running understudy: the project, JSON, and where it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar, cast

import click

from backend.settings.home_path import HomePath
from backend.settings.settings import current_settings, load_settings

Command = TypeVar("Command", bound=Callable[..., object])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
project_argument = click.argument("project", type=click.IntRange(1))


def with_api(command: Command) -> Command:
    """Gives the command the admin API as its first argument, found by --url and --data-dir or the settings."""

    @click.option("--url", default="", help="Where understudy runs; default http://HOST:PORT.")
    @click.option("--data-dir", type=HomePath(file_okay=False), help="Its DATA_DIR (holds the token).")
    @wraps(command)
    def with_client(url: str, data_dir: Path | None, **others: object) -> object:
        from backend.client.admin import AdminClient

        settings = load_settings(data_dir=data_dir) if data_dir else current_settings()
        return command(AdminClient(settings, url), **others)

    return cast("Command", with_client)
