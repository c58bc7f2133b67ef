"""JSON values one by one from characters: the items of a list, or values one after the other (JSON lines).

Of what JSON has not and programs write all the same, NaN, Infinity and numbers beyond all bounds are read as null; the
reader is told where.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator

from backend.errors import BadRequest
from model.spec import Json

LONGEST_VALUE_CHARACTERS = 64 << 20
"""Characters of one value."""

ENDING_CHARACTERS = 64
"""A mistake that is nearer to the end of what was read so far may only be the end."""

BLANKS = re.compile(r"[ \t\r\n]*")
SEPARATORS = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")

Note = Callable[[str, int], None]
"""Called with what was odd, and the row it was in."""


class JsonStream:
    """`source`: the file, for errors, which are BadRequest and name row and line."""

    def __init__(self, chunks: Iterator[str], source: str, note: Note = lambda what, row: None) -> None:
        self._chunks, self._source, self._note = chunks, source, note
        self._text, self._at, self._ended, self._line, self.row = "", 0, False, 1, 0
        self._decoder = json.JSONDecoder(
            parse_constant=self._constant, parse_float=self._float, parse_int=self._int, object_pairs_hook=self._object
        )

    def values(self) -> Iterator[Json]:
        """The items of the list, or all values."""
        self._skip(BLANKS)
        if self._text[self._at : self._at + 1] == "[":
            self._at += 1
            yield from self._items()
            self._skip(BLANKS)
            if self._at < len(self._text):
                raise self._error("something follows after the end of the list")
            return
        while not self._is_over():
            yield self._value()
            self._skip(SEPARATORS)

    def _items(self) -> Iterator[Json]:
        self._skip(BLANKS)
        while not self._closes():
            yield self._value()
            self._skip(BLANKS)
            if self._text[self._at : self._at + 1] == ",":
                self._at += 1
                self._skip(BLANKS)
            elif not self._closes(peek=True):
                raise self._error(f"a comma or the end of the list is needed after row {self.row}")

    def _closes(self, peek: bool = False) -> bool:
        if self._is_over():
            raise self._error(f"the file ends after row {self.row}, before the end of the list: it is cut off")
        closes = self._text[self._at] == "]"
        self._at += closes and not peek
        return closes

    def _is_over(self) -> bool:
        self._skip(BLANKS)
        return self._at >= len(self._text)

    def _value(self) -> Json:
        self.row += 1
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._may_go_on(error):
                    self._more()
                    continue  # also when that was all: the places in the error are of what is held now
                raise self._error(self._explain(error), error.pos) from error
            except RecursionError as error:
                raise self._error(f"row {self.row} is nested too deep") from error
            if end < len(self._text) or not self._more():  # else a number may go on
                self._advance(end)
                return value

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        if self._ended or len(self._text) - self._at > LONGEST_VALUE_CHARACTERS:
            return False
        return error.msg.startswith("Unterminated") or error.pos > len(self._text) - ENDING_CHARACTERS

    def _explain(self, error: json.JSONDecodeError) -> str:
        if self._ended and (error.pos >= len(self._text.rstrip()) or error.msg.startswith("Unterminated")):
            return f"the file ends within row {self.row}: it is cut off"
        if len(self._text) - self._at > LONGEST_VALUE_CHARACTERS:
            return f"row {self.row} is longer than {LONGEST_VALUE_CHARACTERS >> 20} million characters, or never ends"
        seen = self._text[error.pos : error.pos + 20].split("\n")[0]
        return f"row {self.row} is no JSON: {error.msg[0].lower()}{error.msg[1:]}" + (f", at {seen}" if seen else "")

    def _skip(self, what: re.Pattern[str]) -> None:
        while True:
            match = what.match(self._text, self._at)
            self._advance(match.end() if match else self._at)
            if self._at < len(self._text) or not self._more():
                return

    def _advance(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        """Reads on, as much again as there is, so that a long value is not looked at too often."""
        wanted = max(1, len(self._text) - self._at)
        parts = [self._text[self._at :]]
        while wanted > 0 and (chunk := next(self._chunks, "")):
            parts.append(chunk)
            wanted -= len(chunk)
        self._ended, grown = wanted > 0, len(parts) > 1
        self._text, self._at = "".join(parts), 0
        return grown

    def _error(self, what: str, position: int | None = None) -> BadRequest:
        line = self._line + self._text.count("\n", self._at, self._at if position is None else position)
        return BadRequest(f"{self._source}, line {line}: {what}", field="file")

    def _constant(self, name: str) -> None:
        self._note(f"{name}, which is no JSON, was read as null", self.row)

    def _float(self, digits: str) -> float | None:
        value = float(digits)
        if math.isfinite(value):
            return value
        return self._note("a number beyond all bounds was read as null", self.row)

    def _int(self, digits: str) -> int | float | None:
        return int(digits) if len(digits.lstrip("-")) < 19 else self._float(digits)

    def _object(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self._note("a key comes twice, and its last value counts", self.row)
        return found
