"""Rows 15 to 20: whoever is killed, and whatever of the queue or Redis goes away, a training is published at most once,
and asked for again when it is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend.errors import Conflict
from backend.jobs.train.run_lock import hold_run
from backend.jobs.train.train import Attempt, Stopped, make_request, train
from backend.processes.scheduler import Scheduler
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.training.request import REQUEST, Result, read_request, write_json
from model.versions.directory import list_versions, verify_version, write_version
from tests.conftest import RedisServer, tick_later
from tests.support.tiny import PROJECT, Letters, letters, settings, tiny_base, tiny_settings  # noqa: F401

BEAT_LOST = {"beat": 0}
"""As a worker leaves it that died a while ago."""


def ask(stores: Stores, force: bool = True) -> str:
    return str(stores.jobs.request_training(PROJECT, by="test", force=force)[0]["id"])


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)
    return found


def trainings(job: str) -> list[psutil.Process]:
    """The training processes of a job that are alive."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if "model.training" in line and any(job in word for word in line) and process.info["status"] != "zombie":
            found.append(process)
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
def test_row_15_a_killed_training_goes_on_from_there_and_nothing_else_has_changed(
    context: Any, letters: Letters
) -> None:
    context.settings = context.settings.model_copy(update={"finetune_steps": 30})
    letters.add(40)
    stores, job = context.stores, ask(context.stores)
    context.settings = context.settings.model_copy(update={"failpoint": "checkpoint.after@25"})
    assert train(job) == "crashed"
    record = stores.jobs.get(job)
    assert (record["status"], stores.versions.live(PROJECT), stores.versions.trained(PROJECT)) == ("queued", None, 0)
    assert "status -9" in record["message"] and (context.settings.runs_dir / job / "part0.safetensors").is_file()
    assert "waits" in train(job), "not at once"
    stores.failures.release(PROJECT, "train")
    context.settings = context.settings.model_copy(update={"failpoint": ""})
    assert train(job) in ("done", "rejected")
    assert stores.jobs.get(job)["attempts"] == 2
    assert [m.version for m in list_versions(context.settings.models_dir, PROJECT)] == ["v1"], "one version only"
    assert stores.failures.describe(PROJECT) == {}


@pytest.fixture(scope="module")
def long_training(tmp_path_factory: Any, tiny_base: Path) -> Iterator[Any]:
    """A training that does not end by itself, in a real trainer on a Redis of its own."""
    from tests.conftest import running_redis

    with running_redis() as server:
        url = server.settings.effective_redis_url
        given = tiny_settings(tmp_path_factory.mktemp("long") / "data", url, tiny_base, finetune_steps=1_000_000)
        stores = Stores(given)
        Letters(stores).add(40)
        running = LongTraining(given, stores)
        yield running
        running.stop()
        stores.close()


class LongTraining:
    """Starts trainers, and tells their processes."""

    def __init__(self, given: Settings, stores: Stores) -> None:
        self.settings, self.stores = given, stores
        self.job = ask(stores)
        self.trainer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        names = ("data_dir", "redis_url", "base_model", "finetune_steps", "finetune_enabled", "admin_token")
        values = {name.upper(): str(getattr(self.settings, name)) for name in names}
        values["ADMIN_TOKEN"] = "admin"
        command = [sys.executable, "-m", "backend", "trainer"]
        self.trainer = subprocess.Popen(command, env={**os.environ, **values})

    def training(self) -> psutil.Process:
        """The training process."""
        return wait_until(lambda: trainings(self.job), "a training process")[0]

    def lose(self) -> None:
        """A tick of the scheduler, some time after the worker died."""
        self.stores.jobs.update(self.job, BEAT_LOST)
        work = type("Work", (), {"stores": self.stores, "settings": self.settings, "artifacts": None})
        scheduler = Scheduler(work)  # type: ignore[arg-type]
        tick_later(scheduler)
        scheduler.leave()

    def stop(self) -> None:
        if self.trainer is not None:
            self.trainer.kill()
            self.trainer.wait()


@pytest.mark.timeout(300)
def test_row_16_a_training_dies_with_its_worker_and_an_attempt_that_outlives_its_own_cannot_publish(
    long_training: LongTraining,
) -> None:
    long_training.start()
    training = long_training.training()
    assert long_training.trainer is not None
    long_training.trainer.send_signal(signal.SIGKILL)
    long_training.trainer.wait()
    _, alive = psutil.wait_procs([training], timeout=30)
    assert alive == []
    # And were it alive: a later attempt has begun.
    stores, job = long_training.stores, long_training.job
    facts = {"stores": stores, "settings": long_training.settings, "artifacts": None, "stopping": False}
    work = type("Work", (), facts)
    zombie = Attempt(work, stores.jobs.get(job), 1)  # type: ignore[arg-type]
    long_training.lose()
    later = stores.jobs.begin(job, PROJECT)
    assert later == 2
    result = ("v1", None, 99)
    assert publish(stores, zombie.token, *result) == "fenced"
    assert stores.versions.live(PROJECT) is None and stores.versions.trained(PROJECT) == 0
    with pytest.raises(Stopped, match="fenced"):
        zombie.end("failed", message="said by a zombie")
    assert stores.jobs.get(job)["status"] == "running"
    assert publish(stores, f"{job}/{later}", *result) == "published"


