"""The processes that work: the learner, the trainer, and the one that talks to Label Studio's API."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from backend.cpu import keep_heap_trimmed, loading, step_back, use_one_thread
from backend.errors import StoreUnavailable
from backend.jobs.context import Context, context
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.telemetry.logs import configure_logs
from backend.workers.worker import work_until_stopped

log = logging.getLogger(__name__)


def run_learner(settings: Settings, burst: bool = False) -> None:
    """Refits heads, with a warm encoder. `burst`: one job at most."""
    configure_logs(settings, "learner")
    step_back()
    work = _open()
    with loading():
        from model.head.warm_up import warm_up_learning

        warm_up_learning(work.encoders.base)
        use_one_thread()
    _ask_for_changes(work)
    _work(settings, "learn", burst=burst)


def _ask_for_changes(work: Context) -> None:
    """Of projects that answer by another encoder than BASE_MODEL names. Redis may be away: a label asks again."""
    from backend.jobs.learn.encoder_change import ask_for_changes

    with suppress(StoreUnavailable):
        ask_for_changes(work)


def run_trainer(settings: Settings, burst: bool = False) -> None:
    """Fine-tunes; this process itself never runs torch. `burst`: one job at most."""
    configure_logs(settings, "trainer")
    _open()
    _work(settings, "train", burst=burst)


def run_sync(settings: Settings, burst: bool = False) -> None:
    """Talks to Label Studio's API. `burst`: one job at most."""
    configure_logs(settings, "sync")
    _open()
    _work(settings, "sync", "predict", burst=burst)


def run_predictor(settings: Settings, burst: bool = False) -> None:
    """Predicts files; whatever else this machine does goes first. `burst`: one job at most."""
    from backend.jobs.files.predict_files import give_way

    configure_logs(settings, "predictor")
    give_way()
    _open()
    use_one_thread()
    keep_heap_trimmed()
    _work(settings, "files", burst=burst)


def _open() -> Context:
    """The process's context once Redis answers and is safe. Raises StoreUnavailable for an unsafe one."""
    work = context()
    wait_for_redis(work.stores)
    return work


def wait_for_redis(stores: Stores, pause: float = 0.2) -> None:
    """Returns when Redis answers. Raises StoreUnavailable when its settings could lose labels."""
    while True:
        try:
            stores.ping()
        except StoreUnavailable:
            time.sleep(pause)
            continue
        for problem in stores.verify():
            log.warning("redis: %s", problem)
        return


def _work(settings: Settings, *queues: str, burst: bool = False) -> None:
    work_until_stopped(settings, queues, burst, lambda: wait_for_redis(context().stores))
