"""Paths on the command line: `~` is the home directory also where no shell has seen to it (`--data-dir=~/x`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


def expand_path(text: str) -> str:
    """`~` and `~user` as the directory they stand for, since no shell has done it. Raises ValueError."""
    if text.startswith("$"):
        raise ValueError(f"nothing fills in the variable in {text!r} here: write the directory itself, or ~ for home")
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    expanded = os.path.expanduser(text)
    if text.startswith("~") and expanded == text:
        raise ValueError(f"there is no home directory for {text.partition('/')[0]!r}: write the whole path")
    return expanded


class HomePath(click.Path):
    """A click.Path, as pathlib's."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """The path, or a usage error, also for an empty one: a shell's variable that is not set."""
        if not str(value):
            self.fail("it is empty: name a file or a folder", param, ctx)
        try:
            return super().convert(expand_path(str(value)), param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)
