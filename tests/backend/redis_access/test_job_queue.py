"""Jobs that an earlier release queued run in this one, by the real worker on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from backend.redis_access.job_kinds import (
    EXAMINE,
    EXPORT,
    FILES,
    KIND_OF_NAME,
    PREDICT,
    REFIT,
    TEACH,
    TEACH_TEXTS,
    TRAIN,
)
from backend.redis_access.job_queue import FORMER_NAMES, FUNCTIONS, AllowedJob
from backend.workers import worker as module
from tests.support.tiny import PROJECT, Letters, letters, settings, tiny_base  # noqa: F401

ARGUMENTS = {PREDICT: [PROJECT, "gone", 0]}
"""All others take the project; a training its id."""

LATER = {"examine": EXAMINE, "export": EXPORT, "files": FILES, "teach_texts": TEACH_TEXTS, "teach": TEACH}
"""What came after the functions had moved."""


@pytest.fixture
def worker(context: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:  # noqa: F811
    """The product's worker on every queue, in this process."""
    monkeypatch.setattr(module, "context", lambda: context)
    built = module.build_worker(settings, *dict.fromkeys(FUNCTIONS.values()))
    yield built
    built.connection.close()


def queue_before(worker: Any, former: str, *args: Any) -> Any:
    """As the earlier release did: the old name, in the queue that the function has had all along."""
    function = FORMER_NAMES[former]
    queue = Queue(FUNCTIONS[function], connection=worker.connection, serializer=JSONSerializer)
    return queue.enqueue_call(former, args=list(args) or ARGUMENTS.get(function, [PROJECT]))


def after(worker: Any, job: Any) -> Any:
    return AllowedJob.fetch(job.id, connection=worker.connection, serializer=JSONSerializer)


def test_every_function_has_its_former_name() -> None:
    assert sorted([*FORMER_NAMES.values(), *LATER.values()]) == sorted(FUNCTIONS), "all but what came after"
    assert not set(FORMER_NAMES) & set(FUNCTIONS)


def test_what_was_queued_before_an_upgrade_is_done_after_it(worker: Any, context: Any) -> None:
    training, _ = context.stores.jobs.request_training(PROJECT, by="test")
    context.stores.jobs.cancel(training["id"])
    jobs = {
        former: queue_before(worker, former, *([training["id"]] if function == TRAIN else []))
        for former, function in FORMER_NAMES.items()
    }
    worker.work(burst=True, with_scheduler=False)
    for former, job in jobs.items():
        done = after(worker, job)
        assert done.get_status() == "finished", f"{former}: {done.latest_result()}"
    counted = {kind for kind, _ in context.stores.counters.read().jobs}
    assert counted == set(KIND_OF_NAME) - set(LATER), "each as what it is"


def test_labels_that_wait_for_a_refit_are_learned(worker: Any, context: Any, letters: Letters) -> None:  # noqa: F811
    letters.add(8)
    [former] = [name for name, function in FORMER_NAMES.items() if function == REFIT]
    job = queue_before(worker, former)
    worker.work(burst=True, with_scheduler=False)
    assert after(worker, job).return_value() == "published"
    assert context.stores.versions.live(PROJECT) is not None


def test_a_name_that_never_was_one_is_refused_still(worker: Any) -> None:
    for name in ("backend.jobs.refit._learn", "backend.jobs.refit.refit.__globals__", "backend.jobs.plan.os.system"):
        queue = Queue("learn", connection=worker.connection, serializer=JSONSerializer)
        job = queue.enqueue_call(name, args=[PROJECT])
        worker.work(burst=True, with_scheduler=False)
        assert "ForbiddenJob" in str(after(worker, job).latest_result().exc_string)
