"""spaCy's DocBin: words, entities, and all spans in a group of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from backend.client.dataset.marked_text import MarkedText
from backend.client.dataset.packages import require
from backend.client.dataset.text_files import Add
from backend.client.dataset.words import Place, longest_apart
from backend.client.output_file import scratch_beside, told
from backend.dataset.row import DatasetRow, SpanJson

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span
    from spacy.vocab import Vocab

SPAN_GROUP = "sc"
"""The group that spaCy's span categorizer reads: nested spans have a place there, and in `doc.ents` have none."""

_PARTS = re.compile(r"\s+|\S+")


@contextmanager
def write_docbin(path: Path, marked: MarkedText) -> Iterator[Add]:
    """For `spacy train`: `doc.text` is the text, character for character. All of it is in memory until it is written,
    as DocBin works. Raises MissingPackage."""
    require("spacy", "spaCy's DocBin")
    import spacy
    from spacy.tokens import DocBin

    vocab, docs = spacy.blank("xx").vocab, DocBin(attrs=["ENT_IOB", "ENT_TYPE", "SPACY"], store_user_data=False)

    def add(row: DatasetRow) -> None:
        found = marked.read(row)
        if found is not None and found[0]:
            docs.add(_to_doc(vocab, marked, *found))

    with scratch_beside(path) as scratch:
        yield add
        with told(path):
            docs.to_disk(scratch)


def _to_doc(vocab: Vocab, marked: MarkedText, text: str, spans: list[SpanJson]) -> Doc:
    from spacy.tokens import Doc

    places = _with_blanks(text, marked.words(text, spans))
    tokens, spaces = _with_spaces(text, places)
    doc = Doc(vocab, words=[text[start:end] for start, end in tokens], spaces=spaces)
    doc.set_ents(_to_spans(doc, longest_apart(spans)))
    doc.spans[SPAN_GROUP] = _to_spans(doc, spans)
    return doc


def _to_spans(doc: Doc, spans: list[SpanJson]) -> list[Span]:
    # Every span consists of whole words: none is passed over.
    found = [doc.char_span(one["start"], one["end"], one["label"], alignment_mode="expand") for one in spans]
    return [span for span in found if span is not None]


def _with_blanks(text: str, words: list[Place]) -> list[Place]:
    """The words, and all that stands between them: blanks are tokens to spaCy, too."""
    found: list[Place] = []
    at = 0
    for start, end in [*words, (len(text), len(text))]:
        found += [(at + part.start(), at + part.end()) for part in _PARTS.finditer(text[at:start])]
        if start < end:
            found.append((start, end))
        at = max(at, end)
    return found


def _with_spaces(text: str, places: list[Place]) -> tuple[list[Place], list[bool]]:
    """One blank behind a token belongs to it; more than that is a token."""
    tokens: list[Place] = []
    spaces: list[bool] = []
    for start, end in places:
        if text[start] == " " and tokens and not spaces[-1]:
            spaces[-1] = True
            start += 1
        if start < end:
            tokens.append((start, end))
            spaces.append(False)
    return tokens, spaces
