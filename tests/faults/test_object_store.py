"""Rows 43 to 48: versions go through an object store that is away, damaged, full or cleaned up at the wrong moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.artifacts.layout import body_key, prefix_of, read_listing
from backend.jobs.learn.refit import refit
from backend.serving.registry import Registry
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.telemetry.metrics import Metrics
from tests.backend.artifacts.conftest import s3, s3_server, store_url  # noqa: F401
from tests.support.object_stores import S3Server
from tests.support.tiny import PROJECT, Letters, letters, tiny_base, tiny_settings  # noqa: F401


@pytest.fixture
def settings(redis_server: Any, tmp_path: Path, tiny_base: Path, store_url: str) -> Settings:
    """Those of the learner's machine."""
    url = redis_server.settings.effective_redis_url
    return tiny_settings(tmp_path / "learner", url, tiny_base, artifacts_url=store_url)


def wait_until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came to be so"
        time.sleep(0.05)


@contextmanager
def web_host(settings: Settings, name: str) -> Iterator[Registry]:
    """What serves on another machine: nothing is shared with the learner's but Redis and the store."""
    own = settings.model_copy(update={"data_dir": settings.data_dir.with_name(name)})
    own.data_dir.mkdir(exist_ok=True)
    stores = Stores(own)
    registry = Registry(own, stores.projects, stores.versions, Metrics())
    registry.start()
    try:
        wait_until(lambda: not registry.not_ready)
        yield registry
    finally:
        registry.stop()
        stores.close()


def live(context: Any) -> str:
    return str(context.stores.versions.live(PROJECT))


def test_every_machine_serves_what_one_has_learned(context: Any, settings: Settings, letters: Letters) -> None:
    letters.add(8)
    assert refit(PROJECT) == "published"
    with web_host(settings, "web-a") as first, web_host(settings, "web-b") as second:
        for _ in range(3):
            wait_until(lambda: {first.version_of(PROJECT), second.version_of(PROJECT)} == {live(context)})
            letters.add(1)
            assert refit(PROJECT) == "published"
        wait_until(lambda: first.version_of(PROJECT) == second.version_of(PROJECT) == live(context))


@pytest.mark.parametrize("store_url", ["s3"], indirect=True)
def test_row_43_a_store_that_is_away_when_a_version_is_published(
    context: Any, settings: Settings, letters: Letters, s3: S3Server
) -> None:
    letters.add(8)
    refit(PROJECT)
    with web_host(settings, "web") as web:
        wait_until(lambda: web.version_of(PROJECT) == live(context))
        before = live(context)
        s3.door.is_open = False
        letters.add(1)
        assert refit(PROJECT) == "failed"
        trouble = context.stores.failures.describe(PROJECT)["refit"]
        assert "object store" in trouble["error"] and trouble["retry_in"] > 0
        assert (live(context), web.version_of(PROJECT)) == (before, before), "what was there serves on"
        assert context.stores.examples.count(PROJECT) == 9, "no label is lost"
        assert web.stale() == {}
        s3.door.is_open = True
        context.stores.failures.release(PROJECT, "refit")
        assert refit(PROJECT) == "published"
        wait_until(lambda: web.version_of(PROJECT) == live(context))
        assert context.stores.failures.describe(PROJECT) == {}


@pytest.mark.parametrize("store_url", ["s3"], indirect=True)
def test_row_44_a_store_that_is_away_when_a_version_is_fetched(
    context: Any, settings: Settings, letters: Letters, s3: S3Server
) -> None:
    letters.add(8)
    refit(PROJECT)
    before = live(context)
    with web_host(settings, "web") as web:
        wait_until(lambda: web.version_of(PROJECT) == before)
    letters.add(1)
    assert refit(PROJECT) == "published"
    s3.door.is_open = False
    with web_host(settings, "web") as web:  # starts while the store is away, with the version before on its disk
        wait_until(lambda: bool(web.stale()))
        assert list(web.stale()) == [f"{PROJECT} {live(context)}"]
        s3.door.is_open = True
        wait_until(lambda: web.version_of(PROJECT) == live(context))
        assert web.stale() == {}


