"""An export where machines share an object store and no disk: the trainer's is sent by a web process elsewhere."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from werkzeug.serving import make_server

from backend.application.services import build_services
from backend.cli.main import main
from backend.export.archive.shelf import Shelf
from backend.export.archive.stored import StoredExports
from backend.jobs import context as contexts
from backend.jobs.export.export import Attempt, Ended, export
from backend.jobs.export.run_directory import ARCHIVE, Result, write_result
from backend.jobs.learn.refit import refit
from backend.jobs.version_keeping import VersionKeeping
from backend.outcomes import JobOutcome
from backend.routes.app import create_app
from backend.settings.settings import Settings
from backend.workers.worker import build_worker
from tests.conftest import serving
from tests.support.object_stores import directory_url
from tests.support.rig import free_port
from tests.support.tiny import (  # noqa: F401
    KILLED,
    PROJECT,
    Letters,
    armed,
    letters,
    run_apart,
    start_apart,
    tiny_base,
    tiny_settings,
)

pytestmark = pytest.mark.slow

ADMIN = {"Authorization": "Bearer admin"}
PATH = f"/admin/projects/{PROJECT}/export"
ZIP = b"an archive of some bytes"


@pytest.fixture
def settings(redis_server: Any, tmp_path: Path, tiny_base: Path) -> Settings:  # noqa: F811
    """Those of the trainer's machine."""
    (tmp_path / "store").mkdir()
    url = redis_server.settings.effective_redis_url
    return tiny_settings(tmp_path / "trainer", url, tiny_base, artifacts_url=directory_url(tmp_path / "store"))


@pytest.fixture
def web(context: Any, tmp_path: Path) -> Iterator[Any]:
    """(method, path, body) -> the reply of a web process with a disk of its own."""
    own = context.settings.model_copy(update={"data_dir": tmp_path / "web"})
    own.data_dir.mkdir()
    services = build_services(own)
    client = create_app(services).test_client()
    yield lambda method, path=PATH, body=None: client.open(path, method=method, json=body, headers=ADMIN)
    services.stop()


def ask(context: Any) -> str:
    context.stores.projects.save_config(PROJECT, "<View/>")
    wanted = {"format": "onnx", "version": "v1", "control": "label", "int8": False, "accept_loss": False}
    record, created = context.stores.exports.request(PROJECT, "test", {**wanted, "texts": 20, "minutes": 1.0})
    assert created
    return str(record["id"])


def made(work: Any, run: str) -> Attempt:
    """An attempt whose process has just ended well."""
    record = work.stores.exports.find(PROJECT)
    assert record is not None and record["id"] == run
    attempt = Attempt(work, record, "me")
    directory = attempt.shelf.scratch(run)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ARCHIVE).write_bytes(ZIP)
    result = Result("v1", "label", "label-7.zip", hashlib.sha256(ZIP).hexdigest(), [], [])
    write_result(directory, result)
    return attempt


def keep(given: Settings, run: str) -> None:
    """In a process of its own."""
    attempt = made(contexts.context(), run)
    attempt.keep()
    attempt.end(JobOutcome.DONE)


@pytest.fixture
def served(context: Any, letters: Letters, services: Any) -> Iterator[str]:  # noqa: F811
    """A web process of a project that has learned, behind a port; its address."""
    letters.add(24)
    assert refit(PROJECT) == "published"
    port = free_port()
    with serving(make_server("127.0.0.1", port, create_app(services), threaded=True)):
        yield f"http://127.0.0.1:{port}"


def keep_working(given: Settings) -> None:
    """In a process of its own."""
    build_worker(given, "train").work(with_scheduler=False)


