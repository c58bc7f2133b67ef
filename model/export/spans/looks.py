"""What words look like, as rows of the graph's table: hashes of case, shape, affixes and neighbours, and of the strings
that they are part of. Part of an export: needs numpy alone."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TypedDict

import numpy as np

PIECE, CAPITALS = 250, 0.6
PRIME_1, PRIME_2, PRIME_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
WHOLE = (1 << 64) - 1
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)

Bounds = Sequence[tuple[int, int]]


class PatternsSpec(TypedDict):
    """`strings`, `any_case`: digest of the words -> labels; `lengths`: in words; `rows`: label -> rows of the graph's
    table that a match adds, for its first and further words."""

    strings: dict[str, list[str]]
    any_case: dict[str, list[str]]
    lengths: list[int]
    rows: dict[str, list[int]]


class LooksSpec(TypedDict):
    """`features`: sorted hashes, in the order of the graph's table."""

    features: list[int]
    patterns: PatternsSpec | None


class Hints:
    """What words look like, and which strings they are part of, as rows of the graph's table; row 0 says nothing."""

    def __init__(self, spec: LooksSpec) -> None:
        self.known, self.patterns = np.array(spec["features"], np.uint64), spec["patterns"]

    def find(self, words: Sequence[str], bounds: Bounds, is_long: bool) -> list[list[int]]:
        """Of each word of a text."""
        table = hand_table(words, bounds, is_long)
        said: list[list[int]] = [[] for _ in words]
        if len(self.known):
            places = np.minimum(np.searchsorted(self.known, table), len(self.known) - 1)
            rows, columns = np.nonzero(self.known[places] == table)
            for row, place in zip(rows.tolist(), places[rows, columns].tolist(), strict=True):
                said[row].append(1 + place)
        for first, last, label in find_strings(words, self.patterns) if self.patterns else ():
            telling = first < last or any(map(str.isupper, words[first]))
            kind = "telling" if telling else "plain"
            for word in range(first, last + 1):
                place = "begins" if word == first else "goes on"
                codes = [name_hash(f"pattern {place} {more}{label}") for more in ("", f"{kind} ")]
                said[word] += [1 + at for code in codes if (at := self.place(code)) is not None]
                if self.patterns and label in self.patterns["rows"]:
                    said[word].append(self.patterns["rows"][label][word > first])
        return said

    def place(self, code: int) -> int | None:
        at = int(np.searchsorted(self.known, np.uint64(code)))
        return at if at < len(self.known) and self.known[at] == code else None


def find_strings(words: Sequence[str], spec: PatternsSpec) -> list[tuple[int, int, str]]:
    """Matches (first word, last word, label). Of those of one label the longest win, then the first."""
    exact, any_case = written(words), fold(words)
    found: list[tuple[int, int, str]] = []
    taken: set[tuple[int, str]] = set()
    for size in sorted(spec["lengths"], reverse=True):
        for first in range(len(words) - size + 1):
            run = slice(first, first + size)
            labels = {*spec["strings"].get(digest(exact[run]), ()), *spec["any_case"].get(digest(any_case[run]), ())}
            for label in labels:
                if all((word, label) not in taken for word in range(first, first + size)):
                    taken |= {(word, label) for word in range(first, first + size)}
                    found.append((first, first + size - 1, label))
    return sorted(found)


def written(words: Sequence[str]) -> list[str]:
    """As words are compared where case counts."""
    return [unicodedata.normalize("NFC", word) for word in words]


def fold(words: Sequence[str]) -> list[str]:
    """As they are compared where it does not."""
    return [unicodedata.normalize("NFC", word.casefold()) for word in written(words)]


