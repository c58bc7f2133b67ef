"""Finished exports in an object store: found whole or not at all, sent in parts, and swept by the store's clock."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from backend.artifacts import object_store
from backend.artifacts.object_store import ObjectStore
from backend.artifacts.retention import YOUNG_SECONDS
from backend.errors import ArtifactsUnavailable, NotFound
from backend.export.archive.shelf import ARCHIVE_DAYS, Archive
from backend.export.archive.stored import StoredExports, StoredFile
from model.errors import DamagedArtifact
from tests.backend.artifacts.conftest import s3, s3_server, store_url  # noqa: F401
from tests.support.object_stores import S3Server

BYTES = bytes(range(256)) * 40


@pytest.fixture
def stored(store_url: str) -> StoredExports:  # noqa: F811
    return StoredExports(ObjectStore(store_url))


def about(number: int, data: bytes = BYTES, project: int = 7) -> Archive:
    digest, size = hashlib.sha256(data).hexdigest(), len(data)
    made = f"export-{project}-{number:010x}"
    return Archive(
        made, project, "onnx", "v1", "label", False, False, "x.zip", size, digest, 1000.0 + number, [{"texts": 20}], []
    )


def keep(stored: StoredExports, folder: Path, number: int, data: bytes = BYTES) -> Archive:
    send(stored, folder, number, data)
    stored.announce(about(number, data))
    return about(number, data)


def send(stored: StoredExports, folder: Path, number: int, data: bytes = BYTES) -> None:
    (folder / "archive.zip").write_bytes(data)
    stored.send(folder / "archive.zip", about(number, data))


def read_all(file: StoredFile, size: int = 1000) -> bytes:
    found = b""
    while piece := file.read(size):
        assert len(piece) <= size
        found += piece
    return found


def later(stored: StoredExports, seconds: float) -> float:
    """The store's clock then."""
    return max(facts.modified for facts in stored.store.walk("").values()) + seconds


def test_it_is_found_when_it_is_announced_and_sent_in_parts(
    stored: StoredExports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "RANGE_BYTES", 1024)
    send(stored, tmp_path, 1)
    elsewhere = StoredExports(stored.store)
    assert elsewhere.archives(7) == []
    with pytest.raises(NotFound):
        elsewhere.open(7, about(1).id)
    stored.announce(about(1))
    assert elsewhere.archives(7) == [], "looked through a moment ago"
    assert elsewhere.archives(7, about(1).id) == [about(1)], "but one that is known to be done is looked for"
    found, file = elsewhere.open(7, about(1).id)
    assert found == about(1) and read_all(file) == BYTES and file.read(10) == b""
    for other in ("export-8-0000000001", "../../versions", "export-7-zz"):
        with pytest.raises(NotFound):
            elsewhere.open(7, other)


def test_the_first_of_two_attempts_stays(stored: StoredExports, tmp_path: Path) -> None:
    first = keep(stored, tmp_path, 1)
    keep(stored, tmp_path, 1, BYTES + b"another")
    found, file = stored.open(7, first.id)
    assert found == first and read_all(file) == BYTES


def test_one_that_is_damaged_ends_before_its_length(
    stored: StoredExports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "RANGE_BYTES", 4096)
    made = keep(stored, tmp_path, 1)
    [key] = [key for key in stored.store.walk("exports") if key.endswith(".zip")]
    stored.store.put_many({key: BYTES[:-1] + b"!"})
    _, file = stored.open(7, made.id)
    found = file.read(4096) + file.read(4096)
    assert found == BYTES[:8192]
    with pytest.raises(DamagedArtifact):
        file.read(4096)
    stored.store.put_many({key: BYTES[:100]})
    with pytest.raises(NotFound):
        stored.open(7, made.id)


@pytest.mark.parametrize("store_url", ["file"], indirect=True)
@pytest.mark.parametrize(
    "wrong",
    [{"project": 8}, {"sha256": "../../x"}, {"name": '"; evil="x.zip'}, {"bytes": -1}, {"id": "export-7-0000000002"}],
)
def test_what_the_store_says_is_read_with_suspicion(
    stored: StoredExports, tmp_path: Path, wrong: dict[str, object]
) -> None:
    made = keep(stored, tmp_path, 1)
    key = f"exports/7/{made.id}/about.json"
    stored.store.put_many({key: json.dumps(asdict(replace(made, **wrong))).encode()})  # type: ignore[arg-type]
    assert stored.archives(7) == []
    with pytest.raises(NotFound):
        stored.open(7, made.id)


def test_five_are_kept_for_a_week_and_halves_for_an_hour(stored: StoredExports, tmp_path: Path) -> None:
    for number in range(7):
        keep(stored, tmp_path, number)
    send(stored, tmp_path, 100)
    half = about(100).id
    assert stored.sweep(7, later(stored, 0)) == [], "somebody may be taking one"
    gone = stored.sweep(7, later(stored, YOUNG_SECONDS + 60), busy=half)
    assert len(gone) == 2 and half not in gone
    assert stored.sweep(7, later(stored, YOUNG_SECONDS + 60)) == [half]
    assert len(StoredExports(stored.store).archives(7)) == 5 and stored.projects() == [7]
    assert len(stored.sweep(7, later(stored, ARCHIVE_DAYS * 86400 + 60))) == 5
    assert stored.store.walk("exports") == {} and stored.projects() == []


@pytest.mark.parametrize("store_url", ["s3"], indirect=True)
def test_a_store_that_is_away_hides_nothing_and_is_told(
    stored: StoredExports,
    tmp_path: Path,
    s3: S3Server,  # noqa: F811
) -> None:
    made = keep(stored, tmp_path, 1)
    assert stored.archives(7) == [made]
    s3.door.is_open = False
    with pytest.raises(ArtifactsUnavailable):
        stored.open(7, made.id)
    assert stored.archives(7, "export-7-00000000ff") == [made]
    with pytest.raises(ArtifactsUnavailable):
        send(stored, tmp_path, 2)
