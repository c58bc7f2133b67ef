"""From texts to what the graph takes and back: words, token windows, and what words look like. Part of an export: needs
numpy, tokenizers and the onnxruntime session that it is given."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

import numpy as np
from tokenizers import Tokenizer

LONG_TEXT, STRETCH, MARGIN = 16_000, 8_000, 500
LENGTH, STRIDE, CASES = 254, 160, 8
BATCH, BATCH_CHARACTERS = 16, 2_000

Bounds = list[tuple[int, int]]
Ranges = Sequence[tuple[int, int]]


class Session(Protocol):
    def run(self, wanted: None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]: ...


class ReaderSpec(TypedDict):
    """`classes`: code points of signs that are words alone, of letters and the like, of what belongs to the sign before
    it, and of blanks; `columns`: of the scores."""

    window: int
    classes: dict[str, Ranges]
    columns: int


class Hints(Protocol):
    """What words look like, as rows of the graph's table."""

    def find(self, words: Sequence[str], bounds: Bounds, is_long: bool) -> list[list[int]]: ...


@dataclass(frozen=True)
class Unit:
    """What is read at once: a text, or words `first` to `last` of a long one with some around them."""

    text: int
    content: str
    bounds: Bounds
    first: int
    last: int
    hints: list[list[int]]


