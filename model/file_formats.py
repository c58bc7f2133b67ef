"""How files begin that people give for tables of texts: what they are instead, and what is between their columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

BEGINNINGS = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook: unpack it, or save it as CSV (UTF-8)"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"BZh", "compressed with bzip2: unpack it first"),
    (b"\xfd7zXZ", "compressed with xz: unpack it first"),
    (b"(\xb5/\xfd", "compressed with zstd: unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: save it as CSV (UTF-8)"),
    (b"PAR1", "a Parquet file: write it as CSV (UTF-8)"),
    (b"SQLite format 3", "a SQLite database: export its rows as CSV (UTF-8)"),
    (b"%PDF", "a PDF: its text is needed, as CSV (UTF-8)"),
    (b"{\\rtf", "an RTF document: save it as plain CSV (UTF-8)"),
)


def name_format(start: bytes) -> str:
    """What a file that begins like this is, and what to do; "" for what may be a text."""
    return next((what for beginning, what in BEGINNINGS if start.startswith(beginning)), "")


def named_separator(line: str) -> str:
    """Of the line `sep=;` before the names, by which spreadsheets tell each other what is between columns; else ""."""
    found = re.fullmatch(r'sep=([^\w"])', line.rstrip("\r\n"), re.ASCII | re.IGNORECASE)
    return found.group(1) if found else ""


def is_separator_line(row: Sequence[str]) -> bool:
    """The same once it is split by its own separator."""
    return len(row) == 2 and row[0].lower() == "sep=" and not row[1]
