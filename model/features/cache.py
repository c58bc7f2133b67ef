"""Pooled features on disk, shared by all processes of a machine: no encoder reads the same text twice.

Values are float16 (3 kB a text for MiniLM). A miss returns the same rounded values as a later hit, so that results do
not depend on what happened to be cached. The store is bounded: when it is full the oldest tenth goes.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import lmdb
import numpy as np
import xxhash

from model.interfaces import Embedder
from model.spec import Text
from model.texts import characters_of, portions, text_key

log = logging.getLogger(__name__)

_COUNTER = b"\x00next"
_PAGE, _HEADER, _INDEX = 4096, 16, 256
"""LMDB keeps a value of this size on pages of its own; the index takes about 200 bytes an entry."""

MAP_GROWTH = 1.5
LOCK_BYTES = 1 << 16
"""512 readers of 64 bytes, and some."""

TRANSACTION_ENTRIES = 256
"""Entries of one transaction."""

DAMAGE_ERRORS = (
    lmdb.InvalidError,
    lmdb.CorruptedError,
    lmdb.VersionMismatchError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
)
"""What a damaged file raises. Anything else says nothing against the file, which is then left as it is."""

SAVED_CHARACTERS = 64_000
"""Characters after which what was encoded is kept: some seconds. Who is stopped in the midst of many long texts goes on
from there; a refit that ran out of its time would else begin anew, and never get done."""


def _reserve_lock(path: Path) -> None:
    """Takes the room for LMDB's lock file. LMDB makes it sparse and writes through a map: on a full disk the kernel
    would kill the process (SIGBUS) where this raises OSError."""
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, LOCK_BYTES)


@dataclass(slots=True, weakref_slot=True)
class _Store:
    """An open LMDB environment with its two tables: entries by key, and keys by age. None: it cannot be made."""

    environment: lmdb.Environment | None = None
    values: lmdb._Database | None = None
    order: lmdb._Database | None = None

    def begin(self, db: lmdb._Database | None = None, *, write: bool = False) -> lmdb.Transaction[bytes]:
        """Raises lmdb.Error."""
        if self.environment is None:
            raise lmdb.Error("the feature cache could not be made")
        return self.environment.begin(db=db, write=write, buffers=False)

    def pages(self) -> int:
        """That are in use."""
        return 0 if self.environment is None else self.environment.info()["last_pgno"] + 1


_open_stores: WeakValueDictionary[tuple[int, str], _Store] = WeakValueDictionary()
"""Of this process (a fork must not use its parent's), by folder: LMDB forbids to open one twice, and closes with the
last cache that uses it."""

_opening = threading.Lock()
"""Two threads that open environments at once wait for each other for ever in py-lmdb 3.0."""


def _open_store(path: Path, map_bytes: int) -> _Store:
    """The store in the folder, begun anew if it is damaged. Raises OSError and lmdb.Error."""
    path.mkdir(parents=True, exist_ok=True)
    place = (os.getpid(), os.path.realpath(path))
    with _opening:
        store = _open_stores.get(place)
        if store is None:
            store = _open_stores[place] = _open_anew(path, map_bytes)
    return store


def _open_anew(path: Path, map_bytes: int) -> _Store:
    try:
        return _open_files(path, map_bytes)
    except DAMAGE_ERRORS as error:
        log.warning("feature cache damaged, begun anew: %s", error)
        for file in path.glob("*.mdb"):
            file.unlink()
        return _open_files(path, map_bytes)


def _open_files(path: Path, map_bytes: int) -> _Store:
    _reserve_lock(path / "lock.mdb")
    environment = lmdb.open(
        str(path),
        map_size=map_bytes,
        max_dbs=2,
        sync=False,
        metasync=False,
        readahead=False,
        max_readers=512,
    )
    if (path / "data.mdb").stat().st_size < (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]:
        environment.close()  # reading through the map past the end would kill the process (SIGBUS)
        raise lmdb.CorruptedError(f"{path}: cut short")
    return _Store(environment, environment.open_db(b"values"), environment.open_db(b"order", integerkey=False))


class FeatureCache:
    """An LMDB file. Every method survives a full or damaged store: it then behaves like an empty one. So does a cache
    whose file cannot be made at all, as on a full disk: every text is then encoded again, and nothing else is lost.
    Caches of one folder in one process share what is open."""

    def __init__(self, path: Path, max_mb: int) -> None:
        self._bytes = max_mb << 20
        self._store = _Store()
        # More address space than is ever filled: deleting needs free pages, too.
        map_bytes = int(self._bytes * MAP_GROWTH) + (64 << 20)
        try:
            self._store = _open_store(path, map_bytes)
        except (OSError, lmdb.Error) as error:
            log.error("no feature cache, every text is encoded again: %s", error)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The stored bytes of each key, None where there are none."""
        try:
            with self._store.begin(self._store.values) as transaction:
                return [transaction.get(key) for key in keys]
        except lmdb.Error as error:
            log.warning("feature cache unreadable: %s", error)
            return [None] * len(keys)

    def has_many(self, keys: Sequence[bytes]) -> list[bool]:
        """Whether each key is stored; reads no value."""
        try:
            with self._store.begin(self._store.values) as transaction, transaction.cursor() as cursor:
                return [bool(cursor.set_key(key)) for key in keys]
        except lmdb.Error as error:
            log.warning("feature cache unreadable: %s", error)
            return [False] * len(keys)

    def put_many(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Store the items; makes room by dropping the oldest."""
        for start in range(0, len(items), TRANSACTION_ENTRIES):
            batch = items[start : start + TRANSACTION_ENTRIES]
            try:
                self._make_room(batch)
                self._put(batch)
            except lmdb.Error as error:
                log.warning("feature cache not written, emptied: %s", error)
                self._empty()
                return

    def _put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        with self._store.begin(write=True) as transaction:
            number = int.from_bytes(transaction.get(_COUNTER, b"\0", db=self._store.order), "big")
            for key, value in items:
                if transaction.put(key, value, db=self._store.values, overwrite=False):
                    number += 1
                    transaction.put(b"\x01" + number.to_bytes(8, "big"), key, db=self._store.order)
            transaction.put(_COUNTER, number.to_bytes(8, "big"), db=self._store.order)

    def _make_room(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Drop the oldest tenth, or as many as come, when the store would outgrow its bound."""
        if not items:
            return
        pages = -(-(len(items[0][1]) + _HEADER) // _PAGE)
        limit = max(TRANSACTION_ENTRIES, self._bytes // (pages * _PAGE + _INDEX))
        with self._store.begin(write=True) as transaction:
            entries = transaction.stat(self._store.values)["entries"]
            if entries + len(items) <= limit:
                return
            cursor = transaction.cursor(self._store.order)
            cursor.set_range(b"\x01")
            for _ in range(max(limit // 10, entries + len(items) - limit)):
                if not cursor.value():
                    break
                transaction.delete(cursor.value(), db=self._store.values)
                cursor.delete()

    def _empty(self) -> None:
        try:
            with self._store.begin(write=True) as transaction:
                for table in (self._store.values, self._store.order):
                    if table is not None:
                        transaction.drop(table, delete=False)
        except lmdb.Error as error:
            log.warning("feature cache stays full: %s", error)

    def __len__(self) -> int:
        try:
            with self._store.begin() as transaction:
                return transaction.stat(self._store.values)["entries"]
        except lmdb.Error:
            return 0

    def bytes(self) -> int:
        """Of the file that are in use."""
        return self._store.pages() * _PAGE

    def close(self) -> None:
        """Release the file, which the last user in this process closes."""
        with _opening:
            self._store = _Store()


Build = Callable[[Sequence[Text]], np.ndarray]
"""Texts -> features [n, depth, width]."""


class CachedEncoder(Embedder):
    """An encoder that looks into the cache first. Thread-safe; counts its hits and misses."""

    def __init__(self, encoder: Embedder, cache: FeatureCache) -> None:
        self.encoder, self.cache = encoder, cache
        self.digest, self.width, self.depth = encoder.digest, encoder.width, encoder.depth
        self.taught, self.precision = encoder.taught, encoder.precision
        self.cost, self.device = encoder.cost, encoder.device
        self.hits = self.misses = 0
        # Versions are tied to the digest, whatever the precision; but one machine's features are of one precision.
        own = b"" if encoder.precision == "fp32" else encoder.precision.encode()
        self._prefix = bytes.fromhex(encoder.digest) + own
        self._counting = threading.Lock()

    def embed(self, texts: Sequence[Text]) -> np.ndarray:
        """Pooled outputs, float32 [n, depth, width], rounded to float16 whether they were cached or not."""
        return self.embed_by(texts, self.encoder.embed)

    def embed_by(self, texts: Sequence[Text], build: Build) -> np.ndarray:
        """As `embed`; what is missing comes from `build`, which gives what the encoder gives."""
        features, missing = self._look_up(self._prefix, texts, build)
        with self._counting:
            self.misses += missing
            self.hits += len(texts) - missing
        return features

    def unread_share(self, texts: Sequence[Text]) -> float:
        """As the encoder's."""
        return self.encoder.unread_share(texts)

    def derive(self, purpose: str, texts: Sequence[Text], build: Build) -> np.ndarray:
        """Features [n, depth, width] that `build` makes of texts, kept as `embed` keeps the encoder's own. `purpose`
        names all that they depend on besides encoder and text."""
        prefix = self._prefix + xxhash.xxh3_64(purpose.encode("utf-8", "surrogatepass")).digest()
        return self._look_up(prefix, texts, build)[0]

    def holds(self, texts: Sequence[Text]) -> list[bool]:
        """Whether each text can be had without encoding it."""
        return self.cache.has_many([self._prefix + text_key(text) for text in texts])

    def _look_up(self, prefix: bytes, texts: Sequence[Text], build: Build) -> tuple[np.ndarray, int]:
        """The features, and how many of them had to be built."""
        keys = [prefix + text_key(text) for text in texts]
        unique = dict(zip(keys, texts, strict=True))
        kept = zip(unique, self.cache.get_many(list(unique)), strict=True)
        found = {key: value for key, value in kept if value is not None}
        missing = [key for key in unique if key not in found]
        for portion in portions(
            missing, lambda key: characters_of(unique[key]), texts=TRANSACTION_ENTRIES, characters=SAVED_CHARACTERS
        ):
            fresh = build([unique[key] for key in portion]).astype(np.float16)
            rows = [(key, row.tobytes()) for key, row in zip(portion, fresh, strict=True)]
            found.update(rows)
            self.cache.put_many(rows)
        return self._decode([found[key] for key in keys]), len(missing)

    def _decode(self, values: Sequence[bytes]) -> np.ndarray:
        flat = np.frombuffer(b"".join(values), dtype=np.float16)
        return flat.reshape(len(values), self.depth, self.width).astype(np.float32)


class _Peeking(Embedder):
    """Reads what the cache holds and leaves nothing there."""

    def __init__(self, cached: CachedEncoder) -> None:
        self.cached = cached
        self.digest, self.width, self.depth = cached.digest, cached.width, cached.depth

    def embed(self, texts: Sequence[Text]) -> np.ndarray:
        """As the cache's, of texts that are not needed again."""
        held = np.array(self.cached.holds(texts), dtype=bool)
        result = np.zeros((len(texts), self.depth, self.width), dtype=np.float32)
        for encoder, rows in ((self.cached, np.flatnonzero(held)), (self.cached.encoder, np.flatnonzero(~held))):
            if len(rows):
                result[rows] = encoder.embed([texts[row] for row in rows])
        return result


def peeking(embedder: Embedder) -> Embedder:
    """The encoder with its cache to read from, if there is one: for variants of texts that are in it."""
    return _Peeking(embedder) if isinstance(embedder, CachedEncoder) else embedder


def held_by(embedder: Embedder, texts: Sequence[Text]) -> list[bool]:
    """Whether each text can be had without encoding it; none without a cache."""
    return embedder.holds(texts) if isinstance(embedder, CachedEncoder) else [False] * len(texts)
