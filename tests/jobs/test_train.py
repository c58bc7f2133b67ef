"""The training job: a real process, killed and resumed, cancelled, judged, published."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from backend.jobs.refit import refit
from backend.jobs.train import publish, train
from model.run import Result
from model.versions import read_manifest, version_path
from tests.jobs.conftest import PROJECT, Labels

pytestmark = pytest.mark.slow


@pytest.fixture
def quick(context: Any) -> Any:
    """Two steps a training: the road is the same."""
    context.settings = context.settings.model_copy(update={"finetune_steps": 2})
    return context


def ask(context: Any, force: bool = True) -> str:
    return str(context.stores.jobs.request_training(PROJECT, by="test", force=force)[0]["id"])


def test_a_training_ends_with_a_verdict_and_keeps_the_version(quick: Any, labels: Labels) -> None:
    labels.add(0, 40)
    refit(PROJECT)
    before = quick.stores.versions.live(PROJECT)
    job = ask(quick)
    status = train(job)
    record = quick.stores.jobs.get(job)
    assert status in ("done", "rejected") and record["status"] == status and record["version"] == "v1"
    manifest = read_manifest(version_path(quick.settings.models_dir, PROJECT, "v1"))
    assert manifest.kind == "finetune" and manifest.gate is not None and manifest.reason
    assert manifest.gate["label"]["evidence"]["n"] == 40, "every label was held out once"
    live = quick.stores.versions.live(PROJECT)
    assert live == ("v1" if status == "done" else before)
    assert quick.stores.jobs.running(PROJECT) is None
    assert quick.stores.versions.evaluated(PROJECT)["labels"] == 40
    assert not (quick.settings.runs_dir / job).exists()


def test_too_few_labels_fail_with_a_reason(quick: Any, labels: Labels) -> None:
    labels.add(0, 1)
    job = ask(quick)
    assert train(job) == "failed"
    assert "two classes" in quick.stores.jobs.get(job)["message"]
    assert quick.stores.versions.live(PROJECT) is None


def test_a_cancelled_training_stops_and_publishes_nothing(context: Any, labels: Labels) -> None:
    labels.add(0, 40)
    job = ask(context)
    threading.Timer(3, lambda: context.stores.jobs.cancel(job)).start()
    began = time.monotonic()
    assert train(job) == "cancelled"
    assert time.monotonic() - began < 30
    assert context.stores.versions.live(PROJECT) is None


def test_a_stopped_worker_hands_its_training_back(context: Any, labels: Labels) -> None:
    labels.add(0, 40)
    job = ask(context)
    threading.Timer(3, lambda: setattr(context, "stopping", True)).start()
    assert train(job) == "stopped"
    record = context.stores.jobs.get(job)
    assert record["status"] == "queued" and record["attempts"] == 1
    assert (context.settings.runs_dir / job / "run.json").is_file(), "goes on from here"


def test_publishing_respects_pins_and_moving_heads(context: Any, labels: Labels) -> None:
    accepted = Result("v1", True, "better")
    versions = context.stores.versions
    assert publish(context, PROJECT, Result("v1", False, "worse"), 5, asked_by_admin=True) == "worse"
    versions.publish(PROJECT, "v0.7", expected=None, seq=7, by="learner")
    assert publish(context, PROJECT, accepted, 5, asked_by_admin=False) == "published"
    assert (versions.live(PROJECT), versions.trained(PROJECT), versions.fitted(PROJECT)) == ("v1", 7, 5)
    versions.pin(PROJECT, "v1")
    again = Result("v2", True, "better")
    assert "pinned" in publish(context, PROJECT, again, 9, asked_by_admin=False)
    assert publish(context, PROJECT, again, 9, asked_by_admin=True) == "published"
    assert versions.pinned(PROJECT) is None
