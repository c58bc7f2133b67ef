"""The feature cache: exact, bounded, shared between processes, and never mixing encoders."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from model.features.cache import CachedEncoder, FeatureCache
from model.spec import Text
from model.texts import text_key
from tests.support.encoders import WordsEncoder

TEXTS: list[Text] = [("one",), ("two words",), ("",), ("a", "pair"), ("naïve 日本語 🙂",)]
OPEN = Callable[[int], FeatureCache]

CHILD = """
import sys
from pathlib import Path
from model.features.cache import CachedEncoder, FeatureCache
from tests.support.encoders import WordsEncoder
encoder = CachedEncoder(WordsEncoder(), FeatureCache(Path(sys.argv[1]), 4))
vectors = encoder.embed([("from the parent",), ("from the child",)])
print(encoder.hits, encoder.misses, vectors.tobytes().hex())
"""


@pytest.fixture
def open_cache(tmp_path: Path) -> Iterator[OPEN]:
    opened: list[FeatureCache] = []

    def build(max_mb: int) -> FeatureCache:
        opened.append(FeatureCache(tmp_path / "features", max_mb))
        return opened[-1]

    yield build
    for cache in opened:
        cache.close()


@pytest.fixture
def cached(open_cache: OPEN) -> CachedEncoder:
    return CachedEncoder(WordsEncoder(), open_cache(4))


def seen(encoder: CachedEncoder) -> list[Text]:
    assert isinstance(encoder.encoder, WordsEncoder)
    return encoder.encoder.seen


def test_a_hit_returns_exactly_what_the_miss_returned(cached: CachedEncoder) -> None:
    miss = cached.embed(TEXTS)
    hit = cached.embed(TEXTS)
    assert miss.dtype == hit.dtype == np.float32
    assert np.array_equal(miss, hit)
    assert (cached.hits, cached.misses) == (5, 5)


def test_what_is_cached_is_close_to_what_was_encoded(cached: CachedEncoder) -> None:
    np.testing.assert_allclose(cached.embed(TEXTS), WordsEncoder().embed(TEXTS), rtol=1e-3, atol=1e-3)


def test_no_text_is_encoded_twice(cached: CachedEncoder) -> None:
    cached.embed([("a",), ("b",), ("a",)])
    cached.embed([("b",), ("c",)])
    assert sorted(seen(cached)) == [("a",), ("b",), ("c",)]


def test_rows_come_in_the_order_of_the_texts(cached: CachedEncoder) -> None:
    cached.embed([("b",), ("d",)])
    together = cached.embed([("a",), ("b",), ("c",), ("d",), ("a",)])
    alone = np.concatenate([cached.embed([(name,)]) for name in "abcda"])
    assert np.array_equal(together, alone)


def test_no_texts_give_an_empty_array(cached: CachedEncoder) -> None:
    assert cached.embed([]).shape == (0, cached.depth, cached.width)


def test_segments_are_part_of_the_key() -> None:
    assert len({text_key(text) for text in [("ab",), ("a", "b"), ("b", "a"), ("a\nb",), ("a b",)]}) == 5


def test_a_full_cache_goes_on_working(open_cache: OPEN, tmp_path: Path) -> None:
    cached = CachedEncoder(WordsEncoder(), open_cache(1))
    batches = [[(f"text {batch} {row}",) for row in range(250)] for batch in range(40)]
    for batch in batches:
        cached.embed(batch)
    assert (tmp_path / "features" / "data.mdb").stat().st_size <= 1 << 20
    assert 0 < len(cached.cache) < 10_000
    for batch in (batches[0], batches[-1]):
        np.testing.assert_allclose(cached.embed(batch), WordsEncoder().embed(batch), rtol=1e-3, atol=5e-3)


def test_a_batch_larger_than_the_cache_is_still_answered(open_cache: OPEN) -> None:
    cached = CachedEncoder(WordsEncoder(), open_cache(1))
    texts: list[Text] = [(f"text {row}",) for row in range(8000)]
    assert cached.embed(texts).shape == (8000, cached.depth, cached.width)


def test_encoders_of_different_digests_do_not_mix(open_cache: OPEN) -> None:
    cache = open_cache(4)
    one = CachedEncoder(WordsEncoder("11" * 8), cache)
    two = CachedEncoder(WordsEncoder("22" * 8, scale=3.0), cache)
    first, second = one.embed(TEXTS), two.embed(TEXTS)
    np.testing.assert_allclose(second, 3 * first, rtol=1e-2, atol=1e-2)
    assert np.array_equal(one.embed(TEXTS), first)
    assert two.misses == len(TEXTS)


def test_encoders_of_one_digest_share(open_cache: OPEN) -> None:
    cache = open_cache(4)
    CachedEncoder(WordsEncoder(), cache).embed(TEXTS)
    again = CachedEncoder(WordsEncoder(), cache)
    again.embed(TEXTS)
    assert (again.hits, again.misses) == (len(TEXTS), 0)


def test_the_cache_outlives_its_process(open_cache: OPEN) -> None:
    first = open_cache(4)
    CachedEncoder(WordsEncoder(), first).embed(TEXTS)
    first.close()
    again = CachedEncoder(WordsEncoder(), open_cache(4))
    again.embed(TEXTS)
    assert again.misses == 0


def test_two_processes_share_the_cache(cached: CachedEncoder, tmp_path: Path) -> None:
    mine = cached.embed([("from the parent",)])
    command = [sys.executable, "-c", CHILD, str(tmp_path / "features")]
    root = Path(__file__).parents[3]
    output = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=60).stdout
    hits, misses, vectors = output.split()
    assert (hits, misses) == ("1", "1")
    both = cached.embed([("from the parent",), ("from the child",)])
    assert both.tobytes().hex() == vectors
    assert np.array_equal(both[:1], mine)
    assert seen(cached) == [("from the parent",)]


class Interrupted(WordsEncoder):
    """Reads a number of texts, then is stopped."""

    left = 0

    def embed(self, texts: Sequence[Text]) -> np.ndarray:
        self.left -= len(texts)
        if self.left < 0:
            raise TimeoutError
        return super().embed(texts)


def test_who_is_stopped_in_the_midst_of_long_texts_goes_on_from_there(open_cache: OPEN) -> None:
    texts: list[Text] = [(f"text {number} " * 2_000,) for number in range(20)]
    encoder, cache = Interrupted(), open_cache(4)
    rounds = 0
    while rounds < 9 and not all(CachedEncoder(encoder, cache).holds(texts)):
        rounds, encoder.left = rounds + 1, 9
        with contextlib.suppress(TimeoutError):
            CachedEncoder(encoder, cache).embed(texts)
    assert rounds == 3
    assert sorted(encoder.seen) == sorted(texts), "none was read twice"


def test_threads_that_open_one_folder_at_once_share_it(tmp_path: Path) -> None:
    """py-lmdb lets two threads that open at once wait for ever, and refuses to open a file twice."""
    caches: list[FeatureCache] = []
    start = threading.Barrier(4)

    def open_one(folder: Path) -> None:
        start.wait()
        caches.append(FeatureCache(folder, 4))

    for round_ in range(25):
        folders = [tmp_path / str(round_), tmp_path / str(round_), tmp_path / str(round_ + 100), tmp_path / "common"]
        threads = [threading.Thread(target=open_one, args=(folder,), daemon=True) for folder in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive(), "it hangs"
    for number, cache in enumerate(caches):
        cache.put_many([(b"key%d" % number, b"value")])
        assert cache.get_many([b"key%d" % number]) == [b"value"]


def test_a_second_cache_of_a_folder_sees_what_the_first_wrote_and_outlives_it(open_cache: OPEN) -> None:
    first, second = open_cache(4), open_cache(4)
    first.put_many([(b"key", b"value")])
    first.close()
    assert second.get_many([b"key"]) == [b"value"]
    assert first.get_many([b"key"]) == [None]
    assert len(open_cache(4)) == 1, "nothing was begun anew"


@pytest.mark.parametrize("kept", [0, 3, 8192, 8192 + 4096])
def test_a_file_cut_short_is_begun_anew(open_cache: OPEN, tmp_path: Path, kept: int) -> None:
    """As a copy that did not end leaves it; reading it through LMDB's map would kill the process."""
    cache = open_cache(4)
    cache.put_many([(b"key%d" % number, bytes(3000)) for number in range(300)])
    cache.close()
    os.truncate(tmp_path / "features" / "data.mdb", kept)
    again = open_cache(4)
    assert len(again) == 0
    again.put_many([(b"key", b"value")])
    assert again.get_many([b"key"]) == [b"value"]
