"""Rows 43 to 49: versions go through an object store that is away, damaged, full or cleaned up at the wrong moment."""

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
    scheduler = Scheduler(elsewhere)

    def is_restored() -> bool:
        scheduler.tick()
        return live(context) == before

    wait_until(is_restored)
    assert PROJECT in elsewhere.stores.projects.projects()
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
    context: Any, letters: Letters, s3: S3Server
) -> None:
    from backend.jobs import version_keeping as module

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


def move_to(context: Any, settings: Settings, name: str, **more: Any) -> None:
    """From now on the jobs of this process are those of another machine, whose disk is empty."""
    from backend.artifacts.artifacts import open_artifacts

    context.settings = settings.model_copy(update={"data_dir": settings.data_dir.with_name(name), **more})
    context.settings.data_dir.mkdir(exist_ok=True)
    context.artifacts = open_artifacts(context.settings, frozenset)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("store_url", ["s3"], indirect=True)
def test_row_49_another_machine_goes_on_with_a_training_from_its_checkpoint(
    context: Any, settings: Settings, letters: Letters
) -> None:
    from backend.jobs.train.train import train
    from model.versions.directory import list_versions

    letters.add(40)
    stores = context.stores
    job = str(stores.jobs.request_training(PROJECT, by="test", force=True)[0]["id"])
    move_to(context, settings, "gpu-a", finetune_steps=30, failpoint="checkpoint.after@25")
    assert train(job) == "crashed"
    first = context.settings.runs_dir / job
    store = context.artifacts.store
    assert store.names("runs") == [job]
    stores.failures.release(PROJECT, "train")
    move_to(context, settings, "gpu-b", finetune_steps=30, failpoint="training.begin")
    assert train(job) == "crashed", "it dies before its first step: what it has is what it fetched"
    second = context.settings.runs_dir / job
    name = "part0.safetensors"
    assert (second / name).read_bytes() == (first / name).read_bytes()
    assert str(settings.data_dir.with_name("gpu-b")) in (second / "run.json").read_text(encoding="utf-8")
    stores.failures.release(PROJECT, "train")
    move_to(context, settings, "gpu-c", finetune_steps=30)
    assert train(job) in ("done", "rejected")
    assert [m.version for m in list_versions(context.settings.models_dir, PROJECT)] == ["v1"]
    assert context.artifacts.versions.names(PROJECT) == ["v1"], "a challenger is kept, too"
    assert store.names("runs") == [], "nothing of it is left"


def test_row_46_a_version_that_an_admin_goes_back_to_while_it_is_deleted_stays(
    context: Any, settings: Settings, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.application.projects import rollback_to
    from backend.artifacts.artifacts import Artifacts
    from backend.artifacts.retention import YOUNG_SECONDS, Retention
    from backend.errors import NotFound
    from backend.jobs.version_keeping import VersionKeeping

    for _ in range(4):
        letters.add(8)
        refit(PROJECT)
    web = settings.model_copy(update={"data_dir": settings.data_dir.with_name("web")})
    elsewhere = Artifacts(web, frozenset)
    context.settings = settings.model_copy(update={"keep_versions": 2})
    keeping = VersionKeeping(context)
    stores, asked = context.stores, []
    monkeypatch.setattr(Retention, "now", lambda _: time.time() + 2 * YOUNG_SECONDS)

    def in_use(project: int, read: Any) -> set[str]:
        """At the second question v0.1 has lost its manifest, and an admin goes back to it; who has just come too late
        sees so, and who pinned before gets it back."""
        asked.append(1)
        if len(asked) == 2:
            with pytest.raises(NotFound):
                rollback_to(web, stores.versions, PROJECT, "v0.1", elsewhere)
            assert stores.versions.pinned(PROJECT) is None
            stores.versions.pin(PROJECT, "v0.1")
        return {str(stores.versions.live(PROJECT)), stores.versions.pinned(PROJECT) or ""}

    monkeypatch.setattr(keeping, "in_use", in_use)
    monkeypatch.setattr(keeping, "_hand_over", lambda *_: None)
    assert keeping.collect(PROJECT) == ["v0.2"]
    assert context.artifacts.versions.names(PROJECT) == ["v0.1", "v0.3", "v0.4"]
    rollback_to(web, stores.versions, PROJECT, "v0.1", elsewhere)
    assert (live(context), stores.versions.pinned(PROJECT)) == ("v0.1", "v0.1")
    assert (web.models_dir / str(PROJECT) / "v0.1" / "manifest.json").is_file()