def publish(stores: Stores, token: str, version: str, expected: str | None, seq: int) -> str:
    return stores.versions.publish(PROJECT, version, expected=expected, seq=seq, by="trainer", token=token)


@pytest.mark.timeout(300)
def test_row_17_worker_and_training_killed_together_are_back_with_the_next_worker(long_training: LongTraining) -> None:
    long_training.lose()
    long_training.start()
    training = long_training.training()
    stores, job = long_training.stores, long_training.job
    before = stores.jobs.get(job)["attempts"]
    assert long_training.trainer is not None
    training.kill()
    long_training.trainer.kill()
    long_training.trainer.wait()
    long_training.lose()
    long_training.start()
    assert long_training.training().pid != training.pid
    assert stores.jobs.get(job)["attempts"] == before + 1


def test_one_attempt_at_a_time_works_in_a_run(context: Any, letters: Letters) -> None:
    letters.add(4)
    job = ask(context.stores)
    with hold_run(context.settings.runs_dir / job):
        assert "earlier attempt" in train(job)
        with pytest.raises(Conflict), hold_run(context.settings.runs_dir / job):
            pass
    assert context.stores.jobs.get(job)["status"] == "queued", "to be sent again"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_row_18_redis_is_away_when_the_training_ends_and_what_it_made_is_published_when_it_is_back(
    own_redis: RedisServer,
    context: Any,
    tiny_base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from backend.jobs import context as module

    given = tiny_settings(tmp_path / "own", own_redis.settings.effective_redis_url, tiny_base)
    work = module.Context(given)
    monkeypatch.setattr("backend.jobs.train.train.context", lambda: work)
    Letters(work.stores).add(4)
    job = ask(work.stores)
    directory = given.runs_dir / job
    directory.mkdir(parents=True)
    write_json(directory / REQUEST, make_request(work.settings, work.stores, PROJECT))
    outcome: list[str] = []
    thread = threading.Thread(target=lambda: outcome.append(train(job)))
    thread.start()
    [process] = wait_until(lambda: trainings(job), "the training process")
    own_redis.kill()
    finish(directory)  # too few labels for a real one to be accepted
    _, alive = psutil.wait_procs([process], timeout=60)
    assert alive == [] and not outcome
    time.sleep(1)
    assert not outcome, "it waits"
    own_redis.start()
    thread.join(60)
    assert outcome == ["done"] and work.stores.versions.live(PROJECT) == "v1"
    assert work.stores.jobs.get(job)["attempts"] == 1
    work.stores.close()


def finish(directory: Path) -> None:
    """As the training process leaves a run that is accepted."""
    from model.versions.directory import Manifest

    request = read_request(directory)
    spec = request.task_spec
    facts: dict[str, Any] = {"parent": None, "snapshot_seq": request.snapshot_seq, "spec": request.spec}
    manifest = Manifest("v1", PROJECT, kind="finetune", spec_digest=spec.digest, encoder_digest="00" * 8, **facts)
    verify_version(write_version(Path(request.models), manifest, {}))
    write_json(directory / "result.json", Result("v1", True, "better"))


def test_row_19_everything_of_rq_is_deleted_and_asked_for_again_within_one_tick(context: Any, letters: Letters) -> None:
    letters.add(8)
    ask(context.stores)
    for key in context.stores._redis.keys("rq:*"):
        context.stores._redis.delete(key)
    tick_later(Scheduler(context))
    lengths = [
        context.stores.queue.length(f"backend.jobs.{name}") for name in ("learn.refit.refit", "train.train.train")
    ]
    assert lengths == [1, 1]


def test_row_20_one_scheduler_is_active_and_however_many_ask_one_training_runs(context: Any, letters: Letters) -> None:
    first, second = Scheduler(context), Scheduler(context)
    assert first.tick() and not second.tick()
    first.leave()
    assert second.tick()
    with ThreadPoolExecutor(8) as crowd:
        asked = list(
            crowd.map(lambda _: context.stores.jobs.request_training(PROJECT, by="test", force=True), range(16))
        )
    assert len({record["id"] for record, _ in asked}) == 1 and sum(new for _, new in asked) == 1
    assert context.stores.queue.length("backend.jobs.train.train.train") == 1
