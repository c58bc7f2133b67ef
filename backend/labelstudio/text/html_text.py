"""The readable text of an HTML snippet, as a person sees it in the page."""

from __future__ import annotations

import re
from collections.abc import Mapping

_HIDDEN = frozenset({"script", "style", "head", "template", "noscript"})
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "figure", "footer"),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
        *("table", "tbody", "tfoot", "thead", "tr", "ul"),
    }
)
_CELLS = frozenset({"td", "th"})

_UNSEEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)

_FILLERS = "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
"""Characters without a shape; mails put hundreds of them between the preview and the text."""
_NO_FILLERS = str.maketrans("", "", _FILLERS)


_PORTION = 1 << 16
"""Characters that the parser is given at a time; between them it is looked at whether there is enough."""

_DEEP = 1_000
"""Open tags from which portions are smaller: each of 64 KB may hold 16,000 end tags that close nothing."""

_TAGS = 200_000
"""Most tags read, or two for each character wanted: a mail has thousands, and hostile markup takes seconds."""

_SEARCHES = 200_000_000
"""Most open tags looked through for end tags that close nothing; the parser looks through all of them each time."""


def html_to_text(html: str, max_chars: int = 10_000_000) -> str:
    """Text of `html`: tags, scripts and styles gone, entities decoded, one line per block. Never raises on bad HTML.

    What comes after the first `max_chars` characters of text is not read; pictures, styles, scripts and comments do not
    count. libxml2 reads it without building a tree: Python's own HTMLParser takes seconds for 20 KB of hostile markup,
    and raises on some; a tree has a greatest depth and a greatest length of attributes."""
    from lxml import etree

    reader = _Reader()
    # `huge_tree`: else a comment of 10 MB is read as text.
    parser = etree.HTMLParser(target=reader, encoding="utf-8", no_network=True, huge_tree=True)
    start = 0
    try:
        while start < len(html) and not reader.has_enough(max_chars):
            portion = html[start : start + (_PORTION if reader.depth < _DEEP else _PORTION // 16)]
            start, closed = start + len(portion), reader.closed
            # Whole characters, as bytes, so that a declared encoding is not taken for the string's own.
            parser.feed(portion.replace("\0", " ").encode("utf-8", "replace"))
            reader.searched += reader.depth * max(0, portion.count("</") - (reader.closed - closed))
        if start >= len(html):  # else half a tag would be taken for text
            parser.close()
    except (etree.XMLSyntaxError, ValueError):  # nothing in it
        return ""
    lines = (" ".join(filter(_is_seen, line.split())) for line in "".join(reader.parts).split("\n"))
    return re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip()


def _is_seen(word: str) -> bool:
    return bool(word.strip(_FILLERS))


class _Reader:
    """Takes the texts that the parser finds, with a line break around blocks; one in the source is a space."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.characters = self.tags = self.closed = self.depth = self.searched = 0
        self._hidden = 0
        self._unseen = 0  # depth of the outermost tag that the page does not show

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.tags += 1
        self.depth += 1
        self._hidden += tag in _HIDDEN
        if not self._unseen and ("hidden" in attributes or _UNSEEN.search(attributes.get("style") or "")):
            self._unseen = self.depth * (tag not in ("html", "body"))
        self._break(tag)

    def end(self, tag: str) -> None:
        self.closed += 1
        if self.depth <= self._unseen:
            self._unseen = 0
        self.depth -= 1
        self._hidden -= tag in _HIDDEN
        self._break(tag)

    def data(self, text: str) -> None:
        if not self._hidden and not self._unseen:
            self.parts.append(re.sub(r"\s+", " ", text))
            self.characters += len("".join(text.translate(_NO_FILLERS).split()))

    def close(self) -> None:
        """The parser asks for it."""

    def has_enough(self, max_chars: int) -> bool:
        """Whether the text wanted is there, or more was read than any page needs."""
        most = max(_TAGS, 2 * max_chars)
        return self.characters >= max_chars or self.tags > most or self.searched > _SEARCHES

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS or tag in _CELLS:
            self.parts.append("\n" if tag in _BLOCKS else " ")
