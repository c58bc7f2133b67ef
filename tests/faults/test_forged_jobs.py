"""Row 35: nothing runs that is not on the list, whatever somebody writes into Redis; and nothing is ever unpickled."""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rq import Queue, SimpleWorker
from rq.job import Callback
from rq.serializers import DefaultSerializer, JSONSerializer

from backend.redis_access.connection import connect
from backend.redis_access.job_queue import FUNCTIONS, AllowedJob, ForbiddenJob
from backend.settings.settings import Settings
from tests.support.events import ask, create
from tests.support.tiny import PROJECT, run_apart, settings, tiny_base  # noqa: F401


@pytest.fixture
def worker(settings: Any, stores: Any) -> Any:
    client = connect(settings, binary=True, blocking=True)
    queue = Queue("learn", connection=client, serializer=JSONSerializer, job_class=AllowedJob)
    yield SimpleWorker([queue], connection=client, serializer=JSONSerializer, job_class=AllowedJob)
    client.close()


def run(worker: Any) -> None:
    worker.work(burst=True, with_scheduler=False)


def forge(worker: Any, function: str, *args: Any, serializer: Any = JSONSerializer, **more: Any) -> Any:
    queue = Queue("learn", connection=worker.connection, serializer=serializer)
    return queue.enqueue_call(function, args=args, **more)


def look_up(worker: Any, job: Any) -> Any:
    return AllowedJob.fetch(job.id, connection=worker.connection, serializer=JSONSerializer)


def test_row_35_a_forged_function_does_not_run(worker: Any, tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    calls = [("os.system", f"touch {owned}"), ("os.mkdir", str(owned)), ("builtins.eval", f"open({str(owned)!r}, 'w')")]
    calls += [
        ("backend.jobs.learn.refit.refit.__globals__", ""),
        ("no.such.module", ""),
        ("model.versions.directory.collect_garbage", "/"),
    ]
    jobs = [forge(worker, function, argument) for function, argument in calls]
    run(worker)
    assert not owned.exists()
    for job in jobs:
        assert "ForbiddenJob" in str(look_up(worker, job).latest_result().exc_string), job.func_name
        assert look_up(worker, job).get_status() == "failed"


def test_row_35_a_forged_callback_does_not_run(worker: Any, tmp_path: Path) -> None:
    call = Callback("os.mkdir")
    job = forge(worker, "backend.jobs.learn.refit.refit", 99, on_success=call, on_failure=call, on_stopped=call)
    fetched = look_up(worker, job)
    assert (fetched.success_callback, fetched.failure_callback, fetched.stopped_callback) == (None, None, None)


class Bomb:
    """What a pickle would run: makes a directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.path,))


def test_row_35_a_pickled_job_is_not_loaded(worker: Any, tmp_path: Path) -> None:
    job = forge(worker, "backend.jobs.learn.refit.refit", serializer=DefaultSerializer)
    worker.connection.hset(job.key, "data", pickle.dumps(Bomb(str(tmp_path / "owned"))))
    run(worker)
    assert not (tmp_path / "owned").exists()
    assert Queue("learn", connection=worker.connection, serializer=JSONSerializer).count == 0, "taken up, and refused"


def test_the_list_names_real_functions() -> None:
    from importlib import import_module

    for name in FUNCTIONS:
        module, _, function = name.rpartition(".")
        assert callable(getattr(import_module(module), function))
    job = AllowedJob(connection=object(), serializer=JSONSerializer)  # type: ignore[arg-type]
    job._func_name = "builtins.eval"
    job._instance = None
    with pytest.raises(ForbiddenJob):
        _ = job.func


NOTICED = 77


def watch() -> None:
    """From here on this process ends at once when anything is unpickled."""

    def notice(event: str, args: Any) -> None:
        if event == "pickle.find_class":
            os._exit(NOTICED)

    sys.addaudithook(notice)
    torch.load = lambda *args, **kwargs: os._exit(NOTICED)


def whole_loop(settings: Settings) -> None:
    """Webhook, refit, swap, answer."""
    from backend.application.services import build_services
    from backend.jobs.context import context
    from backend.jobs.learn.refit import refit
    from backend.routes.app import create_app

    watch()
    client = create_app(build_services(settings)).test_client()
    for number in range(1, 21):
        assert create(client, number, label="ae"[number % 2]).get_json()["outcomes"] == {"stored": 1}
    assert refit(PROJECT) == "published"
    live = context().stores.versions.live(PROJECT)
    deadline = time.monotonic() + 120
    while ask(client).get_json().get("model_version") != live:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def unpickle(settings: Settings) -> None:
    """What must not happen."""
    watch()
    pickle.loads(pickle.dumps(Bomb("/nowhere")))


def test_row_35_nothing_is_unpickled_from_the_webhook_to_the_answer(settings: Settings) -> None:
    assert run_apart(whole_loop, settings) == 0
    assert run_apart(unpickle, settings) == NOTICED, "the watch is awake"