def digest(words: Sequence[str]) -> str:
    """What stands for a string: an export holds none of a text."""
    return hashlib.blake2b("\0".join(words).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def hand_table(words: Sequence[str], bounds: Bounds, is_long: bool) -> np.ndarray:
    """Hashes of what each word looks like [words, kinds]; 0 where it has no such feature."""
    own = np.array([word_codes(word) for word in words], np.uint64).reshape(-1, 12)
    lower, shape, long_shape = own[:, :3].T
    touches = [left[1] == right[0] for left, right in pairwise(bounds)]
    glued = [2 * before + behind for before, behind in zip([False, *touches], [*touches, False], strict=True)]
    columns = [
        say("any", np.ones(len(own), np.uint64)),
        say("word", lower),
        say("shape", shape),
        say("long shape", long_shape + in_capitals(words, PIECE if is_long else max(1, len(words)))),
        say("glued", np.array(glued[: len(words)], np.uint64) + np.uint64(1)),
    ]
    columns += [np.where(own[:, 4 + i] > 0, say(f"affix {i}", own[:, 4 + i]), 0) for i in range(8)]
    place = np.arange(len(words))
    for distance in (-2, -1, 1, 2):
        there = (place if distance < 0 else len(words) - 1 - place) >= abs(distance)
        other = np.roll(own, -distance, axis=0)
        said = [say(f"word {distance}", other[:, 0]), say(f"shape {distance}", other[:, 1])]
        if abs(distance) == 1:
            said.append(say(f"end {distance}", other[:, 3]))
            said.append(say(f"words {distance}", join(own[:, 0], other[:, 0])))
            said.append(say(f"shapes {distance}", join(own[:, 1], other[:, 1])))
        columns += [np.where(there, codes, 0) for codes in said]
        columns.append(np.where(there, 0, say(f"edge {distance}", np.ones(len(own), np.uint64))))
    before = np.where(place >= 1, np.roll(shape, 1), 0)
    behind = np.where(place < len(words) - 1, np.roll(shape, -1), 0)
    columns.append(say("shapes", join(join(before, shape), behind)))
    return np.stack(columns, axis=1).astype(np.uint64)


def in_capitals(words: Sequence[str], size: int) -> np.ndarray:
    """Of each word whether its text, or its part of a long one, is written in capitals."""
    found = np.zeros(len(words), np.uint64)
    for start in range(0, len(words), size):
        letters = [word for word in words[start : start + size] if word.isalpha()]
        found[start : start + size] = sum(map(str.isupper, letters)) > CAPITALS * max(1, len(letters))
    return found


@lru_cache(maxsize=1 << 16)
def word_codes(word: str) -> tuple[int, ...]:
    lower = word.lower()
    shape = "".join(shape_of(character) for character in word)
    short = re.sub(r"(.)\1+", r"\1+", shape, flags=re.DOTALL)
    affixes = [lower[:size] for size in range(1, 5)] + [lower[-size:] for size in range(1, 5)]
    codes = [name_hash(part) if len(lower) > len(part) else 0 for part in affixes]
    return name_hash(lower), name_hash(short), name_hash(shape[:8]), name_hash(lower[-3:]), *codes


def shape_of(character: str) -> str:
    if character.isupper():
        return "X"
    if character.islower():
        return "x"
    if character.isdigit():
        return "d"
    return "z" if character.isalpha() else character


def mix(codes: np.ndarray) -> np.ndarray:
    codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    codes = (codes ^ (codes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))


def join(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return mix(left * np.uint64(3)) ^ mix(right + np.uint64(0x9E3779B97F4A7C15))


def say(kind: str, codes: np.ndarray) -> np.ndarray:
    return np.maximum(mix(codes + np.uint64(name_hash(kind))), np.uint64(1))


def name_hash(text: str) -> int:
    """XXH3 of 64 bits, never 0. What is longer than any word was when this was learned may have any other number."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > 240:
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") | 1
    return (short_hash(data) if len(data) <= 16 else long_hash(data)) | 1


def read(data: bytes, place: int, size: int = 8) -> int:
    return int.from_bytes(data[place : place + size], "little")


def flip(first: int) -> int:
    return read(SECRET, first) ^ read(SECRET, first + 8)


def mixed(left: int, right: int) -> int:
    product = left * right
    return (product & WHOLE) ^ (product >> 64)


def short_hash(data: bytes) -> int:
    size = len(data)
    if size > 8:
        low, high = read(data, 0) ^ flip(24), read(data, size - 8) ^ flip(40)
        return finish(size + int.from_bytes(low.to_bytes(8, "little"), "big") + high + mixed(low, high))
    if size > 3:
        code = (read(data, size - 4, 4) + (read(data, 0, 4) << 32)) ^ flip(8)
        code ^= turn(code, 49) ^ turn(code, 24)
        code = code * 0x9FB21C651E98DF25 & WHOLE
        code = (code ^ ((code >> 35) + size)) * 0x9FB21C651E98DF25 & WHOLE
        return code ^ (code >> 28)
    if size:
        code = data[0] << 16 | data[size >> 1] << 24 | data[-1] | size << 8
        code ^= read(SECRET, 0, 4) ^ read(SECRET, 4, 4)
    else:
        code = flip(56)
    code = (code ^ (code >> 33)) * PRIME_2 & WHOLE
    code = (code ^ (code >> 29)) * PRIME_3 & WHOLE
    return code ^ (code >> 32)


def long_hash(data: bytes) -> int:
    size, code = len(data), len(data) * PRIME_1
    if size <= 128:
        for place in range((size - 1) // 32, -1, -1):
            code += part(data, 16 * place, 32 * place) + part(data, size - 16 * (place + 1), 32 * place + 16)
        return finish(code)
    code = finish(code + sum(part(data, 16 * place, 16 * place) for place in range(8)))
    code += sum(part(data, 16 * place, 16 * (place - 8) + 3) for place in range(8, size // 16))
    return finish(code + part(data, size - 16, 136 - 17))


def part(data: bytes, place: int, secret: int) -> int:
    return mixed(read(data, place) ^ read(SECRET, secret), read(data, place + 8) ^ read(SECRET, secret + 8))


def turn(code: int, by: int) -> int:
    return (code << by | code >> (64 - by)) & WHOLE


def finish(code: int) -> int:
    code &= WHOLE
    code = (code ^ (code >> 37)) * 0x165667919E3779F9 & WHOLE
    return code ^ (code >> 32)
