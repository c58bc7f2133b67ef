"""Words and word pairs of texts as hashes, so that TF-IDF over any later vocabulary needs no text.

A head's vocabulary changes with every refit; reading 100,000 texts again would take ten seconds. A term is 48 bits of
its hash with 16 bits of how often it comes: one text in a thousand million has a term that passes for another one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.features.tfidf import Terms, joined, split_terms, weigh_terms
from model.spec import Text

Packed = NDArray[np.uint64]

COUNT_BITS = 16
MOST = (1 << COUNT_BITS) - 1
SLOTS = 1 << 18
"""Of the look-up table, 2 MB: 20,000 terms leave few that share one. Those few are found by bisection."""

TAKEN = np.uint64((1 << 48) - 1)
"""In a slot that several terms share: no term has this hash but for one in 280 million million."""


def hash_term(term: str) -> int:
    """The term's place in the upper 48 bits; the lower 16 are free."""
    return xxhash.xxh3_64_intdigest(term.encode("utf-8", "surrogatepass")) & ~MOST


def pack_terms(text: Text) -> Packed:
    """The terms of one text [t], each with its count."""
    counts = Counter(split_terms(joined([text])[0]))
    return np.array([hash_term(term) | min(count, MOST) for term, count in counts.items()], dtype=np.uint64)


class HashedVocabulary:
    """A head's terms, looked up by hash. Thread-safe: nothing changes after it was made."""

    def __init__(self, terms: Terms) -> None:
        self.idf = terms.idf.astype(np.float32)
        hashes = np.array([hash_term(term) >> COUNT_BITS for term in terms.vocabulary], dtype=np.uint64)
        slots = _slots(hashes)
        shared = np.bincount(slots, minlength=SLOTS) > 1
        self._table, self._columns = np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.int32)
        self._table[slots], self._columns[slots] = hashes, np.arange(len(hashes), dtype=np.int32)
        self._table[shared] = TAKEN
        rest = np.flatnonzero(shared[slots])
        self._rest = rest[np.argsort(hashes[rest])].astype(np.int32)
        self._rest_hashes = hashes[self._rest]

    def matrix(self, packed: Packed, ends: NDArray[np.int64]) -> Any:
        """Sparse TF-IDF [n, terms], as `Terms.transform` gives it. Text i has packed[ends[i]:ends[i + 1]]."""
        if not len(self.idf):
            return weigh_terms(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros_like(ends), self.idf)
        hashes = packed >> np.uint64(COUNT_BITS)
        slots = _slots(hashes)
        found = self._table.take(slots)
        known = found == hashes
        unsure = np.flatnonzero(found == TAKEN)
        known[unsure] = np.isin(hashes[unsure], self._rest_hashes)
        places = np.flatnonzero(known)
        columns = self._columns.take(slots[places])
        several = np.flatnonzero(found[places] == TAKEN)
        columns[several] = self._rest[np.searchsorted(self._rest_hashes, hashes[places[several]])]
        counts = (packed[places] & np.uint64(MOST)).astype(np.float32)
        kept = np.searchsorted(places, ends)
        return weigh_terms(columns, counts, kept, self.idf)


def _slots(hashes: Packed) -> NDArray[np.int64]:
    return (hashes & np.uint64(SLOTS - 1)).view(np.int64)
