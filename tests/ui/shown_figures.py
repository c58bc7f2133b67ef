"""The numbers that a person reads on a page, and all forms in which the numbers of its twin may stand there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import backend.ui
from backend.ui import formats

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
TEMPLATES = Path(backend.ui.__file__).parent / "templates"
CODE = re.compile(r"\{%.*?%\}|\{#.*?#\}|\{\{(.*?)\}\}", re.DOTALL)
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

FORMS = (
    formats.format_count,
    formats.format_rough,
    formats.format_percent,
    lambda value: formats.format_percent(value, 1),
    formats.format_score,
    formats.format_seconds,
    formats.format_bytes,
    formats.format_time,
    formats.format_iso,
    "{:.3f}".format,
    "{:.4f}".format,
    "{:g}".format,
    "{:.2g}".format,
    repr,
)

SKIPPED = frozenset({"script", "style", "head"})
"""What is in them nobody reads."""

READ_OUT = ("aria-label", "datetime", "value", "max")
"""Attributes that say a number to somebody."""


class _Reader(HTMLParser):
    """Collects what is read of the part of a page: text, and what is read out."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag not in ("input", "br", "link", "meta", "img", "circle", "line", "rect", "polygon", "polyline", "path"):
            # The ticks of an axis are its own round numbers.
            ticks = tag == "text" and "tick" in (named.get("class") or "")
            self._inside.append("script" if ticks or tag == "time" else tag)
        shown = tag != "button" or "value" not in named
        if not (tag == "input" and named.get("type") == "hidden") and shown:
            self.texts += [value for name in READ_OUT if (value := named.get(name))]

    def handle_endtag(self, tag: str) -> None:
        if self._inside:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not SKIPPED & set(self._inside):
            self.texts.append(data)


def numbers_shown(html: str) -> set[str]:
    """Every number on a page or a part of one, as it is written there."""
    reader = _Reader()
    reader.feed(html)
    return {number for text in reader.texts for number in NUMBER.findall(text)}


def numbers_of(twin: Any) -> set[str]:
    """In every form in which the page may show them, with the lengths of lists."""
    return {number for form in _forms(twin) for number in NUMBER.findall(form)}


def _forms(value: Any) -> Iterator[str]:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float):
        for form in FORMS:
            try:
                yield form(value)
            except (ValueError, OverflowError, OSError):
                continue
    elif isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from _forms(item)
    else:
        yield formats.format_count(len(value))
        for item in value:
            yield from _forms(item)


def numbers_of_templates() -> set[str]:
    """Those that templates say themselves, such as the 95 of an interval."""
    found: set[str] = set()
    for path in TEMPLATES.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        plain = re.sub(r"<[^>]*>", " ", CODE.sub(" ", text))
        quoted = " ".join(part for code in CODE.finditer(text) for part in QUOTED.findall(code[0]))
        found |= set(NUMBER.findall(plain)) | set(NUMBER.findall(quoted))
    return found
