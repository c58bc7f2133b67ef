"""Before anything is written: the packages, and room on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from backend.errors import MissingPackage, NoSpace
from backend.export.wish import Format
from backend.jobs.export.make import LEAST_FREE_BYTES, file_name, make_archive, needed_bytes
from backend.jobs.export.run_directory import Request
from tests.support.tiny import PROJECT, settings, tiny_base  # noqa: F401

REQUEST = Request(PROJECT, "onnx", "v1", "label", False, False, 200, 10.0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_a_disk_that_is_too_small_is_told_with_both_sizes(
    context: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    free = needed_bytes(context.settings, REQUEST) - 1
    assert free > LEAST_FREE_BYTES, "the weights count"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))  # type: ignore[attr-defined]
    with pytest.raises(NoSpace, match=rf"has {free / 1e6:.0f} MB free.*takes about"):
        make_archive(context.settings, directory, REQUEST, lambda line, *_: said.append(line))
    assert said == ["looking for room"] and list(directory.iterdir()) == []


def test_a_package_that_lacks_is_told_with_its_command(
    context: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="pip install onnx`"):
        make_archive(context.settings, directory, REQUEST, lambda line, *_: None)
    assert list(directory.iterdir()) == []


def test_a_name_leads_nowhere_whatever_a_control_is_called() -> None:
    assert file_name(7, '../../e"t\nc', "v1.2", Format.ONNX) == "e-t-c-7-v1.2-onnx"
    assert file_name(7, "種類", "v1", Format.MLFLOW) == "model-7-v1-mlflow"
