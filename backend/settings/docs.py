"""Writes docs/settings.md from the settings table: `python -m backend.settings.docs [FILE]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from backend.settings.settings import Settings

TYPES = {bool: "true or false", int: "whole number", float: "number", Path: "directory", str: "text"}

HEAD = """# Settings

Read from the environment, then from `.env` in the working directory, then the default; an empty text is no value, and
means the default. A value that cannot be used stops the start with the setting's name, where it stands (environment,
line of `.env`, file) and what is allowed; of a secret no part is shown. `LABEL_STUDIO_API_KEY`, `BASIC_AUTH_PASS`,
`WEBHOOK_SECRET`, `ADMIN_TOKEN`, `HF_TOKEN`, `NOTIFY_URL`, `NOTIFY_SECRET`, `TEACHER_KEY` and `REDIS_URL` may come from
a file: `<NAME>_FILE` names it, in the environment or in `.env`.

Line ends and byte order marks around a value do not count; `.env` and secret files may be UTF-8 or, with a byte order
mark, UTF-16. `~` is the home directory in every path, `$HOME` is not filled in outside `.env`. What a header cannot
carry (beyond Latin-1, control and zero-width characters) is refused in a secret, as are quotes around it and `Bearer`
or `Token` in front. In the password of `REDIS_URL` everything but letters, digits and `-._~!$&'()*+,;=` is
percent-encoded (`@` is `%40`, `/` is `%2F`). URLs begin with `http://` or `https://`, without user and password.

This file is made from `backend/settings/settings.py` by `make docs`; a test fails when it is out of date.

| setting | default | allowed | what it does |
|---|---|---|---|
"""


def settings_table() -> str:
    """The whole of docs/settings.md."""
    return HEAD + "".join(_row(name.upper(), field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    description = (field.description or "").replace("|", "\\|")
    return f"| `{name}` | {_default(field)} | {_allowed(field)} | {description} |\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value != "" else "(empty)"


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    words = next((words for kind, words in TYPES.items() if kind is field.annotation), "secret text")
    bounds = [
        f"{sign} {getattr(limit, key)}"
        for limit in field.metadata
        for key, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if getattr(limit, key, None) is not None
    ]
    return ", ".join([words, *bounds])


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/settings.md")
    target.write_text(settings_table(), encoding="utf-8")


if __name__ == "__main__":
    main()
