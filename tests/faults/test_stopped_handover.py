"""Row 51: a worker gets SIGTERM while it hands a version over to the object store, or is about to publish it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.artifacts.artifacts import Artifacts
from backend.settings.settings import Settings
from backend.workers.worker import build_worker
from tests.support.object_stores import directory_url
from tests.support.tiny import PROJECT, Letters, armed, letters, run_apart, tiny_base, tiny_settings  # noqa: F401

HANDOVER = "artifacts.before_manifest"


@pytest.fixture
def settings(redis_server: Any, tmp_path: Path, tiny_base: Path) -> Settings:
    """Those of the first machine."""
    (tmp_path / "store").mkdir()
    url, store = redis_server.settings.effective_redis_url, directory_url(tmp_path / "store")
    return tiny_settings(tmp_path / "first", url, tiny_base, artifacts_url=store, stop_seconds=1)


def other(settings: Settings, name: str) -> Settings:
    """Of a machine with a disk of its own."""
    return settings.model_copy(update={"data_dir": settings.data_dir.with_name(name), "failpoint": ""})


def work_off(given: Settings, queue: str) -> None:
    """In a process of its own: what is in the queue, until SIGTERM."""
    build_worker(given, queue).work(burst=True, with_scheduler=False)


def live(context: Any) -> str:
    return str(context.stores.versions.live(PROJECT) or "")


def fetched(context: Any, version: str) -> bool:
    """Whether a machine that has nothing gets all of it, every digest right."""
    return (Artifacts(other(context.settings, "web"), frozenset).ensure(PROJECT, version) / "manifest.json").is_file()


@pytest.mark.parametrize("step", [HANDOVER, "publish.before"])
def test_row_51_a_learner_that_can_end_in_time_publishes_all_of_it(context: Any, letters: Letters, step: str) -> None:
    letters.add(8)
    context.stores.jobs.enqueue_refit(PROJECT)
    patient = context.settings.model_copy(update={"stop_seconds": 60})
    assert run_apart(work_off, armed(patient, f"term:{step}"), "learn") == 0
    assert live(context) == "v0.1" and fetched(context, "v0.1")
    assert context.stores.failures.describe(PROJECT) == {}


@pytest.mark.parametrize("step", [HANDOVER, "publish.before"])
def test_row_51_a_learner_that_cannot_publishes_nothing_and_another_one_does_it(
    context: Any, letters: Letters, step: str
) -> None:
    letters.add(8)
    context.stores.jobs.enqueue_refit(PROJECT)
    assert run_apart(work_off, armed(context.settings, f"stuck:{step}"), "learn") == 0, "it ends within its time"
    assert live(context) == "" and context.stores.failures.waits(PROJECT, "refit") == 0
    half = context.artifacts.versions.manifest(PROJECT, "v0.1") is None
    assert half is (step == HANDOVER)
    assert run_apart(work_off, other(context.settings, "second"), "learn") == 0, "the job waits for whoever is next"
    assert live(context) and fetched(context, live(context))


@pytest.mark.long
@pytest.mark.timeout(300)
def test_row_51_a_trainer_that_cannot_hands_the_training_on(context: Any, letters: Letters) -> None:
    letters.add(40)
    job = str(context.stores.jobs.request_training(PROJECT, by="test", force=True)[0]["id"])
    patient = context.settings.model_copy(update={"stop_seconds": 20})
    stuck = armed(patient, f"stuck:artifacts.after_manifest@{PROJECT}")
    assert run_apart(work_off, stuck, "train", timeout=200) == 0, "it does not wait for a store that hangs"
    record = context.stores.jobs.get(job)
    assert (record["status"], record["stops"], live(context)) == ("queued", 1, "")
    first = context.artifacts.versions.manifest(PROJECT, "v1")
    assert first is not None, "whole, and nothing points to it"
    assert run_apart(work_off, other(context.settings, "second"), "train", timeout=200) == 0
    assert context.stores.jobs.get(job)["status"] in ("done", "rejected")
    assert context.artifacts.versions.names(PROJECT) == ["v1"] and fetched(context, "v1")
    assert context.artifacts.versions.manifest(PROJECT, "v1") != first, "it gave way"
