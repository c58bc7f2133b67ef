"""Which versions are deleted, and which are needed yet."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from model.versions.directory import collect_garbage, list_versions, write_version
from tests.model.versions.test_directory import manifest_of

DAY_AGO = time.time() - 86_400


def age(path: Path) -> Path:
    os.utime(path, (DAY_AGO, DAY_AGO))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """v0.1, v0.2, v1 (fine-tuned), v1.1 over it, v2 (fine-tuned), v2.1 and v2.2 over that; all a day old."""
    for version in ("v0.1", "v0.2"):
        age(write_version(tmp_path, manifest_of(version), {}))
    for version in ("v1", "v1.1", "v2", "v2.1", "v2.2"):
        kind = "head" if "." in version else "finetune"
        age(write_version(tmp_path, manifest_of(version, kind=kind, finetuned=version.split(".")[0]), {}))
    return tmp_path


def left(root: Path) -> list[str]:
    return [manifest.version for manifest in list_versions(root, 7)]


def test_the_live_version_and_its_encoder_are_kept(root: Path) -> None:
    deleted = collect_garbage(root, 7, {"v1.1"}, newest=1)
    assert left(root) == ["v1", "v1.1", "v2", "v2.2"]
    assert deleted == ["v0.1", "v0.2", "v2.1"]


def test_the_newest_versions_are_kept(root: Path) -> None:
    collect_garbage(root, 7, set(), newest=2)
    assert left(root) == ["v2", "v2.1", "v2.2"]


def test_nothing_is_deleted_while_it_is_young(root: Path) -> None:
    os.utime(root / "7" / "v0.2")
    collect_garbage(root, 7, set(), newest=1)
    assert left(root) == ["v0.2", "v2", "v2.2"]


def test_a_young_refit_keeps_its_old_encoder(root: Path) -> None:
    os.utime(root / "7" / "v1.1")
    collect_garbage(root, 7, set(), newest=1)
    assert left(root) == ["v1", "v1.1", "v2", "v2.2"]


def test_a_second_collection_finds_nothing(root: Path) -> None:
    collect_garbage(root, 7, {"v0.1"}, newest=1)
    assert collect_garbage(root, 7, {"v0.1"}, newest=1) == []
    assert sorted(path.name for path in (root / "7").iterdir()) == ["v0.1", "v2", "v2.2"]


def test_old_scratch_is_removed_and_fresh_scratch_is_not(root: Path) -> None:
    old, fresh, trash = (root / "7" / name for name in (".tmp-v3-11", ".tmp-v3-12", ".trash-v1-13"))
    for path in (old, fresh, trash):
        path.mkdir()
        (path / "model.safetensors").write_bytes(b"half")
    age(old)
    collect_garbage(root, 7, set(), newest=9)
    assert (old.exists(), fresh.exists(), trash.exists()) == (False, True, False)
    assert len(left(root)) == 7


def test_a_project_without_versions_is_no_trouble(tmp_path: Path) -> None:
    assert collect_garbage(tmp_path, 7, set(), newest=1) == []
