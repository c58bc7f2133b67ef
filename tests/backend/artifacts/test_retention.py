"""What is deleted from a store, what never is, and who wins when somebody pins a version that is being deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.artifacts.layout import manifest_key
from backend.artifacts.retention import YOUNG_SECONDS, Retention
from backend.artifacts.stored_versions import StoredVersions
from model.failpoints import arm
from tests.support.object_stores import write_plain_version

Push = Callable[..., Path]


@pytest.fixture
def push(stored: StoredVersions, tmp_path: Path) -> Push:
    def do(version: str, finetuned: str | None = None) -> Path:
        directory = write_plain_version(
            tmp_path / "here", 7, version, {"heads.json": version.encode()}, finetuned=finetuned
        )
        stored.push(directory, 7, version)
        return directory

    return do


@pytest.fixture
def retention(stored: StoredVersions) -> Retention:
    """Of a store in which everything is two hours old."""
    found = Retention(stored, newest=2)
    found.now = lambda: time.time() + 2 * YOUNG_SECONDS  # type: ignore[method-assign]
    return found


def test_old_versions_go_and_those_in_use_stay_with_their_encoders(
    stored: StoredVersions, retention: Retention, push: Push
) -> None:
    push("v1")
    push("v2")
    for refit in range(1, 6):
        push(f"v1.{refit}", "v1")
    push("v3")
    push("v3.1", "v3")
    swept = retention.sweep(7, lambda: {"v1.2"})
    assert swept.deleted == ("v1.1", "v1.3", "v1.4", "v1.5", "v2") and swept.halves == ()
    assert stored.names(7) == ["v1", "v1.2", "v3", "v3.1"]
    assert retention.sweep(7, lambda: {"v1.2"}).deleted == ()


def test_what_is_younger_than_an_hour_stays(stored: StoredVersions, push: Push) -> None:
    for refit in range(1, 6):
        push(f"v0.{refit}")
    assert Retention(stored, newest=2).sweep(7, set).deleted == ()
    assert len(stored.names(7)) == 5


def test_half_of_a_version_is_swept_when_nobody_writes_it_any_more(
    stored: StoredVersions, retention: Retention, tmp_path: Path, push: Push, disarmed: None
) -> None:
    push("v0.1")
    directory = write_plain_version(tmp_path / "cut off", 7, "v0.2", {"heads.json": b"{}"})
    arm("raise:artifacts.before_manifest")
    with pytest.raises(RuntimeError):
        stored.push(directory, 7, "v0.2")
    assert Retention(stored, newest=2).sweep(7, set).halves == (), "it may be being written"
    assert retention.sweep(7, set).halves == ("v0.2",)
    assert stored.names(7) == ["v0.1"]


def test_files_that_no_manifest_lists_are_swept(stored: StoredVersions, retention: Retention, push: Push) -> None:
    push("v0.1")
    key = f"versions/7/v0.1/{'0' * 64}/heads.json"
    stored.store.put_many({key: b"of the loser of two"})
    assert retention.sweep(7, set).halves == ("v0.1",)
    assert stored.store.facts(key) is None and stored.exists(7, "v0.1")


def test_a_version_that_is_pinned_while_it_is_deleted_stays(
    stored: StoredVersions, retention: Retention, push: Push, tmp_path: Path
) -> None:
    push("v1")
    push("v1.1", "v1")
    for name in ("v2", "v3", "v4"):
        push(name)
    asked: list[int] = []

    def in_use() -> set[str]:
        """From the second question on the version is pinned: after its encoder's manifest was deleted."""
        asked.append(1)
        return {"v4"} if len(asked) == 1 else {"v4", "v1.1"}

    assert retention.sweep(7, in_use).deleted == ("v2",)
    assert stored.names(7) == ["v1", "v1.1", "v3", "v4"]
    stored.fetch(7, "v1", tmp_path / "there" / "7" / "v1")
    stored.fetch(7, "v1.1", tmp_path / "there" / "7" / "v1.1")


def test_killed_in_the_middle_of_a_deletion_half_of_it_is_swept_later(
    stored: StoredVersions, retention: Retention, push: Push, disarmed: None
) -> None:
    for name in ("v1", "v2", "v3"):
        push(name)
    arm("raise:artifacts.retire")
    with pytest.raises(RuntimeError):
        retention.sweep(7, set)
    arm("")
    assert not stored.exists(7, "v1") and stored.names(7) == ["v1", "v2", "v3"]
    assert retention.sweep(7, set).halves == ("v1",)
    assert stored.names(7) == ["v2", "v3"]


def test_encoders_stay_where_a_manifest_cannot_be_read(
    stored: StoredVersions, retention: Retention, push: Push
) -> None:
    push("v1")
    push("v1.1", "v1")
    push("v2")
    push("v3")
    stored.store.put_many({manifest_key(7, "v1.1"): b"{"})
    assert retention.sweep(7, lambda: {"v1.1"}).deleted == ()


def test_checkpoints_of_trainings_that_are_over_go(stored: StoredVersions, retention: Retention) -> None:
    stored.store.put_many({"runs/a/index.json": b"{}", "runs/a/0/part0.json": b"", "runs/b/index.json": b"{}"})
    assert Retention(stored, newest=2).sweep_runs(lambda job: True) == []
    assert retention.sweep_runs(lambda job: job == "a") == ["a"]
    assert stored.store.names("runs") == ["b"]
