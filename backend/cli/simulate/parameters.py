"""Lists on the command line of a simulation, joined by commas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from backend.screen import plain


class Counts(click.ParamType):
    """Whole numbers joined by commas."""

    name = "n,n,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            numbers = tuple(int(part) for part in str(value).split(",") if part.strip())
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < 0:
            self.fail(f"{value!r} is not a list of whole numbers from 0 on, such as 0,16,64", param, ctx)
        return numbers


class Names(click.ParamType):
    """Known names joined by commas; `find` gives the known ones, `words` stand for several."""

    name = "name,…"

    def __init__(self, what: str, find: Callable[[], Sequence[str]], words: Sequence[str] = ()) -> None:
        self.what, self.find, self.words = what, find, words

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        parts = (part.strip().lower().replace("-", "_") for part in str(value).split(","))
        names = tuple(dict.fromkeys(part for part in parts if part))
        known = self.find()
        unknown = [name for name in names if name not in (*known, *self.words)]
        if unknown or not names:
            listed = ", ".join([*known, *self.words])
            self.fail(f"unknown {self.what} {plain(', '.join(unknown)) or repr(value)}; known: {listed}", param, ctx)
        if "all" in names:
            return tuple(known)
        return tuple(name for name in names if name != "none")


class Encoders(click.ParamType):
    """What BASE_MODEL may be, joined by commas: a directory may have none in its name."""

    name = "encoder,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        parts = (part.strip() for part in str(value).split(","))
        names = tuple(dict.fromkeys(part for part in parts if part))
        if value and not names:
            self.fail(f"{plain(repr(value))} names no encoder", param, ctx)
        return names
