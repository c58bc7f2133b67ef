"""Answers that were given, by model and text: a task that is opened again costs a look-up. Bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import xxhash

from model.spec import Prediction

ENTRY, PREDICTION, RANK = 250, 350, 120
"""Bytes of an entry of the table, of an answer, and of each label that it lists, as CPython 3.11 keeps them."""

SPAN, ABOUT, RELATION = 300, 300, 650
"""Bytes of a span without its reason, of each answer about it, and of a relation with its two regions."""


def answer_key(serial: int, document: Mapping[str, str], options: Mapping[str, Sequence[str]]) -> bytes:
    """16 bytes that name what one model (`LiveModel.serial`) says to one task."""
    digest = xxhash.xxh3_128(f"{serial}/{len(document)}".encode())
    for name, text in document.items():
        _add(digest, name, text)
    for name, listed in options.items():
        _add(digest, name, *listed)
    return digest.digest()


def _add(digest: xxhash.xxh3_128, *parts: str) -> None:
    """Each part with its length, so that no two lists of parts look alike."""
    digest.update(len(parts).to_bytes(8, "big"))
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)


class AnswerCache:
    """The answers used last. Thread-safe; counts hits and misses. The answers are shared: no caller may change them."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = self.hits = self.misses = 0
        self._kept: OrderedDict[bytes, tuple[list[Prediction], int]] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, key: bytes) -> list[Prediction] | None:
        """What was answered, None if that is not known any more."""
        with self._guard:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: bytes, answers: list[Prediction]) -> None:
        """Remember; what was not used for longest goes when there is no room."""
        size = _size(answers)
        with self._guard:
            known = self._kept.pop(key, None)
            self.bytes += size - (known[1] if known else 0)
            self._kept[key] = answers, size
            while self.bytes > self.max_bytes:
                _, (_, freed) = self._kept.popitem(last=False)
                self.bytes -= freed

    def __len__(self) -> int:
        return len(self._kept)


def _size(answers: Sequence[Prediction]) -> int:
    listed = sum(len(answer.ranking) + len(answer.levels) + len(answer.chosen) for answer in answers)
    marked = sum(_size_of_marks(answer) for answer in answers if answer.spans)
    return ENTRY + PREDICTION * len(answers) + RANK * listed + marked


def _size_of_marks(answer: Prediction) -> int:
    about = sum(len(span.answers) for span in answer.spans)
    reasons = sum(len(span.reason) for span in answer.spans)
    return SPAN * len(answer.spans) + ABOUT * about + reasons + RELATION * len(answer.relations)
