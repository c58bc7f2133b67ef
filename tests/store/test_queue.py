"""Nothing runs that is not on the list, whatever somebody writes into Redis."""

from __future__ import annotations

import os
import pickle
from typing import Any

import pytest
from rq import Queue, SimpleWorker
from rq.job import Callback
from rq.serializers import DefaultSerializer, JSONSerializer

from backend.store.connection import connect
from backend.store.queue import FUNCTIONS, AllowedJob, ForbiddenJob


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


def test_a_forged_function_does_not_run(worker: Any, tmp_path: Any) -> None:
    job = forge(worker, "os.system", f"touch {tmp_path / 'owned'}")
    run(worker)
    assert not (tmp_path / "owned").exists()
    fetched = AllowedJob.fetch(job.id, connection=worker.connection, serializer=JSONSerializer)
    assert "ForbiddenJob" in str(fetched.latest_result().exc_string)


def test_a_forged_callback_does_not_run(worker: Any, tmp_path: Any) -> None:
    call = Callback("shutil.rmtree")
    job = forge(worker, "backend.jobs.refit.refit", 99, on_success=call, on_failure=call, on_stopped=call)
    fetched = AllowedJob.fetch(job.id, connection=worker.connection, serializer=JSONSerializer)
    assert (fetched.success_callback, fetched.failure_callback, fetched.stopped_callback) == (None, None, None)


class Bomb:
    """What a pickle would run: makes a directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.path,))


def test_a_pickled_job_is_not_loaded(worker: Any, tmp_path: Any) -> None:
    job = forge(worker, "backend.jobs.refit.refit", serializer=DefaultSerializer)
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
