"""The characters of a file as it comes: UTF-8 with or without a mark, UTF-16, UTF-32; anything else is told with its
line, never guessed."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

from backend.errors import BadRequest
from backend.screen import plain
from model.file_formats import name_format

CHUNK_BYTES = 1 << 16

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_characters(file: IO[bytes], source: str) -> Iterator[str]:
    """The text by chunks. Raises BadRequest with the line of what is no text."""
    start = file.read(CHUNK_BYTES)
    if what := name_format(start):
        raise BadRequest(f"{plain(source)} is {what}", field="file")
    encoding = encoding_of(start)
    decoder, lines = codecs.getincrementaldecoder(encoding)(), 1
    chunk = start
    while True:
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            bad = error.object[error.start]
            before = error.object[: error.start].decode(encoding, "ignore")
            line = lines + _ends(before)
            raise BadRequest(f"{plain(source)}, line {line}: {_what_is_wrong(encoding, bad)}", field="file") from error
        lines += _ends(text)
        if text:
            yield text
        if not chunk:
            return
        chunk = file.read(CHUNK_BYTES)


def _ends(text: str) -> int:
    """Line ends; one that is split over two chunks counts twice."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def encoding_of(start: bytes) -> str:
    """By the mark; without one by the zeros that UTF-16 has beside ASCII."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding
    if len(start) >= 4 and start[1] == 0 and start[0] != 0:
        return "utf-16-le" if start[2] != 0 else "utf-32-le"
    if len(start) >= 4 and start[0] == 0:
        return "utf-16-be" if start[1] != 0 else "utf-32-be"
    return "utf-8"


def _what_is_wrong(encoding: str, bad: int) -> str:
    if encoding != "utf-8" and encoding != "utf-8-sig":
        return f"it is no {encoding.upper()[:6]}: save it as UTF-8"
    likely = f" (in Windows-1252 and Latin-1 it is {_latin(bad)})" if _latin(bad) else ""
    return f"the byte {bad:02X}{likely} is no UTF-8: save the file as UTF-8"


def _latin(bad: int) -> str:
    char = bytes([bad]).decode("cp1252", "ignore")
    return char if char.isalpha() else ""
