"""The readable text of an HTML snippet, as a person sees it in the page."""

from __future__ import annotations

import re
from typing import Any

_HIDDEN = frozenset({"script", "style", "head", "template", "noscript"})
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "figure", "footer"),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
        *("table", "tbody", "tfoot", "thead", "tr", "ul"),
    }
)
_CELLS = frozenset({"td", "th"})


def html_to_text(html: str) -> str:
    """Text of `html`: tags, scripts and styles gone, entities decoded, one line per block. Never raises on bad HTML.

    libxml2 reads it: Python's own HTMLParser takes seconds for 20 KB of hostile markup, and raises on some."""
    root = _parse(html)
    if root is None:
        return ""
    lines = (" ".join(line.split()) for line in "".join(_parts(root)).split("\n"))
    return re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip()


def _parse(html: str) -> Any:
    from lxml import etree

    # As bytes, so that a declared encoding is not taken for the string's own.
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(html.replace("\0", " ").encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):  # nothing in it
        return None


def _parts(root: Any) -> list[str]:
    """The texts in document order, with a line break around blocks; a line break in the source is a space."""
    from lxml import etree

    parts: list[str] = []
    hidden = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = str(element.tag).lower()
        parts.append("\n" if tag in _BLOCKS else " " if tag in _CELLS else "")
        hidden += (tag in _HIDDEN) * (1 if event == "start" else -1)
        text = element.text if event == "start" else element.tail
        if text and not hidden:
            parts.append(text.replace("\n", " ").replace("\r", " "))
    return parts
