"""Spans drawn out to whole words, sentences or paragraphs, as the page does with what is marked by mouse.

It does not do so with predicted spans: beside the annotator's they would look cut. Words are those of Unicode (UAX 29),
as in the browser; sentences end where a full stop and a blank stand before anything but a small letter, also after
"St.", as the browser has it.
"""

from __future__ import annotations

from collections.abc import Callable

import regex

from backend.labelstudio.spans.page import Offsets, trimmed

_WORD_EDGE = regex.compile(r"(?w)\b")
_SENTENCE_EDGE = regex.compile(r"[.!?…]+['\"”’»)\]]*\s+(?!\p{Ll})|[。！？｡؟۔।॥։።፧။។៕]+[”’」』）]*\s*|[\n\r\u2029]+")
_PARAGRAPH_EDGE = regex.compile(r"[\n\r\u2029]+")

_AROUND = 300
"""Characters around an edge in which the edge of a word is looked for; no word is longer."""

_FAR = 5_000
"""The same for sentences and paragraphs: longer ones are cut there."""


def snapped(text: str, start: int, end: int, granularity: str) -> Offsets | None:
    """The span as the page would have marked it, without white space around; None when that is all it holds."""
    bare = trimmed(text, start, end)
    if bare is None:
        return None
    edges = _EDGES.get(granularity)
    if edges is None:
        return bare
    around = _AROUND if granularity == "word" else _FAR
    return trimmed(text, *_drawn_out(text, *bare, edges, around))


def _drawn_out(text: str, start: int, end: int, edges: Callable[[str], list[int]], around: int) -> Offsets:
    low = max(0, start - around)
    before = [low + at for at in edges(text[low : start + around]) if low + at <= start]
    high = min(len(text), end + around)
    base = max(0, end - around)
    after = [base + at for at in edges(text[base:high]) if base + at >= end]
    return max(before, default=low), min(after, default=high)


def _word_edges(text: str) -> list[int]:
    return [found.start() for found in _WORD_EDGE.finditer(text)]


def _sentence_edges(text: str) -> list[int]:
    return [0, *(found.end() for found in _SENTENCE_EDGE.finditer(text)), len(text)]


def _paragraph_edges(text: str) -> list[int]:
    return [0, *(found.end() for found in _PARAGRAPH_EDGE.finditer(text)), len(text)]


_EDGES = {"word": _word_edges, "sentence": _sentence_edges, "paragraph": _paragraph_edges}
