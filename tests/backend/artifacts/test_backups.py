"""Backups to, from and of an object store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backend.artifacts.artifacts import Artifacts
from backend.artifacts.files import bring_file, send_file
from backend.artifacts.object_store import RANGE_BYTES, ObjectStore
from backend.backup.backup import make_backup
from backend.backup.restore import restore_backup
from backend.cli.main import main
from backend.errors import ArtifactsUnavailable, BadRequest, Conflict, NotFound
from backend.jobs.learn.refit import refit
from backend.settings.settings import Settings
from tests.conftest import RedisServer, running_redis
from tests.support.object_stores import S3Server
from tests.support.tiny import PROJECT, Letters, tiny_settings


@pytest.fixture
def settings(redis_server: Any, tmp_path: Path, tiny_base: Path, store_url: str) -> Settings:
    url = redis_server.settings.effective_redis_url
    return tiny_settings(tmp_path / "learner", url, tiny_base, artifacts_url=store_url)


@pytest.fixture
def empty_redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def test_a_file_goes_there_and_comes_back(store_url: str, tmp_path: Path) -> None:
    path, back = tmp_path / "a.tar", tmp_path / "b.tar"
    path.write_bytes(bytes(range(256)) * (RANGE_BYTES // 100))
    send_file(path, f"{store_url}/backups/a.tar")
    bring_file(f"{store_url}/backups/a.tar", back)
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(NotFound):
        bring_file(f"{store_url}/backups/b.tar", back)


@pytest.mark.parametrize("url", ["s3://bucket/", "s3://key:secret@bucket/a.tar", "s3://a.tar", "file://a/b.tar"])
def test_an_address_that_is_none_is_refused_without_what_it_holds(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        bring_file(url, tmp_path / "a.tar")
    assert "secret" not in caught.value.message


def test_a_backup_holds_versions_that_only_the_store_has_and_restores_into_another_one(
    context: Any,
    letters: Letters,
    settings: Settings,
    store_url: str,
    tmp_path: Path,
    empty_redis: RedisServer,
) -> None:
    letters.add(8)
    refit(PROJECT)
    letters.add(8)
    refit(PROJECT)
    place = f"{store_url}/backups/all.tar"
    elsewhere = settings.model_copy(update={"data_dir": tmp_path / "empty"})
    counts = make_backup(elsewhere, place)
    assert counts == {"projects": 1, "examples": 16, "versions": 2}
    assert not elsewhere.models_dir.exists(), "the cache is not filled by a backup"
    changes = {
        "data_dir": tmp_path / "other",
        "redis_url": empty_redis.settings.effective_redis_url,
        "artifacts_url": f"{store_url}-other",
    }
    other = settings.model_copy(update=changes)
    assert restore_backup(other, place) == counts
    target = Artifacts(other, frozenset)
    assert target.versions.names(PROJECT) == ["v0.1", "v0.2"] and target.versions.exists(PROJECT, "v0.2")


def test_a_restore_replaces_other_versions_in_the_store_only_when_told_to(
    context: Any,
    letters: Letters,
    settings: Settings,
    tmp_path: Path,
    store_url: str,
    empty_redis: RedisServer,
) -> None:
    letters.add(8)
    refit(PROJECT)
    file = tmp_path / "all.tar"
    make_backup(settings, file)
    own = context.artifacts.versions.manifest(PROJECT, "v0.1")
    context.artifacts.store.put_many({f"versions/{PROJECT}/v0.1/manifest.json": b"{}"})
    changes = {"data_dir": tmp_path / "other", "redis_url": empty_redis.settings.effective_redis_url}
    other = settings.model_copy(update=changes)
    with pytest.raises(Conflict, match=r"another v0\.1"):
        restore_backup(other, file)
    restore_backup(other, file, force=True)
    assert context.artifacts.versions.manifest(PROJECT, "v0.1") == own


def test_a_store_that_is_away_fails_the_command_in_one_line(
    s3: S3Server, redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_server.settings.effective_redis_url)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    s3.door.is_open = False
    with pytest.raises(ArtifactsUnavailable):
        send_file(Path(__file__), f"{s3.url}/a.tar")
    done = CliRunner().invoke(main, ["backup", f"{s3.url}/a.tar"])
    assert done.exit_code == 1 and "object store" in done.output and done.output.count("\n") == 1
    s3.door.is_open = True
    done = CliRunner().invoke(main, ["backup", f"{s3.url}/a.tar"])
    assert done.exit_code == 0 and f"written to {s3.url}/a.tar" in done.output
    assert ObjectStore(s3.url).facts("a.tar") is not None
