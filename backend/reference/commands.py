"""The commands as click shows them."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click

from backend.cli.main import main

HEAD = """# Commands

`understudy COMMAND --help` shows the same. In a clone it is `.venv/bin/understudy`, in the image the entry point;
`make up` and `make demo` run the commands of that name. Commands about a running understudy ask its web process at
`HOST` and `PORT` (or `--url`) with `ADMIN_TOKEN`, or the token that lies in `DATA_DIR`: run them with the same
[settings](settings.md), in the same directory or with the same `.env`. `PROJECT` is the number in Label Studio's URL.
Errors are one line; a command that fails exits with 1, one that was called the wrong way with 2.

This file is made from the commands by `make docs`; a test fails when it is out of date.

| command | what it does |
|---|---|
"""


def command_page() -> str:
    """The whole of docs/cli.md."""
    commands = list(_shown(main, "understudy"))
    rows = [f"| [`{path}`](#{_anchor(path)}) | {_cell(_first_line(command))} |\n" for path, command in commands]
    return HEAD + "".join(rows) + "".join(f"\n{_section(path, command)}" for path, command in commands)


def _shown(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that `--help` shows, with those of groups within groups, in the order of `--help`."""
    for name in group.list_commands(click.Context(group)):
        command = group.commands[name]
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from _shown(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _anchor(path: str) -> str:
    """GitHub's anchor of a heading."""
    return path.replace(" ", "-")


def _first_line(command: click.Command) -> str:
    return command.get_short_help_str(limit=1000)


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    pieces = " ".join(command.collect_usage_pieces(context))
    parts = [f"## {path}\n", f"```\n{path} {pieces}\n```\n", cleandoc(command.help or "").replace("\b\n", "") + "\n"]
    shown = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    if shown:
        rows = "".join(f"| {_names(option, context)} | {_cell(_says(option, context))} |\n" for option in shown)
        parts.append(f"| option | |\n|---|---|\n{rows}")
    return "\n".join(parts)


def _names(option: click.Option, context: click.Context) -> str:
    value = "" if option.is_flag or option.count else f" {_value(option, context)}"
    return ", ".join(f"`{_cell(name + value)}`" for name in (*option.opts, *option.secondary_opts))


def _value(option: click.Option, context: click.Context) -> str:
    """What stands for the value: bounds are in words beside it."""
    return option.make_metavar(context).replace(" RANGE", "")


def _says(option: click.Option, context: click.Context) -> str:
    words = option.help or ""
    if limits := option.get_help_extra(context).get("range"):
        words += f" [{limits}]"
    if option.required:
        words += " [required]"
    elif not option.is_flag and isinstance(option.default, str | int | float) and "default" not in words:
        words += f" [default: {option.default}]"
    return words.strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