class Reader:
    """Reads texts with the graph."""

    def __init__(
        self, spec: ReaderSpec, session: Session, inputs: set[str], tokenizer: Tokenizer, hints: Hints
    ) -> None:
        self.spec, self.session, self.inputs, self.whole = spec, session, inputs, tokenizer
        self.whole.no_truncation()
        self.whole.no_padding()
        found = self.whole.encode("a")
        own = [place for place, special in enumerate(found.special_tokens_mask) if not special]
        self.before, self.after = found.ids[: own[0]], found.ids[own[-1] + 1 :]
        self.length = min(LENGTH, spec["window"] - len(self.before) - len(self.after))
        self.words = word_pattern(spec["classes"])
        self.hints = hints

    def read(self, texts: Sequence[str]) -> list[tuple[Bounds, np.ndarray]]:
        """Words of each text, and log-scores [words, columns]."""
        found: list[tuple[Bounds, np.ndarray]] = []
        units: list[Unit] = []
        for place, text in enumerate(texts):
            bounds = [match.span() for match in self.words.finditer(text)]
            found.append((bounds, np.zeros((len(bounds), self.spec["columns"]), np.float32)))
            units += self.cut(place, text, bounds)
        at = [0] * len(texts)
        starts = []
        for unit in units:
            starts.append(at[unit.text])
            at[unit.text] += unit.last - unit.first
        order = sorted(range(len(units)), key=lambda place: len(units[place].content))
        for group in batches([units[place] for place in order], order):
            own = [units[place] for place in group]
            scores = self.session.run(None, self.feed(own))[0]
            row = 0
            for place, unit in zip(group, own, strict=True):
                wanted = scores[row + unit.first : row + unit.last]
                found[unit.text][1][starts[place] : starts[place] + len(wanted)] = wanted
                row += len(unit.bounds)
        return found

    def cut(self, place: int, text: str, bounds: Bounds) -> Iterator[Unit]:
        """A long text in stretches, each with words around it; what words look like goes by all of it."""
        if not bounds:
            return
        is_long = len(text) > LONG_TEXT
        hints = self.hints.find([text[start:end] for start, end in bounds], bounds, is_long)
        if not is_long:
            yield Unit(place, text, bounds, 0, len(bounds), hints)
            return
        starts, ends = [start for start, _ in bounds], [end for _, end in bounds]
        first = 0
        while first < len(bounds):
            last = max(first + 1, bisect_right(ends, starts[first] + STRETCH))
            begin = min(first, bisect_left(starts, starts[first] - MARGIN))
            until = max(last, bisect_right(ends, ends[last - 1] + MARGIN))
            offset = starts[begin]
            own = [(start - offset, end - offset) for start, end in bounds[begin:until]]
            content = text[offset : ends[until - 1]]
            yield Unit(place, content, own, first - begin, last - begin, hints[begin:until])
            first = last

    def feed(self, units: Sequence[Unit]) -> dict[str, np.ndarray]:
        """What the graph takes: tokens [windows, longest]; of each word [words] which tokens are its pieces, whether it
        has neighbours, and what it looks like."""
        windows: list[list[int]] = []
        owned: list[tuple[int, int, int]] = []  # word, window, token
        row = 0
        for unit in units:
            found = self.whole.encode(unit.content, add_special_tokens=False)
            places = self.windows(found.ids, windows)
            owned += [(row + word, *places[piece]) for word, piece in overlaps(unit.bounds, found.offsets)]
            row += len(unit.bounds)
        windows = windows or [[*self.before, *self.after]]
        ids, mask = (np.zeros((len(windows), max(map(len, windows))), np.int64) for _ in range(2))
        for place, own in enumerate(windows):
            ids[place, : len(own)], mask[place, : len(own)] = own, 1
        pieces = np.zeros((row, *ids.shape), np.float32)
        for word, window, token in owned:
            pieces[word, window, token] = 1
        pieces /= np.maximum(pieces.sum((1, 2), keepdims=True), 1)
        size = max(1, *(len(own) for unit in units for own in unit.hints))
        hints = np.zeros((row, size), np.int64)
        for place, own in enumerate(own for unit in units for own in unit.hints):
            hints[place, : len(own)] = own
        sides = [np.arange(len(unit.bounds)) for unit in units]
        feed = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(ids),
            "pieces": pieces,
            "left": np.concatenate([own > 0 for own in sides]).astype(np.float32),
            "right": np.concatenate([own < len(own) - 1 for own in sides]).astype(np.float32),
            "cases": np.concatenate([case_bits(unit.content, unit.bounds) for unit in units]),
            "hints": hints,
        }
        return {name: feed[name] for name in self.inputs}

    def windows(self, ids: list[int], windows: list[list[int]]) -> list[tuple[int, int]]:
        """Adds the windows of a text; of each piece the window and the token where it is farthest from a cut."""
        count, length = len(ids), self.length
        step = max(1, min(STRIDE, length * STRIDE // LENGTH))
        starts = [0] if count <= length else [*range(0, count - length, step), count - length]
        places, best = [(0, 0)] * count, [-1] * count
        for start in starts if count else []:
            end = min(start + length, count)
            for piece in range(start, end):
                near = min(piece - start if start else count, end - 1 - piece if end < count else count)
                if near > best[piece]:
                    best[piece], places[piece] = near, (len(windows), len(self.before) + piece - start)
            windows.append([*self.before, *ids[start:end], *self.after])
        return places


def batches(units: Sequence[Unit], places: Sequence[int]) -> Iterator[list[int]]:
    """Their places, few enough characters at a time."""
    group: list[int] = []
    characters = 0
    for unit, place in zip(units, places, strict=True):
        if group and (len(group) >= BATCH or characters + len(unit.content) > BATCH_CHARACTERS):
            yield group
            group, characters = [], 0
        group.append(place)
        characters += len(unit.content)
    if group:
        yield group


def word_pattern(classes: Mapping[str, Ranges]) -> re.Pattern[str]:
    single, word, mark, blank = (write_class(classes[name]) for name in ("single", "word", "mark", "blank"))
    other = f"[^{blank}{single}{word}]"
    return re.compile(f"[{single}][{mark}]*|[{word}][{word}{mark}]*|{other}(?:[{mark}]|(?<=\u200d){other})*")


def write_class(ranges: Ranges) -> str:
    """Of a regular expression."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def overlaps(bounds: Bounds, offsets: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """(word, piece) of every pair that shares a character."""
    first = 0
    for piece, (start, end) in enumerate(offsets):
        while first < len(bounds) and bounds[first][1] <= start:
            first += 1
        word = first
        while word < len(bounds) and bounds[word][0] < end:
            if bounds[word][1] > start:
                yield word, piece
            word += 1


def case_bits(text: str, bounds: Bounds) -> np.ndarray:
    """Capitals, digits, marks and the place of each word and its two neighbours."""
    rows = np.zeros((len(bounds), CASES), np.float32)
    for place, (start, end) in enumerate(bounds):
        word = text[start:end]
        glued = place > 0 and bounds[place - 1][1] == start
        capitals = word[0].isupper(), word.isupper() and len(word) > 1, word.islower()
        signs = word.isdigit(), any(map(str.isdigit, word)), not word[0].isalnum()
        rows[place] = *capitals, *signs, place == 0, glued
    left, right = np.zeros_like(rows), np.zeros_like(rows)
    left[1:], right[:-1] = rows[:-1], rows[1:]
    return np.concatenate([rows, left, right], axis=1)
