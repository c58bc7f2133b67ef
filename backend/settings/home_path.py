"""Paths on the command line: `~` is the home directory also where no shell has seen to it (`--data-dir=~/x`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from backend.settings.values import expand_path


class HomePath(click.Path):
    """A click.Path, as pathlib's."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        try:
            return super().convert(expand_path(str(value)), param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)
