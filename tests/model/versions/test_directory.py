"""Version directories: complete or absent, verified to the byte."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.errors import VersionError
from model.head.fit import fit_heads
from model.spec import Kind, TaskSpec, Text
from model.versions.directory import (
    Manifest,
    list_versions,
    read_heads,
    read_manifest,
    verify_version,
    version_order,
    version_path,
    write_version,
)
from model.versions.finetuned import FineTuned, TunedHead
from tests.support.encoders import WordsEncoder, choices, samples_of, spec_of

SPEC = spec_of(choices("cats", "dogs", name="topic"), choices("red", "blue", kind=Kind.MULTIPLE, name="tags"))
ROWS = [(f"{name} n{i}", name) for i in range(8) for name in ("cats", "dogs")]
PROBES: list[Text] = [("cats sleep",), ("dogs",), ("neither",)]
Change = Callable[[Path], object]


def manifest_of(version: str, **more: Any) -> Manifest:
    facts = {"parent": None, "kind": "head", "snapshot_seq": 5, "encoder_digest": "00" * 8, **more}
    return Manifest(version=version, project=7, spec=SPEC.to_json(), spec_digest=SPEC.digest, **facts)


@pytest.fixture(scope="module")
def heads() -> dict[str, Any]:
    return dict(fit_heads(SPEC, {"topic": samples_of(*ROWS)}, [], WordsEncoder()))


@pytest.fixture
def tuned(tmp_path: Path) -> FineTuned:
    weights = tmp_path / "tuned.safetensors"
    weights.write_bytes(b"weights" * 1000)
    random = np.random.default_rng(0)
    part = TunedHead(("cats", "dogs"), False, random.normal(size=(2, 48)), random.normal(size=2), 0.4, 1.5)
    return FineTuned(weights, {"topic": part})


def test_what_was_written_is_read_with_the_same_scores(tmp_path: Path, heads: dict[str, Any]) -> None:
    directory = write_version(tmp_path, manifest_of("v0.1", labels_seen={"topic": 16}), heads)
    manifest = verify_version(directory)
    restored, finetuned = read_heads(directory, None)
    assert finetuned is None
    assert directory == tmp_path / "7" / "v0.1"
    assert TaskSpec.from_json(manifest.spec) == SPEC
    assert (manifest.labels_seen, manifest.snapshot_seq) == ({"topic": 16}, 5)
    assert manifest.created_at
    assert "torch" in manifest.libraries
    assert list(restored) == list(heads)
    features = WordsEncoder().embed(PROBES)
    for name, head in heads.items():
        np.testing.assert_allclose(restored[name].scores(PROBES, features), head.scores(PROBES, features), atol=1e-6)


def test_a_fine_tuned_version_keeps_its_encoder(tmp_path: Path, heads: dict[str, Any], tuned: FineTuned) -> None:
    directory = write_version(tmp_path, manifest_of("v1", kind="finetune", finetuned="v1"), heads, tuned)
    assert (directory / "encoder.safetensors").read_bytes() == tuned.encoder_weights.read_bytes()
    _, part = read_heads(directory, directory / "encoder.safetensors")
    assert part is not None
    last = WordsEncoder().embed(PROBES)[:, -1]
    np.testing.assert_allclose(part.heads["topic"].scores(last), tuned.heads["topic"].scores(last), atol=1e-5)


def test_a_refit_of_a_fine_tuned_version_does_not_copy_the_encoder(
    tmp_path: Path, heads: dict[str, Any], tuned: FineTuned
) -> None:
    directory = write_version(tmp_path, manifest_of("v1.1", finetuned="v1"), heads, tuned)
    assert not (directory / "encoder.safetensors").exists()
    assert "encoder.safetensors" not in verify_version(directory).files


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace('"n": 16', '"n": 17'))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.safetensors", flip),
        ("model.safetensors", truncate),
        ("model.safetensors", Path.unlink),
        ("heads.json", edit),
        ("heads.json", Path.unlink),
        ("encoder.safetensors", flip),
        ("encoder.safetensors", Path.unlink),
    ],
)
def test_damage_is_found(name: str, change: Change, tmp_path: Path, heads: dict[str, Any], tuned: FineTuned) -> None:
    directory = write_version(tmp_path, manifest_of("v1", kind="finetune", finetuned="v1"), heads, tuned)
    before = (directory / name).read_bytes()
    change(directory / name)
    assert not (directory / name).exists() or (directory / name).read_bytes() != before
    with pytest.raises(VersionError, match=rf"{name} is missing or damaged"):
        verify_version(directory)


def test_damage_after_a_first_check_is_found(tmp_path: Path, heads: dict[str, Any]) -> None:
    directory = write_version(tmp_path, manifest_of("v0.1"), heads)
    verify_version(directory)
    os.utime(directory / "model.safetensors", (1, 1))  # so that the change is not in the same tick of the clock
    verify_version(directory)
    flip(directory / "model.safetensors")
    with pytest.raises(VersionError):
        verify_version(directory)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_manifest_is_no_manifest(text: str, tmp_path: Path, heads: dict[str, Any]) -> None:
    directory = write_version(tmp_path, manifest_of("v0.1"), heads)
    (directory / "manifest.json").write_text(text)
    with pytest.raises(VersionError, match="manifest cannot be read"):
        read_manifest(directory)
    assert list_versions(tmp_path, 7) == []


def test_a_version_is_never_overwritten(tmp_path: Path, heads: dict[str, Any]) -> None:
    directory = write_version(tmp_path, manifest_of("v0.1"), heads)
    before = (directory / "manifest.json").read_bytes()
    with pytest.raises(VersionError, match="immutable"):
        write_version(tmp_path, manifest_of("v0.1", seed=3), heads)
    assert (directory / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", ["../x", "v", "v1.2.3", "", "1", "v1.", "v1/..", "v-1", "v1 ", "v1\n", "V1"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="is not a version name"):
        version_path(tmp_path, 7, name)
    with pytest.raises(VersionError):
        write_version(tmp_path, manifest_of(name), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_crash_while_writing_leaves_nothing(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, heads: dict[str, Any]
) -> None:
    def crash(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", crash)
        with pytest.raises(type(error)):
            write_version(tmp_path, manifest_of("v0.1"), heads)
    assert list((tmp_path / "7").iterdir()) == []
    assert verify_version(write_version(tmp_path, manifest_of("v0.1"), heads)).version == "v0.1"


def test_a_version_holds_no_pickle(tmp_path: Path, heads: dict[str, Any]) -> None:
    directory = write_version(tmp_path, manifest_of("v0.1"), heads)
    assert {path.name for path in directory.iterdir()} == {"manifest.json", "heads.json", "model.safetensors"}
    assert set(json.loads((directory / "heads.json").read_text())["heads"]) == {"topic", "tags"}


def test_versions_are_listed_by_number_not_by_letter(tmp_path: Path) -> None:
    for version in ("v0.10", "v2", "v0.9", "v10", "v2.1"):
        write_version(tmp_path, manifest_of(version), {})
    assert [manifest.version for manifest in list_versions(tmp_path, 7)] == ["v0.9", "v0.10", "v2", "v2.1", "v10"]
    assert list_versions(tmp_path, 8) == []
    assert version_order("v2") < version_order("v2.1") < version_order("v10")
