"""Labelled texts as they are learned: short ones whole, long ones in the stretches in which they are read when served.

A fit takes so many words: which texts and stretches those are is chosen by their hash, before anything is read. Of the
others the words alone are known, which is what the memory of strings needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.span import Span
from model.spans.features.reading import ReadText, SpanReader
from model.spans.features.stretches import LONG_TEXT, Stretch, cut_stretches
from model.spans.words import Bounds, find_words, to_words
from model.texts import text_key


@dataclass(frozen=True)
class TextPart:
    """A text, or a stretch of a long one. `place`: of the text among those that were given; `offset`: of its first
    character there; without states where it was not chosen."""

    place: int
    offset: int
    text: ReadText

    def within(self, spans: Sequence[Span]) -> tuple[Span, ...]:
        """The spans of the text that lie in this part, by its own characters."""
        end = self.offset + len(self.text.text)
        return tuple(
            Span(span.start - self.offset, span.end - self.offset, span.label)
            for span in spans
            if self.offset <= span.start and span.end <= end
        )


@dataclass(frozen=True)
class _Cut:
    """Words `first` to `last` of a stretch (the one after the last), or of a text that is read whole."""

    place: int
    offset: int
    text: str
    bounds: Bounds
    stretch: Stretch | None = None
    first: int = 0


def read_parts(
    reader: SpanReader, texts: Sequence[str], spans: Sequence[Sequence[Span]], most_words: int | None = None
) -> list[TextPart]:
    """The texts in turn, cut where none of their `spans` is; all of them read, or as many as have `most_words`."""
    cuts = [own for place, text in enumerate(texts) for own in _cut(place, text, spans[place])]
    chosen = set(range(len(cuts)))
    if most_words is not None:
        chosen = choose_texts([own.text for own in cuts], [len(own.bounds) for own in cuts], most_words)
    whole = [place for place in sorted(chosen) if cuts[place].stretch is None]
    read = dict(zip(whole, reader.read([cuts[place].text for place in whole]), strict=True))
    stretches = {place: one for place in sorted(chosen) if (one := cuts[place].stretch) is not None}
    rows = dict(zip(stretches, reader.read_stretches(list(stretches.values())), strict=True))
    for place, own in rows.items():
        cut, (states, hidden) = cuts[place], own
        words = slice(cut.first, cut.first + len(cut.bounds))
        document = texts[cut.place]
        read[place] = ReadText(cut.text, cut.bounds, states[words], hidden[words], document=document)
    return [
        TextPart(own.place, own.offset, read[place] if place in read else _unread(reader, own))
        for place, own in enumerate(cuts)
    ]


def choose_texts(texts: Sequence[str], words: Sequence[int], most: int) -> set[int]:
    """The places of the texts that a fit of so many words takes: all, or by their hash, one at least."""
    if sum(words) <= most:
        return set(range(len(texts)))
    kept, total = set[int](), 0
    keys = [text_key((text,)) for text in texts]
    for place in sorted(range(len(texts)), key=keys.__getitem__):
        total += words[place]
        if total > most and kept:
            break
        kept.add(place)
    return kept


def _cut(place: int, text: str, spans: Sequence[Span]) -> list[_Cut]:
    bounds = find_words(text)
    if len(text) <= LONG_TEXT:
        return [_Cut(place, 0, text, bounds)]
    marks = [mark for span in spans if (mark := to_words(bounds, span)) is not None]
    found, at = [], 0
    for stretch in cut_stretches(text, bounds):
        first, last = at, at + stretch.last - stretch.first
        begin = max((one.last + 1 for one in marks if one.first < first <= one.last), default=first)
        end = min((one.first for one in marks if one.first < last <= one.last), default=last)
        at = last
        if begin < end:
            offset = bounds[begin][0]
            own = [(start - offset, stop - offset) for start, stop in bounds[begin:end]]
            cut = text[offset : bounds[end - 1][1]]
            found.append(_Cut(place, offset, cut, own, stretch, stretch.first + begin - first))
    return found


def _unread(reader: SpanReader, own: _Cut) -> ReadText:
    """Of no words with states: they are all behind what was read."""
    none = np.zeros((0, reader.width), np.float16)
    return ReadText(own.text, (), none, np.zeros((0, reader.hidden_width), np.float16), own.bounds)
