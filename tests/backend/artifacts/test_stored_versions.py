"""Versions in a store: whole or not there, the same to the byte, and never another one's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.artifacts.layout import VERSION_NAME, body_key, prefix_of, read_listing
from backend.artifacts.object_store import RANGE_BYTES, ObjectStore
from backend.artifacts.stored_versions import StoredVersions
from backend.errors import ArtifactConflict, ArtifactsUnavailable
from model.errors import DamagedArtifact, MissingArtifact
from model.failpoints import arm
from model.versions.directory import NAME_PATTERN
from tests.support.object_stores import S3Server, write_plain_version

LARGE = bytes(range(256)) * ((5 * RANGE_BYTES) // 256 + 3)
BODIES = {"model.safetensors": b"heads" * 100, "heads.json": b"{}", "encoder/config.json": b"[]"}


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return write_plain_version(tmp_path / "here", 7, "v1.2", BODIES)


def content(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_what_is_pushed_is_fetched_to_the_byte(stored: StoredVersions, version: Path, tmp_path: Path) -> None:
    assert stored.push(version, 7, "v1.2")
    assert not stored.push(version, 7, "v1.2")
    target = tmp_path / "there" / "7" / "v1.2"
    stored.fetch(7, "v1.2", target)
    assert content(target) == content(version)
    assert [path.name for path in target.parent.iterdir()] == ["v1.2"]
    assert (stored.projects(), stored.names(7), stored.exists(7, "v1.2")) == ([7], ["v1.2"], True)


def test_a_large_file_goes_and_comes_in_parts(stored: StoredVersions, tmp_path: Path) -> None:
    stored.push(write_plain_version(tmp_path / "here", 7, "v2", {"encoder.safetensors": LARGE}), 7, "v2")
    target = tmp_path / "there" / "7" / "v2"
    stored.fetch(7, "v2", target)
    assert hashlib.sha256((target / "encoder.safetensors").read_bytes()).digest() == hashlib.sha256(LARGE).digest()


def test_nothing_is_there_before_the_manifest(
    stored: StoredVersions, version: Path, tmp_path: Path, disarmed: None
) -> None:
    arm("raise:artifacts.before_manifest")
    with pytest.raises(RuntimeError):
        stored.push(version, 7, "v1.2")
    assert not stored.exists(7, "v1.2")
    assert stored.names(7) == ["v1.2"], "the name is taken"
    with pytest.raises(MissingArtifact):
        stored.fetch(7, "v1.2", tmp_path / "there")
    arm("")
    assert stored.push(version, 7, "v1.2"), "the next attempt goes on"


def test_two_learners_that_write_one_version_at_the_same_time(stored: StoredVersions, tmp_path: Path) -> None:
    mine = write_plain_version(tmp_path / "a", 7, "v1.3", BODIES, note="mine")
    other = {**BODIES, "heads.json": b"{ }"}
    theirs = write_plain_version(tmp_path / "b", 7, "v1.3", other, note="theirs")

    def push(directory: Path) -> str:
        try:
            return str(stored.push(directory, 7, "v1.3"))
        except ArtifactConflict:
            return "conflict"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(push, [mine, theirs]))
    assert outcomes == ["True", "conflict"]
    target = tmp_path / "there" / "7" / "v1.3"
    stored.fetch(7, "v1.3", target)
    assert content(target) in (content(mine), content(theirs))


Damage = Callable[[ObjectStore, str], None]


def flip(store: ObjectStore, key: str) -> None:
    data = store.get(key)
    store.put_many({key: bytes([data[0] ^ 1]) + data[1:]})


def shorten(store: ObjectStore, key: str) -> None:
    store.put_many({key: store.get(key)[:-1]})


def remove(store: ObjectStore, key: str) -> None:
    store.delete([key])


@pytest.mark.parametrize("damage", [flip, shorten, remove])
@pytest.mark.parametrize("large", [False, True])
def test_a_damaged_object_is_refused_and_named(
    stored: StoredVersions, tmp_path: Path, damage: Damage, large: bool
) -> None:
    bodies = {**BODIES, "model.safetensors": LARGE} if large else BODIES
    version = write_plain_version(tmp_path / "here", 7, "v1.2", bodies)
    stored.push(version, 7, "v1.2")
    listing = read_listing((version / "manifest.json").read_bytes(), 7, "v1.2")
    body = next(body for body in listing.bodies if body.name == "model.safetensors")
    damage(stored.store, body_key(prefix_of(7, "v1.2"), body))
    with pytest.raises(DamagedArtifact, match=r"model\.safetensors is (damaged|missing)"):
        stored.fetch(7, "v1.2", tmp_path / "there" / "7" / "v1.2")
    assert list((tmp_path / "there").rglob("*")) == [tmp_path / "there" / "7"], "nothing is left of it"


@pytest.mark.parametrize(
    "manifest",
    [
        b"{",
        b"[]",
        b'{"version": "v1.3", "project": 7, "files": {}}',
        b'{"version": "v1.2", "project": 7, "files": {"../../x": {"sha256": "%s", "size": 1}}}' % (b"0" * 64),
        b'{"version": "v1.2", "project": 7, "files": {"/etc/x": {"sha256": "%s", "size": 1}}}' % (b"0" * 64),
        b'{"version": "v1.2", "project": 7, "files": {"x": {"sha256": "../y", "size": 1}}}',
        b'{"version": "v1.2", "project": 7, "files": {"x": {"sha256": "%s", "size": -1}}}' % (b"0" * 64),
        b'{"version": "v1.2", "project": 7, "finetuned": "../v1", "files": {}}',
    ],
)
def test_a_manifest_that_leads_elsewhere_is_refused(stored: StoredVersions, tmp_path: Path, manifest: bytes) -> None:
    stored.store.put_many({"versions/7/v1.2/manifest.json": manifest})
    with pytest.raises(DamagedArtifact, match="manifest"):
        stored.fetch(7, "v1.2", tmp_path / "there" / "7" / "v1.2")


def test_another_version_of_that_name_on_this_machine_is_replaced(
    stored: StoredVersions, version: Path, tmp_path: Path
) -> None:
    stored.push(version, 7, "v1.2")
    stale = write_plain_version(tmp_path / "there", 7, "v1.2", {"heads.json": b"old"}, note="of a life before")
    stored.fetch(7, "v1.2", stale)
    assert content(stale) == content(version)


def test_machines_that_fetch_at_the_same_time_do_not_hurt_one_another(
    stored: StoredVersions, version: Path, tmp_path: Path
) -> None:
    stored.push(version, 7, "v1.2")
    target = tmp_path / "there" / "7" / "v1.2"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: stored.fetch(7, "v1.2", target), range(16)))
    assert content(target) == content(version)
    assert [path.name for path in target.parent.iterdir()] == ["v1.2"]


def test_a_store_that_is_away_is_one_typed_error(s3: S3Server, version: Path, tmp_path: Path) -> None:
    stored = StoredVersions(ObjectStore(s3.url))
    stored.push(version, 7, "v1.2")
    s3.door.is_open = False
    for call in (
        lambda: stored.push(version, 7, "v1.2"),
        lambda: stored.exists(7, "v1.2"),
        lambda: stored.names(7),
        lambda: stored.fetch(7, "v1.2", tmp_path / "there"),
        lambda: stored.delete(7, "v1.2"),
    ):
        with pytest.raises(ArtifactsUnavailable) as caught:
            call()
        assert caught.value.code == "artifacts_unavailable"
    assert stored.store.watch.now.is_away
    s3.door.is_open = True
    assert stored.exists(7, "v1.2")
    assert not stored.store.watch.now.is_away


def test_a_bucket_that_is_not_there_cannot_be_written_to(s3: S3Server, version: Path) -> None:
    with pytest.raises(ArtifactsUnavailable):
        StoredVersions(ObjectStore("s3://no-such-bucket/models")).push(version, 7, "v1.2")


def test_the_name_of_a_version_is_that_of_its_directory() -> None:
    assert VERSION_NAME.pattern == NAME_PATTERN.pattern
