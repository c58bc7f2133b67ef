"""Which part of a data set a text belongs to: by the text alone, so that no duplicate stands on both sides."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import xxhash

from backend.dataset.row import TEST, TRAIN

BUCKETS = 10_000


def split_of(texts: Iterable[str], test_share: float) -> str:
    """The same for texts that differ in case, blanks or Unicode form only, whatever the project and the export.

    `test_share` in [0, 1]: of all texts, about."""
    normal = "\n".join(" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in texts)
    bucket = xxhash.xxh3_64_intdigest(normal.encode("utf-8", "surrogatepass")) % BUCKETS
    return TEST if bucket < test_share * BUCKETS else TRAIN
