"""Row 25: the disk is full. What is being made fails with the reason and leaves nothing; what serves goes on."""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from backend.jobs.train.train import make_request, train
from backend.settings.settings import Settings
from model.failpoints import arm
from model.features.cache import FeatureCache
from model.training.request import REQUEST, write_json
from model.versions.directory import verify_version, version_path
from tests.support.tiny import PROJECT, Letters, disarmed, letters, run_apart, settings, tiny_base  # noqa: F401

BLOCK = b"x" * 4096


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB with nothing free."""
    folder = tmp_path / "full"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Take what is free."""
    try:
        with (folder / "ballast").open("ab", buffering=0) as file:
            while True:
                file.write(BLOCK)
    except OSError as error:
        assert error.errno == errno.ENOSPC


def live(context: Any) -> str:
    version = str(context.stores.versions.live(PROJECT))
    verify_version(version_path(context.settings.models_dir, PROJECT, version))
    return version


def test_row_25_a_refit_on_a_full_disk_fails_with_the_reason_and_is_tried_again(
    context: Any, letters: Letters, full_disk: Path
) -> None:
    letters.add(8)
    assert refit(PROJECT) == "published"
    before, root = live(context), context.settings.models_dir / str(PROJECT)
    aside = root.with_name("aside")
    root.rename(aside)
    root.symlink_to(full_disk)
    (full_disk / before).symlink_to(aside / before)
    fill(full_disk)
    letters.add(1)
    assert refit(PROJECT) == "failed"
    assert live(context) == before
    assert sorted(path.name for path in full_disk.iterdir()) == sorted(["ballast", before]), "nothing half made"
    trouble = context.stores.failures.describe(PROJECT)["refit"]
    assert trouble["failures"] == 1 and "No space left" in trouble["error"]
    assert "waits" in refit(PROJECT)
    (full_disk / "ballast").unlink()
    context.stores.failures.release(PROJECT, "refit")
    assert refit(PROJECT) == "published" and context.stores.examples.pending(PROJECT) == 0
    assert context.stores.failures.describe(PROJECT) == {}


def learn_on_a_full_disk(settings: Settings, run: Path) -> None:
    """The training process, whose disk is full when it writes its version."""
    from model.training.__main__ import main

    with (run / "said").open("w") as file, redirect_stdout(file):
        status = main([str(run), "full:version.write"])
    raise SystemExit(status)


def test_row_25_a_training_on_a_full_disk_fails_with_the_reason_and_leaves_nothing(
    context: Any, letters: Letters
) -> None:
    letters.add(8)
    run = context.settings.runs_dir / "run"
    run.mkdir(parents=True)
    write_json(run / REQUEST, make_request(context.settings, context.stores, PROJECT))
    assert run_apart(learn_on_a_full_disk, context.settings, run) == 1
    assert "No space left" in json.loads((run / "said").read_text().splitlines()[-1])["error"]
    assert list((context.settings.models_dir / str(PROJECT)).iterdir()) == []


def test_row_25_a_run_that_cannot_be_written_down_fails_with_the_reason(context: Any, letters: Letters) -> None:
    letters.add(8)
    job = str(context.stores.jobs.request_training(PROJECT, by="test", force=True)[0]["id"])
    context.settings.runs_dir.write_text("no directory")
    assert train(job) == "failed" and context.stores.jobs.get(job)["message"]
    assert context.stores.jobs.running(PROJECT) is None


def test_row_25_without_room_for_a_cache_every_text_is_encoded_again(full_disk: Path) -> None:
    fill(full_disk)
    cache = FeatureCache(full_disk / "features", 16)
    cache.put_many([(b"k" * 16, BLOCK)])
    assert (cache.get_many([b"k" * 16]), cache.has_many([b"k" * 16]), len(cache)) == ([None], [False], 0)
    cache.close()


def test_row_25_a_cache_whose_disk_fills_up_goes_on_as_an_empty_one(full_disk: Path) -> None:
    cache = FeatureCache(full_disk, 16)
    cache.put_many([(b"k" * 16, BLOCK)])
    fill(full_disk)
    for number in range(20):
        cache.put_many([(number.to_bytes(16, "big"), BLOCK)])
    assert len(cache.get_many([b"k" * 16])) == 1
    cache.close()


def test_row_25_a_checkpoint_that_cannot_be_written_is_left_out(tmp_path: Path, disarmed: None) -> None:
    import torch

    from model.training.checkpoint import save_checkpoint

    arm("full:checkpoint.before")
    weight = torch.nn.Parameter(torch.zeros(2))
    save_checkpoint(tmp_path / "part0.safetensors", 25, {"w": weight}, torch.optim.AdamW([weight]))
    assert list(tmp_path.iterdir()) == []