def test_row_45_a_corrupt_object_is_refused_and_the_version_before_serves_on(
    context: Any, settings: Settings, letters: Letters
) -> None:
    letters.add(8)
    refit(PROJECT)
    before = live(context)
    with web_host(settings, "web") as web:
        wait_until(lambda: web.version_of(PROJECT) == before)
        web._versions.live_of = lambda projects: dict.fromkeys(projects, before)  # type: ignore[method-assign]
        letters.add(1)
        refit(PROJECT)
        now, store = live(context), context.artifacts.store
        text = context.artifacts.versions.manifest(PROJECT, now)
        body = next(one for one in read_listing(text, PROJECT, now).bodies if one.name == "model.safetensors")
        key = body_key(prefix_of(PROJECT, now), body)
        whole = store.get(key)
        store.put_many({key: whole[:-1] + bytes([whole[-1] ^ 1])})
        del web._versions.live_of  # type: ignore[method-assign]
        wait_until(lambda: bool(web.stale()))
        assert "damaged in the object store" in web.stale()[f"{PROJECT} {now}"]
        assert web.version_of(PROJECT) == before
        store.put_many({key: whole})
        wait_until(lambda: web.version_of(PROJECT) == now)


def test_row_47_redis_loses_everything_and_the_store_gives_the_pointer_back(
    context: Any, settings: Settings, letters: Letters
) -> None:
    from backend.jobs.context import Context
    from backend.processes.scheduler import Scheduler

    letters.add(8)
    refit(PROJECT)
    letters.add(1)
    refit(PROJECT)
    before = live(context)
    context.stores._redis.flushall()
    elsewhere = Context(settings.model_copy(update={"data_dir": settings.data_dir.with_name("scheduler")}))
    Scheduler(elsewhere).tick()
    assert PROJECT in elsewhere.stores.projects.projects()
    Scheduler(elsewhere).tick()
    assert live(context) == before
    assert elsewhere.stores.versions.allocate(PROJECT, tuned=0) not in ("v0.1", before), "no name is given twice"
    elsewhere.stores.close()


def test_the_day_that_a_store_is_set_the_scheduler_hands_over_what_is_worth_keeping(
    context: Any, settings: Settings, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.jobs import version_keeping as module

    artifacts, context.artifacts = context.artifacts, None
    letters.add(8)
    refit(PROJECT)
    assert artifacts.versions.projects() == []
    context.artifacts = artifacts
    monkeypatch.setattr(module, "PUSH_AGE_SECONDS", 0.0)
    module.VersionKeeping(context).collect(PROJECT)
    with web_host(settings, "web") as web:
        wait_until(lambda: web.version_of(PROJECT) == live(context))


@pytest.mark.parametrize("store_url", ["s3"], indirect=True)
def test_row_43_when_the_store_is_back_what_waited_for_it_is_done_at_once(
    context: Any, letters: Letters, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.jobs import version_keeping as module

    monkeypatch.setattr(module, "PROBE_SECONDS", 0.0)
    keeping = module.VersionKeeping(context)
    letters.add(8)
    s3.door.is_open = False
    assert refit(PROJECT) == "failed"
    keeping.notice_return()
    assert context.stores.failures.waits(PROJECT, "refit") > 0
    s3.door.is_open = True
    keeping.notice_return()
    assert context.stores.failures.waits(PROJECT, "refit") == 0
    assert refit(PROJECT) == "published"


def test_row_48_a_full_disk_on_a_web_host_keeps_the_version_before_and_is_told(
    context: Any, settings: Settings, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from backend.artifacts.stored_versions import StoredVersions

    letters.add(8)
    refit(PROJECT)
    before = live(context)
    with web_host(settings, "web") as web:
        wait_until(lambda: web.version_of(PROJECT) == before)
        whole = StoredVersions.get_bodies

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(StoredVersions, "get_bodies", full)
        letters.add(1)
        refit(PROJECT)
        wait_until(lambda: bool(web.stale()))
        assert "No space left" in web.stale()[f"{PROJECT} {live(context)}"]
        assert web.version_of(PROJECT) == before
        assert web.prefetch is not None
        left = [path.name for path in web.prefetch.artifacts.cache.root.glob("*/.tmp-*")]
        assert left == [], "nothing half-written takes the room"
        monkeypatch.setattr(StoredVersions, "get_bodies", whole)
        wait_until(lambda: web.version_of(PROJECT) == live(context))
