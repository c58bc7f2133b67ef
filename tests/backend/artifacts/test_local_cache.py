"""A machine's own versions: the least recently used go first, never what is in use or nowhere else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from backend.artifacts.local_cache import RECENT_SECONDS, UNSTORED_SECONDS, LocalCache
from tests.support.object_stores import write_plain_version

KIB = b"x" * 1024


@pytest.fixture
def cache(tmp_path: Path) -> LocalCache:
    """Five versions of 10 KiB, v0.1 used longest ago; 35 KiB are allowed."""
    for refit in range(1, 6):
        directory = write_plain_version(tmp_path, 7, f"v0.{refit}", {"model.safetensors": KIB * 10})
        used = time.time() - 2 * RECENT_SECONDS + refit
        os.utime(directory, (used, used))
    return LocalCache(tmp_path, 35 * 1024)


def test_the_least_recently_used_go_first(cache: LocalCache) -> None:
    cache.note_use(7, "v0.1")
    assert cache.trim([], lambda *_: True) == ["7 v0.2", "7 v0.3"]
    assert sorted(cache.names(7)) == ["v0.1", "v0.4", "v0.5"] and cache.bytes < cache.limit_bytes


def test_what_is_in_use_stays_with_its_encoder_however_full_it_is(cache: LocalCache, tmp_path: Path) -> None:
    cache.limit_bytes = 0
    write_plain_version(tmp_path, 7, "v1.1", {"heads.json": b"{}"}, finetuned="v0.2")
    cache.trim([(7, "v1.1"), (7, "v0.4")], lambda *_: True)
    assert sorted(cache.names(7)) == ["v0.2", "v0.4", "v1.1"] and cache.bytes > cache.limit_bytes


def test_what_the_store_does_not_hold_stays_for_a_day(cache: LocalCache, tmp_path: Path) -> None:
    assert cache.trim([], lambda project, version: version != "v0.1") == ["7 v0.2", "7 v0.3"]
    old = time.time() - UNSTORED_SECONDS - 1
    cache.limit_bytes = 15 * 1024
    os.utime(tmp_path / "7" / "v0.1", (old, old))
    assert cache.trim([], lambda *_: False) == ["7 v0.1"]


def test_what_was_used_a_moment_ago_stays(cache: LocalCache) -> None:
    for name in cache.names(7):
        cache.note_use(7, name)
    assert cache.trim([], lambda *_: True) == []


def test_leftovers_of_dead_processes_go(cache: LocalCache, tmp_path: Path) -> None:
    for name in (".tmp-v0.9-1-2", ".trash-v0.9-1-2"):
        (tmp_path / "7" / name).mkdir()
        os.utime(tmp_path / "7" / name, (0, 0))
    (tmp_path / "7" / ".tmp-v0.8-1-2").mkdir()
    cache.trim([], lambda *_: True)
    assert [path.name for path in (tmp_path / "7").glob(".*")] == [".tmp-v0.8-1-2"]
