"""Everything the commands print goes through here. What people wrote is shown as it is: brackets and `:smile:` are no
markup, and no character of a text, label or file name drives the terminal or forges a line.

Characters that would (control characters, those that turn the writing direction round or have no width, halves of a
pair) are shown as JSON writes them, so that what `--json` prints stays JSON. So are, on a terminal or pipe that cannot
carry them, all others beyond its encoding.
"""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of what does something in place of being seen."""

JOINERS = frozenset("\u200c\u200d")
"""Without them Persian, Hindi and many emoji are written wrongly."""

ENDLESS_COLUMNS = 10_000_000
"""Columns."""

OURS = {"→": "->", "…": "...", "–": "-", "—": "-", "≥": ">=", "≤": "<=", "±": "+-", "·": "*", "×": "x"}
"""What understudy itself writes beyond ASCII, for a terminal that knows no better."""


LEAST_COLUMNS = 7
"""Columns of a terminal for each of a table: with less, a letter stands above the other, or falls away."""


@dataclass(frozen=True)
class Styled:
    """A part of a line in colour; without colours where the output is no terminal."""

    text: str
    fg: str | None = None
    bold: bool = False


def plain(text: object, keep: str = "") -> str:
    """`text` with everything visible that is not; `keep`: characters that stay as they are, such as line ends."""
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(char if char in keep or _is_seen(char) else escape(char) for char in shown)


def never_fail() -> None:
    """What does not come through here, such as click's own help, is escaped as well where it cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def plain_error(message: str) -> str:
    """An error, which may have several lines, for stderr."""
    return fit(plain(message, keep="\n"), sys.stderr)


def escape(char: str) -> str:
    """`char` as JSON writes it."""
    if char in SHORT:
        return SHORT[char]
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2], 'big'):04x}" for at in range(0, len(units), 2))


def say(*parts: str | Styled, err: bool = False, keep: str = "") -> None:
    """One line of output. `keep="\\n"` for several: only where no part was written by people."""
    stream = sys.stderr if err else sys.stdout
    line = "".join(_shown(part, stream, keep) for part in parts)
    click.echo(line, err=err)


def say_over(line: str) -> None:
    """On a terminal's stderr, in place of the line that is there."""
    click.echo(f"\r\033[K{fit(plain(line), sys.stderr)}", nl=False, err=True)


def say_json(value: object, indent: int | None = 2) -> None:
    """JSON that a program can read whatever the terminal's encoding."""
    import json

    shown = plain(json.dumps(value, indent=indent, ensure_ascii=False), keep="\n")
    click.echo(shown if fit(shown, sys.stdout) == shown else json.dumps(value, indent=indent))


def say_table(rows: Sequence[Mapping[str, object]]) -> None:
    """A table whose columns are the keys of the first row; a line each cell where the terminal is too narrow for it."""
    from rich.table import Table
    from rich.text import Text

    if sys.stdout.isatty() and rich_console(sys.stdout).width < LEAST_COLUMNS * len(rows[0]):
        say_lines(line for row in rows for line in (*(f"{name}: {value}" for name, value in row.items()), ""))
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(Text(plain(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(value)) for value in row.values()))
    say_rich(table)


def say_rich(shown: RenderableType) -> None:
    """What rich draws. In a file or pipe no line is wrapped or cut."""
    is_terminal, target = sys.stdout.isatty(), io.StringIO()
    console = rich_console(target, force_terminal=is_terminal, width=ENDLESS_COLUMNS)
    if is_terminal:
        console.width = rich_console(sys.stdout).width
    else:
        console.width = max(200, console.measure(shown).maximum)
    console.print(shown)
    click.echo(fit(target.getvalue(), sys.stdout), nl=False)


def rich_console(file: TextIO, **options: Any) -> Console:
    """A console that takes nothing in a text for markup."""
    from rich.console import Console

    options.setdefault("width", None)
    return Console(file=file, markup=False, emoji=False, highlight=False, **options)


def fit(text: str, stream: TextIO) -> str:
    """`text` as far as the stream can carry it, the rest escaped."""
    return _fit_encoding(text, getattr(stream, "encoding", None) or "utf-8")


def _fit_encoding(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(char if _fits(char, encoding) else _replaced(char) for char in text)
    except LookupError:
        return _fit_encoding(text, "ascii")
    return text


def _fits(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _replaced(char: str) -> str:
    return "#" if "\u2580" <= char <= "\u259f" else OURS.get(char) or escape(char)  # the blocks are bars of curves


def _is_seen(char: str) -> bool:
    return char in JOINERS or unicodedata.category(char) not in UNSHOWN


def _shown(part: str | Styled, stream: TextIO, keep: str) -> str:
    if isinstance(part, Styled):
        return click.style(fit(plain(part.text, keep), stream), fg=part.fg, bold=part.bold)
    return fit(plain(part, keep), stream)


def say_lines(lines: Iterable[str]) -> None:
    """A line each."""
    for line in lines:
        say(line)
