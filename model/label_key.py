r"""One label, one key: the path of a label as one string, and back.

A key is what stores, heads and files know a label by. Components are joined by `/`; a `\` or `/` within one is escaped,
so that `Input` > `Output` (key `Input/Output`) and the flat "Input/Output" (key `Input\/Output`) stay two labels. What
no UTF-8 text can hold (a lone surrogate) or no store takes (NUL) is escaped as well: a key can be written anywhere.
Nothing else is touched: case, blanks, signs, emoji and Unicode forms tell labels apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

_UNSAFE = re.compile(r"[\\/\0\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:u([0-9a-f]{4})|(.)|$)", re.DOTALL)
_SEPARATOR = re.compile(r"((?:[^\\/]|\\.|\\$)*)(/|$)", re.DOTALL)
_EMPTY = r"\e"
"""An empty component: Label Studio's page sends one for `alias=""`. The key "" belongs to the empty path."""


def key_of(path: Sequence[str]) -> str:
    """The key of a path; different paths have different keys. The empty path has the key ""."""
    return "/".join(_UNSAFE.sub(_escape, part) if part else _EMPTY for part in path)


@lru_cache(maxsize=65_536)
def path_of(key: str) -> tuple[str, ...]:
    """Inverse of `key_of`."""
    if not key:
        return ()
    if "\\" not in key:
        return tuple(key.split("/"))
    parts, at = [], 0
    while match := _SEPARATOR.match(key, at):
        parts.append(_ESCAPED.sub(_unescape, match.group(1)))
        if not match.group(2):
            break
        at = match.end()
    return tuple(parts)


def plain_text(key: str) -> str:
    """The label as people read it: its path joined by `/`, nothing escaped. Two labels may read the same."""
    # A character that cannot be written is shown as the one that stands for such.
    return "/".join(path_of(key)).replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def shown_labels(keys: Iterable[str]) -> dict[str, str]:
    """What people read for each of these keys: its plain text, or the key where others would read the same.

    Different keys are never shown alike."""
    texts = {key: plain_text(key) for key in keys}
    often = Counter(texts.values())
    own = {key for key, text in texts.items() if often[text] == 1 and (text == key or text not in texts)}
    return {key: text if key in own else key for key, text in texts.items()}


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return "\\" + character if character in "\\/" else f"\\u{ord(character):04x}"


def _unescape(match: re.Match[str]) -> str:
    code, character = match.groups()
    if code:
        return chr(int(code, 16))
    return "" if character in ("e", None) else str(character)
