"""A project that marks text as the backend sees it: sentences of Wikipedia where the public sets are, else made up."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import quoteattr

from tests.support.rig import ROOT, Project, Rig

WORDS = 20
"""About as many has a text."""

Marks = tuple[tuple[int, int, str], ...]
"""Start, end and label of each span of a text."""

SOURCE = ROOT.parent / "shared" / "data" / "ner" / "wikigold"

PEOPLE = ("Ann Miller", "Bob", "Chandra Rao", "Dora Berg", "Emil", "Fatima Khan", "Gregor", "Hana Sato")
PLACES = ("Berlin", "New York", "Oslo", "Nairobi", "Lima", "San Marino", "Kyoto", "Ghent")


def spans_config(labels: Sequence[str]) -> str:
    """A label config with one Labels control `label` over the Text `text`."""
    options = "".join(f"<Label value={quoteattr(label)}/>" for label in labels)
    return f'<View><Labels name="label" toName="text">{options}</Labels><Text name="text" value="$text"/></View>'


@lru_cache(maxsize=1)
def marked_rows() -> tuple[tuple[str, Marks], ...]:
    """Different texts of about WORDS words with what is marked in them; half of them at least hold something."""
    found = dict(_read() if SOURCE.is_dir() else _made_up())
    return tuple(found.items())


def endless_marked_rows() -> Iterator[tuple[str, Marks]]:
    """They, then with a number before: no text comes twice."""
    for turn in itertools.count():
        for text, marks in marked_rows():
            before = f"{turn}. " if turn else ""
            yield before + text, tuple((start + len(before), end + len(before), label) for start, end, label in marks)


def _read() -> Iterator[tuple[str, Marks]]:
    for name in ("train", "test"):
        for line in (SOURCE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if WORDS / 2 <= len(row["text"].split()) <= 2 * WORDS:
                yield row["text"], tuple((one["start"], one["end"], one["label"]) for one in row["spans"])


def _made_up() -> Iterator[tuple[str, Marks]]:
    tail = "and nobody who was there on that long day could say what it had been good for"
    for number, (person, place) in enumerate(itertools.product(PEOPLE, PLACES)):
        for year in range(1950, 1975):
            text = f"In {year} {person} went to {place} {tail}, number {number}."
            marks = [(text.index(part), label) for part, label in ((person, "person"), (place, "location"))]
            yield text, tuple((at, at + len(p), one) for (at, one), p in zip(marks, (person, place), strict=True))


class MarkedProject(Project):
    """One whose rows are texts with spans."""

    def __init__(self, rig: Rig, number: int, labels: Sequence[str], config: str | None = None) -> None:
        super().__init__(rig, number, labels, config or spans_config(labels))

    @classmethod
    def of_sample(cls, rig: Rig, number: int) -> Project:
        """One of all labels that occur."""
        return cls(rig, number, sorted({label for _, marks in marked_rows() for *_, label in marks}))

    @classmethod
    def sample(cls) -> list[tuple[str, Any]]:
        """The rows that it is about."""
        return list(marked_rows())

    @classmethod
    def stream(cls) -> Iterator[tuple[str, Any]]:
        """Them, and more of their kind without end."""
        return endless_marked_rows()

    def result_of(self, text: str, label: Any) -> list[dict[str, Any]]:
        """What an annotator who marks this submits."""
        return [
            {
                "id": f"m{start}",
                "from_name": "label",
                "to_name": "text",
                "type": "labels",
                "origin": "manual",
                "value": {"start": start, "end": end, "text": text[start:end], "labels": [name]},
            }
            for start, end, name in label
        ]


def kind_of(spans: bool) -> type[Project]:
    """What a bench is about."""
    return MarkedProject if spans else Project
