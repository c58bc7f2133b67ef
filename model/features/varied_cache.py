"""The feature cache for entries of any size: states of a text's words, from 2 kB to megabytes."""

from __future__ import annotations

from collections.abc import Sequence

import lmdb

from model.features.cache import FeatureCache

PAGE, HEADER = 4096, 16
"""LMDB keeps a large value on pages of its own."""

AT_LEAST = 0.1
"""Share of the bound that is freed when it is reached, so that not every write has to."""


class VariedCache(FeatureCache):
    """Bounded by the bytes that its entries take, whatever their sizes; the oldest make room. In a folder of its own:
    one store holds either kind."""

    def _make_room(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        needed = sum(_pages(value) for _, value in items) * PAGE
        with self._store.begin(write=True) as transaction:
            excess = self._used(transaction) + needed - self._bytes
            if excess <= 0:
                return
            cursor = transaction.cursor(self._store.order)
            cursor.set_range(b"\x01")
            wanted = max(excess, int(self._bytes * AT_LEAST))
            while wanted > 0 and cursor.value():
                key = bytes(cursor.value())
                value = transaction.get(key, db=self._store.values)
                wanted -= _pages(value) * PAGE if value is not None else 0
                transaction.delete(key, db=self._store.values)
                cursor.delete()

    def _used(self, transaction: lmdb.Transaction[bytes]) -> int:
        facts = transaction.stat(self._store.values)
        return PAGE * int(facts["leaf_pages"] + facts["branch_pages"] + facts["overflow_pages"])


def _pages(value: bytes) -> int:
    return -(-(len(value) + HEADER) // PAGE)
