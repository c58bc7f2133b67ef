"""Texts by their content: one short key for the same segments everywhere."""

from __future__ import annotations

import xxhash

from model.spec import Text


def text_key(text: Text) -> bytes:
    """16 bytes that name a text: the same for the same segments, whatever the process or machine."""
    parts = [part.encode("utf-8", "surrogatepass") for part in text]
    return xxhash.xxh3_128(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
