"""Invented texts with names, marked in the writing: `[Mara Voss|person] sails.`; and marks as Label Studio has them."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any
from xml.sax.saxutils import quoteattr

from model.span import Span, SpanDocument

LABELS = ("person", "organisation", "place")

PEOPLE = ("Mara Voss", "Tobias Hale", "Iris Okoro", "Emil Sandoval", "Yuki Tamura", "Anouk Leclerc", "Piet van Oost")
FIRMS = ("Brightwater Bank", "Northlight Studios", "Kestrel Foods", "Harbour Museum", "Daily Lantern")
PLACES = ("Lindholm", "Port Averil", "Castel Nuovo", "Salt Plain", "Graubach", "Ormsby Bay")

SENTENCES = (
    "[{person}|person] moved from [{place}|place] to the coast.",
    "The [{firm}|organisation] hired [{person}|person] last week.",
    "Nobody in [{place}|place] had seen such a storm.",
    "👩‍🚀 [{person}|person] met [{other}|person] in [{place}|place] 😀 today.",
    "[{firm}|organisation] closes its office in [{place}|place].",
    "It rained all day, and train {number} was late again.",
    '"We shall rebuild it," said [{person}|person] of the [{firm}|organisation].',
    "🇳🇴 From [{place}|place] the ship sails {number} times a week.",
)
"""Emoji of one, two, and three code points: characters are counted apart where they are counted wrongly."""


def marked(text: str) -> SpanDocument:
    """`[Mara Voss|person] sails.` as a text and its spans."""
    plain, spans, after = "", [], 0
    for found in re.finditer(r"\[([^|\]]+)\|([^\]]+)\]", text):
        plain += text[after : found.start()]
        spans.append(Span(len(plain), len(plain) + len(found[1]), found[2]))
        plain, after = plain + found[1], found.end()
    return SpanDocument(plain + text[after:], tuple(spans))


def invented_texts(count: int, seed: int = 5) -> list[SpanDocument]:
    """`count` different ones of SENTENCES, always the same."""
    rng = random.Random(seed)
    found: dict[str, SpanDocument] = {}
    for number in itertools.count(2):
        person, other = rng.sample(PEOPLE, 2)
        names = {"person": person, "other": other, "firm": rng.choice(FIRMS), "place": rng.choice(PLACES)}
        document = marked(rng.choice(SENTENCES).format(**names, number=number))
        found.setdefault(document.text, document)
        if len(found) == count:
            return list(found.values())
    raise AssertionError("count() ends never")


def labels_config(control: str = "Labels", shown: str = '<Text name="text" value="$text"/>') -> str:
    """The three labels over one object."""
    labels = "".join(f"<Label value={quoteattr(label)}/>" for label in LABELS)
    return f'<View><{control} name="label" toName="text">{labels}</{control}>{shown}</View>'


def region(document: SpanDocument, span: Span, id: str) -> dict[str, Any]:
    """A mark of a Text as the page makes it."""
    value = {"start": span.start, "end": span.end, "text": document.text[span.start : span.end], "labels": [span.label]}
    return {"id": id, "from_name": "label", "to_name": "text", "type": "labels", "origin": "manual", "value": value}


def regions(document: SpanDocument) -> list[dict[str, Any]]:
    """All marks of a text."""
    return [region(document, span, f"hand{place}") for place, span in enumerate(document.spans)]


def spans_of(result: list[dict[str, Any]], kind: str = "labels") -> set[Span]:
    """What a result marks in a Text."""
    return {
        Span(item["value"]["start"], item["value"]["end"], label)
        for item in result
        if item["type"] == kind
        for label in item["value"][kind]
    }