@pytest.mark.long
def test_the_command_takes_it_from_a_server_that_has_not_the_trainers_disk(
    context: Any, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.cli.export.model.current_settings", lambda: context.settings)
    monkeypatch.setattr("backend.client.follow.POLL_SECONDS", 0.2)
    trainer = context.settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})
    worker = start_apart(keep_working, trainer)
    try:
        given = ["export", "7", "-o", str(tmp_path / "model"), "--url", served, "--texts", "9", "--minutes", "2"]
        done = CliRunner().invoke(main, given)
        assert done.exit_code == 0, done.output
        assert "of 9 texts" in done.output
        assert "downloaded" in done.output and "answered alike" in done.output
        names = {path.name for path in (tmp_path / "model").iterdir()}
        assert names == {
            "README.md",
            "files.py",
            "model.json",
            "model.onnx",
            "parity.json",
            "predict.py",
            "terms.py",
            "tokenizer.json",
        }
        packed = CliRunner().invoke(main, ["export", "7", "-o", str(tmp_path / "model.zip"), "--url", served, "--json"])
        assert packed.exit_code == 0 and zipfile.is_zipfile(tmp_path / "model.zip"), packed.output
        full = CliRunner().invoke(main, ["export", "7", "-o", str(tmp_path / "model"), "--url", served])
        assert full.exit_code == 1 and "is there already" in full.output
    finally:
        worker.kill()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    for machine in (context.settings, trainer):
        assert not list(machine.exports_dir.rglob("*.zip")), "nothing of it stays on a disk"
    told = requests.get(f"{served}{PATH}", headers=ADMIN, timeout=60).json()
    assert len(told["archives"]) == 2
    VersionKeeping(context).sweep_exports()
    onward = requests.get(f"{served}{PATH}?format=onnx", headers=ADMIN, timeout=60)
    newest = told["archives"][0]
    assert onward.url.endswith(newest["path"]) and onward.headers["ETag"] == f'"{newest["sha256"]}"', "it is young"
    assert hashlib.sha256(onward.content).hexdigest() == newest["sha256"]


def test_a_trainer_that_is_killed_while_it_hands_over_announces_all_or_nothing(context: Any, web: Any) -> None:
    run = ask(context)
    stored = StoredExports(context.artifacts.store)
    assert run_apart(keep, armed(context.settings, "export.sent"), run) == KILLED
    assert any(key.endswith(".zip") for key in stored.store.walk("exports")) and stored.archives(PROJECT) == []
    assert web("GET").get_json()["archives"] == [] and web("GET", f"{PATH}/{run}").status_code == 404
    assert run_apart(keep, armed(context.settings, "export.announced"), run) == KILLED
    assert web("GET", f"{PATH}/{run}").data == ZIP, "whole, before the record says that it is done"
    assert run_apart(keep, context.settings, run) == 0
    told = web("GET").get_json()
    assert told["status"] == "done" and [one["id"] for one in told["archives"]] == [run]


def test_one_that_is_stopped_or_cancelled_meanwhile_is_not_announced(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ask(context)
    stored = StoredExports(context.artifacts.store)
    attempt = made(context, run)
    monkeypatch.setattr(context, "stopping", True)
    with pytest.raises(Ended, match="stopped"):
        attempt.keep()
    monkeypatch.setattr(context, "stopping", False)
    context.stores.exports.finish(PROJECT, run, JobOutcome.CANCELLED)
    with pytest.raises(Ended, match="cancelled"):
        attempt.keep()
    assert stored.archives(PROJECT) == []


def test_a_store_that_is_away_fails_the_export_when_the_wait_is_over(
    context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ask(context)
    monkeypatch.setattr("backend.jobs.redis_retry.GIVE_UP", 0.0)
    (tmp_path / "store").rmdir()
    (tmp_path / "store").write_text("no directory")
    monkeypatch.setattr(Attempt, "make", lambda self: made(self.work, self.id).keep())
    export(PROJECT, run)
    found = context.stores.exports.find(PROJECT)
    assert (found["status"], found["error"]) == ("failed", "artifacts_unavailable")
    assert Shelf(context.settings.exports_dir, PROJECT).archives() == []


def test_what_was_made_before_there_was_a_store_is_still_found(context: Any, web: Any, tmp_path: Path) -> None:
    old = ask(context)
    attempt = made(context, old)
    attempt.keep()
    about = StoredExports(context.artifacts.store).archives(PROJECT)[0]
    shelf = Shelf(tmp_path / "web" / "exports", PROJECT)
    shelf.directory.mkdir(parents=True, exist_ok=True)
    own = tmp_path / "own.zip"
    own.write_bytes(b"older")
    earlier = replace(about, id=f"{old[:-1]}0" if old[-1] != "0" else f"{old[:-1]}1", at=about.at - 60, bytes=5)
    shelf.put(own, earlier)
    assert [one["id"] for one in web("GET").get_json()["archives"]] == [old, earlier.id]
    with web("GET", f"{PATH}/{earlier.id}") as reply:
        assert reply.data == b"older"
    assert web("GET", f"{PATH}/{old}").data == ZIP
    assert web("GET", f"{PATH}/{old}x").status_code == 404
