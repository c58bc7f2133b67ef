"""Checkpoints in a store: what belongs together, the newest attempt's, and never in the way of a training."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from backend.artifacts.object_store import ObjectStore
from backend.artifacts.runs import Saver, StoredRun, beside
from backend.artifacts.stored_versions import StoredVersions
from tests.support.object_stores import S3Server


@pytest.fixture
def run(stored: StoredVersions) -> StoredRun:
    return StoredRun(stored.store, "job-1")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    for name, text in (("run.json", "{}"), ("part0.json", "[0]"), ("part1.safetensors", "step 25")):
        (folder / name).write_text(text)
    for name in ("encoder.safetensors", "training.log", ".part2.safetensors.tmp", "result.json"):
        (folder / name).write_text("not saved")
    return folder


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_another_machine_gets_what_was_saved_last(run: StoredRun, directory: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert not run.restore(other, 0)
    assert run.save(directory, 1)
    (directory / "part1.safetensors").write_text("step 50")
    assert run.save(directory, 1)
    assert run.restore(other, 0)
    assert content(other) == {"run.json": "{}", "part0.json": "[0]", "part1.safetensors": "step 50"}
    assert len(run.store.walk("runs/job-1")) == 4, "what was replaced is gone"
    run.delete()
    assert run.store.walk("runs/job-1") == {}


def test_a_machine_whose_own_is_as_new_keeps_its_own(run: StoredRun, directory: Path, tmp_path: Path) -> None:
    run.save(directory, 2)
    (directory / "part1.safetensors").write_text("step 75")
    assert not run.restore(directory, 2)
    assert content(directory)["part1.safetensors"] == "step 75"
    assert run.restore(directory, 1) and content(directory)["part1.safetensors"] == "step 25"


def test_an_earlier_attempt_that_is_still_alive_replaces_nothing(run: StoredRun, directory: Path) -> None:
    assert run.save(directory, 2)
    assert not run.save(directory, 1)
    assert [path.name for path in directory.glob(".saving*")] == []


def test_a_damaged_checkpoint_is_left_out_and_the_rest_is_used(run: StoredRun, directory: Path, tmp_path: Path) -> None:
    run.save(directory, 1)
    key = next(key for key in run.store.walk("runs/job-1") if key.endswith("part1.safetensors"))
    run.store.put_many({key: b"other bytes"})
    other = tmp_path / "other"
    other.mkdir()
    assert run.restore(other, 0)
    assert content(other) == {"run.json": "{}", "part0.json": "[0]"}


@pytest.mark.parametrize("index", [b"{", b"[]", b'{"attempt": 3, "files": {"../x": {"sha256": "", "size": 1}}}'])
def test_an_index_that_is_none_is_no_checkpoint(run: StoredRun, directory: Path, index: bytes) -> None:
    run.store.put_many({"runs/job-1/index.json": index})
    assert not run.restore(directory, 0)
    assert run.save(directory, 1)


def test_a_store_that_is_away_keeps_nobody_from_training(s3: S3Server, directory: Path) -> None:
    run = StoredRun(ObjectStore(s3.url), "job-1")
    s3.door.is_open = False
    saver = Saver(run, directory, 1)
    began = time.monotonic()
    for _ in range(100):
        saver.look()
    assert time.monotonic() - began < 20, "a hundred tries would take longer"
    s3.door.is_open = True
    saver.last()
    assert (saved := run.saved()) is not None and saved.attempt == 1


def test_what_is_waited_for_beside_is_given_up_when_the_look_says_so() -> None:
    done = threading.Event()
    assert beside(lambda: None, lambda: 7) == 7

    def look() -> None:
        raise KeyError("stopped")

    with pytest.raises(KeyError):
        beside(look, done.wait)
    done.set()
    with pytest.raises(TimeoutError):
        beside(lambda: None, lambda: (_ for _ in ()).throw(TimeoutError()))
