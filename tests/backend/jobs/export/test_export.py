"""An export on the server: asked for over HTTP, made by a real worker in a process of its own, sent in pieces."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.export.archive import shelf as shelving
from backend.export.archive.shelf import Archive, Shelf
from backend.jobs.export.export import export
from backend.jobs.learn.refit import refit
from backend.processes.scheduler import Scheduler
from backend.redis_access.job_kinds import EXPORT
from backend.settings.settings import Settings
from backend.store.work.exports import EXPORT_ATTEMPTS
from backend.workers.worker import build_worker
from model.export.parity import load_program
from tests.backend.export.leaks import require_clean
from tests.support.tiny import (  # noqa: F401
    KILLED,
    PROJECT,
    Letters,
    armed,
    letters,
    run_apart,
    settings,
    start_apart,
    tiny_base,
)

pytestmark = pytest.mark.slow

ADMIN = {"Authorization": "Bearer admin"}
PATH = f"/admin/projects/{PROJECT}/export"


@pytest.fixture
def learned(letters: Letters, context: Any) -> Any:  # noqa: F811
    letters.add(24)
    assert refit(PROJECT) == "published"
    return context


@pytest.fixture
def web(learned: Any, client: Any) -> Any:
    """(method, path, body) -> the reply to an admin."""

    def call(method: str, path: str = PATH, body: Any = None, whole: bool = True) -> Any:
        return client.open(path, method=method, json=body, headers=ADMIN, buffered=whole)

    return call


def work_off(given: Settings) -> None:
    """What a trainer does, until its queue is empty."""
    build_worker(given, "train").work(burst=True, with_scheduler=False)


def one_attempt(given: Settings, run: str) -> None:
    """In a process of its own."""
    export(PROJECT, run)


def ask(context: Any, **wanted: Any) -> str:
    given = {"format": "onnx", "version": context.stores.versions.live(PROJECT), "control": "label"}
    more = {"int8": False, "accept_loss": False, "texts": 20, "minutes": 1.0}
    record, created = context.stores.exports.request(PROJECT, "test", {**given, **more})
    assert created
    return str(record["id"])


def state(context: Any) -> Any:
    return context.stores.exports.find(PROJECT)


def put(context: Any) -> None:
    """A finished archive of a few bytes."""
    shelf = Shelf(context.settings.exports_dir, PROJECT)
    shelf.directory.mkdir(parents=True)
    (shelf.directory / "new").write_bytes(b"archive")
    digest = hashlib.sha256(b"archive").hexdigest()
    about = ("export-7-0123456789", 7, "onnx", "v1", "label", False, False, "label.zip", 7, digest, time.time(), [], [])
    shelf.put(shelf.directory / "new", Archive(*about))


def free(context: Any) -> None:
    """As if LEASE_SECONDS had passed since the worker died."""
    context.stores._redis.delete(f"understudy:{{p{PROJECT}}}:export:lease")


def lose_queues(context: Any) -> None:
    """RQ forgets everything."""
    for key in context.stores._redis.scan_iter("rq:*"):
        context.stores._redis.delete(key)


def tick_twice(context: Any) -> None:
    """Two looks of the scheduler, a minute apart."""
    scheduler, still = Scheduler(context), context.stores.exports.still
    scheduler.tick()
    clock = still.clock
    still.clock = lambda: clock() + 60
    assert scheduler.tick()
    scheduler.leave()


def wait_until(reached: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 100
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.mark.long
def test_it_is_made_once_told_of_and_sent_whole(learned: Any, web: Any, tmp_path: Path) -> None:
    assert web("GET").get_json() == {"id": "", "status": "none", "message": "", "error": "", "archives": []}
    assert web("GET", f"{PATH}?format=onnx").status_code == 404
    first = web("POST", body={"int8": True, "accept_loss": True})
    assert first.status_code == 202 and first.get_json()["new"] and first.get_json()["status"] == "queued"
    second = web("POST", body={})
    assert second.get_json()["id"] == first.get_json()["id"] and second.get_json()["new"] is False
    assert web("GET", f"{PATH}?format=onnx").status_code == 409, "it is not there yet"
    work_off(learned.settings)
    told = web("GET").get_json()
    assert told["status"] == "done", told
    [archive] = told["archives"]
    assert archive["parity"][0]["agreement"] == 1 and archive["bytes"] > 1000 and archive["int8"]
    onward = web("GET", f"{PATH}?format=onnx")
    assert onward.status_code == 303 and onward.headers["Location"].endswith(archive["path"])
    sent = web("GET", archive["path"])
    assert sent.status_code == 200 and sent.content_length == archive["bytes"] == len(sent.data)
    assert hashlib.sha256(sent.data).hexdigest() == archive["sha256"] == sent.get_etag()[0]
    assert archive["name"] in sent.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(sent.data)) as packed:
        names = packed.namelist()
        assert len({name.partition("/")[0] for name in names}) == 1
        assert all(not name.startswith("/") and ".." not in name for name in names)
        assert all(stat.S_ISREG(entry.external_attr >> 16) for entry in packed.infolist())
        packed.extractall(tmp_path)
    made = tmp_path / names[0].partition("/")[0]
    require_clean(learned, made, tmp_path)
    live = learned.live_model(PROJECT, archive["version"])
    given = load_program(made).Model(made)([{"text": "a b c"}, {"text": "e f"}])
    answers = live.predict([{"text": "a b c"}, {"text": "e f"}])
    assert [one["labels"] for one in given] == [list(found[0].chosen) for found in answers]
    again = web("POST", body={"int8": True, "accept_loss": True}).get_json()
    assert again["new"] is False and "there already" in again["message"]
    listed = [entry["action"] for entry in learned.stores.audit.read(20)]
    assert listed.count("export") >= 2
    assert not list((learned.settings.exports_dir / str(PROJECT)).glob("export-*/*")), "nothing is left of the work"


def test_what_cannot_be_asked_for_is_refused(learned: Any, web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for body, status, field in (
        ({"format": "pickle"}, 400, "format"),
        ({"version": "../../v1"}, 400, "version"),
        ({"version": "v9"}, 404, "version"),
        ({"control": "mood"}, 400, "control"),
        ({"int8": "yes"}, 400, "int8"),
        ({"texts": 3}, 400, "texts"),
        ({"minutes": 1e9}, 400, "minutes"),
        ({"push": True}, 400, "push"),
    ):
        reply = web("POST", body=body)
        assert reply.status_code == status and field in str(reply.get_json()), body
    assert web("POST", f"{PATH}/cancel").status_code == 404
    for odd in ("export-7-0123456789", "..%2f..%2fmodels", "export-7-zz"):
        assert web("GET", f"{PATH}/{odd}").status_code in (400, 404)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    lacking = web("POST", body={"format": "onnx"})
    assert lacking.status_code == 501 and lacking.get_json()["error"] == "missing_package"
    assert "pip install onnx" in lacking.get_json()["message"]


def test_an_archive_is_sent_to_few_at_a_time_and_not_often(learned: Any, web: Any) -> None:
    put(learned)
    [archive] = web("GET").get_json()["archives"]
    held = [web("GET", archive["path"], whole=False) for _ in range(2)]
    full = web("GET", archive["path"])
    assert full.status_code == 429 and full.get_json()["error"] == "rate_limited" and full.headers["Retry-After"]
    for reply in held:
        reply.close()
    assert web("GET", archive["path"]).status_code == 200
    codes = [web("GET", archive["path"]).status_code for _ in range(12)]
    assert codes[-1] == 429


@pytest.mark.long
def test_a_killed_worker_costs_an_attempt_and_three_are_enough(learned: Any) -> None:
    run = ask(learned)
    assert run_apart(one_attempt, armed(learned.settings, f"export.begin@{PROJECT}"), run) == KILLED
    assert state(learned)["status"] == "running"
    assert export(PROJECT, run) == "held by another worker", "until it is known to be dead"
    lose_queues(learned)
    free(learned)
    tick_twice(learned)
    work_off(learned.settings)
    assert state(learned)["status"] == "done" and state(learned)["attempts"] == 2
    run = ask(learned)
    for _ in range(EXPORT_ATTEMPTS):
        assert run_apart(one_attempt, armed(learned.settings, "export.begin"), run) == KILLED
        free(learned)
    work_off(learned.settings)
    assert state(learned)["status"] == "failed" and "died 3 times" in state(learned)["message"]


@pytest.mark.long
def test_a_process_that_is_killed_is_tried_again_and_leaves_nothing(learned: Any, web: Any) -> None:
    run = ask(learned)
    worker = start_apart(one_attempt, learned.settings, run)
    wait_until(lambda: state(learned).get("stage") not in (None, "", "starting"))
    [own] = [one for one in _children(worker.pid) if "backend.jobs.export" in one.cmdline()]
    os.kill(own.pid, signal.SIGKILL)
    worker.join(60)
    assert worker.exitcode == 0 and state(learned)["status"] == "running", "the scheduler sends it again"
    assert web("GET").get_json()["archives"] == [] and web("GET", f"{PATH}?format=onnx").status_code == 409
    assert not list((learned.settings.exports_dir / str(PROJECT)).rglob("*.zip")), "nothing half-written is left"
    lose_queues(learned)
    tick_twice(learned)
    assert learned.stores.queue.length(EXPORT) == 1
    work_off(learned.settings)
    [archive] = web("GET").get_json()["archives"]
    sent = web("GET", archive["path"])
    assert state(learned)["attempts"] == 2 and hashlib.sha256(sent.data).hexdigest() == archive["sha256"]
    assert archive["parity"][0]["texts"] == archive["texts"] == 20 and archive["minutes"] == 1
    with zipfile.ZipFile(io.BytesIO(sent.data)) as packed:
        assert packed.testzip() is None


def test_a_cancelled_export_ends_its_process(learned: Any, web: Any) -> None:
    run = ask(learned)
    worker = start_apart(one_attempt, learned.settings, run)
    wait_until(lambda: state(learned).get("stage") not in (None, "", "starting"))
    assert web("POST", f"{PATH}/cancel").get_json()["status"] == "cancelled"
    worker.join(60)
    assert worker.exitcode == 0 and state(learned)["status"] == "cancelled"
    assert not (learned.settings.exports_dir / str(PROJECT) / run).exists()
    assert web("POST", f"{PATH}/cancel").status_code == 409
    assert Shelf(learned.settings.exports_dir, PROJECT).archives() == []


def _children(process: int) -> list[Any]:
    import psutil

    return list(psutil.Process(process).children(recursive=True))


def test_a_version_that_is_deleted_meanwhile_and_a_small_disk_are_told(
    learned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(learned)
    live = learned.stores.versions.live(PROJECT)
    place = learned.settings.models_dir / str(PROJECT) / live
    place.rename(place.with_name("aside"))
    work_off(learned.settings)
    found = state(learned)
    assert found["status"] == "failed" and found["error"] == "version_unusable" and live in found["message"]
    assert str(learned.settings.data_dir) not in found["message"]
    place.with_name("aside").rename(place)
    with pytest.raises(shelving.NoSpace, match=r"MB free.*takes about"):
        shelving.require_room(learned.settings.data_dir, 1 << 60)


def test_old_archives_are_swept(learned: Any) -> None:
    put(learned)
    shelf = Shelf(learned.settings.exports_dir, PROJECT)
    [made] = shelf.archives()
    about, file = shelf.open(made.id)
    assert shelf.sweep(made.at + 60) == []
    gone = shelf.sweep(made.at + 8 * 86400)
    assert {name.partition(".")[2] for name in gone} >= {"zip", "json"} and shelf.archives() == []
    with file:
        assert hashlib.sha256(file.read()).hexdigest() == about.sha256, "who reads it already reads on"
