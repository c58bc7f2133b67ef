"""The text that the page shows in one object of a task, and places in it, in the page's unit and in ours.

Text        code points                       {"start": 0, "end": 12}
HyperText   code points over all text nodes   {"start": "", ..., "globalOffsets": {"start": 31, "end": 42}}
Paragraphs  turn and UTF-16 units             {"start": "0", "end": "1", "startOffset": 6, "endOffset": 3}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.errors import Undecidable
from backend.labelstudio.spans.control import HYPERTEXT, PARAGRAPHS, Foreign, SpanConfig, SpanObject, Value
from backend.labelstudio.spans.html_nodes import HtmlNodes
from backend.labelstudio.spans.task_value import decoded, javascript_string, shown_value
from backend.labelstudio.spans.turns import Turns, read_turns

Offsets = tuple[int, int]
"""Start and end in code points of a page's text."""


class NoPlace(Exception):
    """A value names no place in the text: `code` is "no_place" (it names none) or "outside"."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True)
class Page:
    """One object of one task. `text`: what spans count in, code point by code point."""

    object: SpanObject
    text: str
    html: HtmlNodes | None = field(default=None, repr=False)
    turns: Turns | None = field(default=None, repr=False)

    def value_of(self, start: int, end: int) -> Value | None:
        """The place of a span as a result's value has it, without labels; None where the page has no such place."""
        if self.turns is not None:
            return _turn_value(self.turns, start, end)
        if self.html is not None:
            # The page fills in XPaths and the text as it shows it; global offsets alone it cannot place.
            whole = {"start": start, "end": end}
            return {"start": "", "end": "", "startOffset": 0, "endOffset": 0, "globalOffsets": whole}
        text = {"text": self.text[start:end]} if self.object.save_text else {}
        return {"start": start, "end": end, **text}

    def offsets_of(self, value: Foreign) -> Offsets:
        """The place in a result's value. Raises NoPlace."""
        if self.turns is not None:
            found = _turn_offsets(self.turns, value)
        elif self.html is not None:
            found = _html_offsets(self.html, value)
        else:
            found = _whole(value.get("start")), _whole(value.get("end"))
        start, end = found
        if start is None or end is None:
            raise NoPlace("no_place")
        if not 0 <= start < end <= len(self.text):
            raise NoPlace("outside")
        return start, end


def read_page(item: SpanObject, data: object) -> Page:
    """What the page shows in `item` of a task. Raises Undecidable when there is nothing that can be marked."""
    value = shown_value(item.value, data)
    if item.tag == PARAGRAPHS:
        turns = read_turns(value, item.text_key, by_time=item.by_time)
        return Page(item, turns.text, turns=turns)
    text = decoded(javascript_string(value), item.encoding)
    if item.tag == HYPERTEXT:
        html = HtmlNodes(text, inline=item.inline)
        return Page(item, html.text, html=html)
    return Page(item, text)


def read_pages(config: SpanConfig, data: object) -> tuple[dict[str, Page], list[str]]:
    """(object name -> page, for those that the task holds; why the others cannot be read)."""
    pages: dict[str, Page] = {}
    reasons: list[str] = []
    for item in config.objects:
        try:
            pages[item.name] = read_page(item, data)
        except Undecidable as error:
            reasons.append(error.reason)
    return pages, reasons


def trimmed(text: str, start: int, end: int) -> Offsets | None:
    """A span without white space around it; None when it holds nothing else."""
    inside = text[start:end]
    begin = start + len(inside) - len(inside.lstrip())
    stop = start + len(inside.rstrip())
    return (begin, stop) if begin < stop else None


def _turn_value(turns: Turns, start: int, end: int) -> Value | None:
    places = turns.places(start, end)
    if places is None:
        return None
    (first, begin), (last, stop) = places
    return {"start": str(first), "end": str(last), "startOffset": begin, "endOffset": stop}


def _turn_offsets(turns: Turns, value: Foreign) -> tuple[int | None, int | None]:
    numbers = [_whole(value.get(name)) for name in ("start", "startOffset", "end", "endOffset")]
    first, begin, last, stop = numbers
    if first is None or begin is None or last is None or stop is None:
        return None, None
    found = turns.position((first, begin)), turns.position((last, stop), end=True)
    if None in found:
        raise NoPlace("outside")
    return found


def _html_offsets(html: HtmlNodes, value: Foreign) -> tuple[int | None, int | None]:
    whole = value.get("globalOffsets")
    if isinstance(whole, Mapping):
        return _whole(whole.get("start")), _whole(whole.get("end"))
    first, last = value.get("start"), value.get("end")
    if not isinstance(first, str) or not isinstance(last, str) or "startOffset" not in value:
        return _whole(first), _whole(last)  # plain numbers are shown, and come back as such
    begin, stop = _whole(value.get("startOffset")), _whole(value.get("endOffset"))
    if begin is None or stop is None:
        return None, None
    return html.position(first, begin), html.position(last, stop)


def _whole(value: object) -> int | None:
    """An offset: a whole number, or its digits, which the page takes as well for a Text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16 else None
