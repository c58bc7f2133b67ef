"""The words of a text as character spans, in any script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from model.texts import UNSPACED_SCRIPTS

Item = TypeVar("Item")

Span = tuple[int, int]
"""First character and the one after the last, in code points."""

_PATTERN = rf"""
    [{UNSPACED_SCRIPTS}][\p{{M}}\uff9e\uff9f]*   # scripts without spaces: single characters
  | (?&part)(?:['’.\-_@·׳״\u00ad\u200c\u200d](?&part))*  # don't, re-order, 12.50, a@b.org; joined letters of Persian
  | (?&picture)(?:[\p{{M}}\p{{Cf}}\p{{Emoji_Modifier}}]|(?&picture))*   # emoji, with all that belongs to one
    (?(DEFINE)
      (?P<part>[[\p{{L}}\p{{N}}]--[{UNSPACED_SCRIPTS}]][[\p{{L}}\p{{N}}\p{{M}}]--[{UNSPACED_SCRIPTS}]]*)
      (?P<picture>[\p{{Extended_Pictographic}}\p{{Regional_Indicator}}])
    )
"""


def find_words(text: str) -> list[Span]:
    """Spans of the words: letters with their marks, numbers, emoji; characters where a script has no spaces."""
    return [match.span() for match in _words().finditer(text)]


def group(items: Sequence[Item], most: int) -> list[list[Item]]:
    """The items in at most `most` (>= 1) runs of neighbours, as equal as can be. Five in two -> 2 and 3."""
    count = min(most, len(items))
    cuts = [len(items) * index // max(count, 1) for index in range(count + 1)]
    return [list(items[cuts[index] : cuts[index + 1]]) for index in range(count)]


@lru_cache(maxsize=1)
def _words() -> re.Pattern[str]:
    import regex  # knows Unicode's scripts, marks and emoji, which `re` does not

    pattern: re.Pattern[str] = regex.compile(_PATTERN, regex.VERBOSE | regex.VERSION1)  # a class of its own, as re's
    return pattern
