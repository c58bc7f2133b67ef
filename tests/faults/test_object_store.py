"""Rows 43 to 45: versions go through an object store that is away, damaged, full or cleaned up at the wrong moment."""

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
