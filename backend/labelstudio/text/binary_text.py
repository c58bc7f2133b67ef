"""Pictures and files that lie in a text as base64: nobody reads them, and they would fill the limit of a text."""

from __future__ import annotations

import re

_LETTERS = "A-Za-z0-9+/_-"

_URI = rf"data:[^\s,\"'()<>]{{0,200}};base64,[%{_LETTERS}]*={{0,2}}"
_FOUND = re.compile(
    rf"!\[[^\]\n]{{0,200}}\]\(\s{{0,9}}{_URI}[^)\n]{{0,200}}\)"  # a picture in Markdown
    rf"|{_URI}"
    rf"|(?<![{_LETTERS}])(?:[{_LETTERS}]{{512,}}|(?:[{_LETTERS}]{{60,}}\s{{1,3}}){{7,}}[{_LETTERS}]*)={{0,2}}",
    re.IGNORECASE,
)

_MIXED = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))
"""What is in all base64, and not in a genome, a ruled line or one long word."""


def drop_binary(text: str) -> str:
    """`text` without base64: addresses that hold their data, and what stands as 512 characters and more, in one piece
    or, as in mails, in lines."""
    return _FOUND.sub(_without, text) if len(text) >= 512 or ";base64," in text else text


def _without(found: re.Match[str]) -> str:
    run = found[0]
    named = ";base64," in run[:512].lower()
    return " " if named or all(kind.search(run, 0, 512) for kind in _MIXED) else run
