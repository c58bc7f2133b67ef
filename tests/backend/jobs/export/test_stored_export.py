"""An export where machines share an object store and no disk: the trainer's is sent by a web process elsewhere."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.application.services import build_services
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
from tests.support.object_stores import directory_url
from tests.support.tiny import (  # noqa: F401
    KILLED,
    PROJECT,
    Letters,
    armed,
    letters,
    run_apart,
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
    services.stores.close()


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


def test_a_web_process_without_the_trainers_disk_sends_it(context: Any, letters: Letters, web: Any) -> None:  # noqa: F811
    letters.add(24)
    assert refit(PROJECT) == "published"
    run = web("POST", body={"texts": 20, "minutes": 1}).get_json()["id"]
    assert web("GET", f"{PATH}?format=onnx").status_code == 409, "it is not there yet"
    build_worker(context.settings, "train").work(burst=True, with_scheduler=False)
    told = web("GET").get_json()
    assert (told["id"], told["status"]) == (run, "done"), told
    [archive] = told["archives"]
    assert web("GET", f"{PATH}?format=onnx").headers["Location"].endswith(archive["path"])
    sent = web("GET", archive["path"])
    assert sent.content_length == archive["bytes"] == len(sent.data)
    assert hashlib.sha256(sent.data).hexdigest() == archive["sha256"] == sent.get_etag()[0]
    with zipfile.ZipFile(io.BytesIO(sent.data)) as packed:
        assert packed.testzip() is None
    assert not list(context.settings.exports_dir.rglob("*.zip")), "nothing of it stays with the trainer"
    assert web("POST", body={"texts": 20, "minutes": 1}).get_json()["new"] is False
    VersionKeeping(context).sweep_exports()
    assert web("GET", archive["path"]).status_code == 200, "it is young"


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
