"""The training job: a real process, killed and resumed, cancelled, judged, published."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend.errors import SettingsError
from backend.jobs.learn.refit import refit
from backend.jobs.train.process import run_process, training_command
from backend.jobs.train.train import publish, train
from backend.settings.settings import load_settings
from model.spec import NONE
from model.training.request import Result
from model.versions.directory import read_heads, read_manifest, version_path
from tests.backend.conftest import PROJECT, Labels
from tests.support.hook_receiver import tell_versions
from tests.support.timings import lend_timing
from tests.support.tiny import Letters, letters, tiny_base

__all__ = ["letters", "tiny_base"]

pytestmark = pytest.mark.slow


@pytest.fixture
def quick(context: Any) -> Any:
    """Two steps a training: the road is the same."""
    context.settings = context.settings.model_copy(update={"finetune_steps": 2})
    lend_timing(context.settings.data_dir)
    return context


@pytest.fixture
def small(context: Any, tiny_base: Path) -> Any:
    """Trainings of the tiny encoder, which are not over before they are ended: what it learns does not matter."""
    lend_timing(context.settings.data_dir, str(tiny_base))
    context.settings = context.settings.model_copy(update={"base_model": str(tiny_base), "finetune_steps": 2000})
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
    curve = quick.stores.loss_curves.read(PROJECT, [job])[job]
    assert len(curve["loss"]) == record["of"] and curve["starts"][0] == 1 and curve["held_out"], curve
    assert not (quick.settings.runs_dir / job).exists()


@pytest.mark.long
def test_what_was_left_blank_is_trained_on(quick: Any, labels: Labels) -> None:
    boxes = '<Choices name="more" toName="text" choice="multiple"><Choice value="x"/><Choice value="y"/></Choices>'
    config = quick.stores.projects.config(PROJECT).replace("</View>", boxes + "</View>")
    quick.stores.projects.save_config(PROJECT, config)
    found = quick.stores.examples
    labels.add(0, 40)
    blank = {0: {"label": [], "more": []}, 1: {"more": [["x"]]}, 2: {"more": [["y"]]}, 3: {}}
    records = found.snapshot(PROJECT).records
    later = [
        replace(r, targets={**r.targets, **blank[r.annotation % 4]}, updated_at="2030-01-01T00:00:00Z") for r in records
    ]
    found.upsert_many(PROJECT, later)
    assert refit(PROJECT) == "published"
    assert train(ask(quick)) in ("done", "rejected")
    directory = version_path(quick.settings.models_dir, PROJECT, "v1")
    manifest = read_manifest(directory)
    assert manifest.labels_seen == {"label": 40, "more": 30}
    assert manifest.gate is not None and manifest.gate["label"]["evidence"]["n"] == 40
    heads, tuned = read_heads(directory, directory)
    assert heads["label"].labels[-1] == NONE and heads["more"].labels == ("x", "y")
    assert tuned is not None and tuned.heads["label"].labels == heads["label"].labels


def test_a_cancelled_training_stops_and_publishes_nothing(small: Any, letters: Letters) -> None:
    letters.add(40)
    job = ask(small)
    threading.Timer(3, lambda: small.stores.jobs.cancel(job)).start()
    assert train(job) == "cancelled"
    assert small.stores.versions.live(PROJECT) is None


@pytest.mark.long
def test_a_stopped_worker_hands_its_training_back(small: Any, letters: Letters) -> None:
    letters.add(40)
    job = ask(small)
    threading.Timer(3, lambda: setattr(small, "stopping", True)).start()
    assert train(job) == "stopped"
    record = small.stores.jobs.get(job)
    assert record["status"] == "queued" and record["attempts"] == 1
    assert (small.settings.runs_dir / job / "run.json").is_file(), "goes on from here"


def test_publishing_respects_pins_and_moving_heads(context: Any, labels: Labels) -> None:
    accepted, told = Result("v1", True, "better"), tell_versions(context.stores)
    versions = context.stores.versions
    assert publish(context.stores.versions, PROJECT, Result("v1", False, "worse"), 5) == "worse"
    versions.publish(PROJECT, "v0.7", expected=None, seq=7, by="learner")
    assert publish(context.stores.versions, PROJECT, accepted, 5) == "published"
    assert (versions.live(PROJECT), versions.trained(PROJECT), versions.fitted(PROJECT)) == ("v1", 7, 5)
    versions.pin(PROJECT, "v1")
    again = Result("v2", True, "better")
    assert "pinned to v1" in publish(context.stores.versions, PROJECT, again, 9)
    (event,) = told()
    assert event["type"] == "version.published" and event["data"]["version"] == "v1"
    assert publish(context.stores.versions, PROJECT, again, 9, lifts="v1") == "published"
    assert versions.pinned(PROJECT) is None


TWO = "accelerate launch --multi_gpu --num_processes 2 --main_process_port 0"
OTHER_TWO = "torchrun --standalone --nproc-per-node 2"


def trainings(job: str) -> list[psutil.Process]:
    """The processes that train for a job, launcher left out."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if "model.training" in line and any(job in word for word in line) and "launch" not in line:
            found.append(process)
    return found


def watched(job: str, act: Callable[[list[psutil.Process]], None]) -> threading.Thread:
    """Does something as soon as two processes train for the job."""

    def wait() -> None:
        while len(found := trainings(job)) < 2:
            time.sleep(0.1)
        act(found)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.timeout(600)
def test_launched_processes_are_as_humble_and_end_with_a_cancelled_training(small: Any, letters: Letters) -> None:
    small.settings = small.settings.model_copy(update={"finetune_launch": TWO})
    letters.add(40)
    job = ask(small)
    seen: list[int] = []

    def cancel(ranks: list[psutil.Process]) -> None:
        seen.extend(rank.nice() for rank in ranks)
        small.stores.jobs.cancel(job)

    watching = watched(job, cancel)
    assert train(job) == "cancelled"
    watching.join(30)
    assert seen == [min(19, os.nice(0) + 10)] * 2
    assert trainings(job) == []


ALONE = """
import sys
from pathlib import Path
from backend.jobs.train.process import run_process
from backend.settings.settings import load_settings
run_process(load_settings(), Path(sys.argv[1]), lambda said: None)
"""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_launched_processes_die_with_their_worker(tmp_path: Path) -> None:
    from model.training.request import REQUEST, write_json
    from tests.model.training.test_distributed import request_of

    run = tmp_path / "run"
    run.mkdir()
    write_json(run / REQUEST, request_of(tmp_path, base_model="", steps=100_000))
    environment = {**os.environ, "FINETUNE_LAUNCH": TWO, "DATA_DIR": str(tmp_path / "data")}
    worker = subprocess.Popen([sys.executable, "-c", ALONE, str(run)], env=environment)
    while len(ranks := trainings(str(run))) < 2:
        assert worker.poll() is None
        time.sleep(0.1)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    _, alive = psutil.wait_procs(ranks, timeout=240)  # those that still import torch find out after that
    assert alive == []


def test_the_launcher_is_the_one_beside_this_python(context: Any) -> None:
    def command(launch: str) -> list[str]:
        settings = context.settings.model_copy(update={"finetune_launch": launch})
        return training_command(settings, Path("run"), "/nowhere")

    assert command("") == [sys.executable, "-m", "model.training", "run"]
    found = command("accelerate launch --config_file 'two machines.yaml'")
    # Not the script itself: the path of this Python may not fit in its first line.
    assert found[:2] == [sys.executable, str(Path(sys.executable).parent / "accelerate")]
    assert found[2:] == [
        "launch",
        "--config_file",
        "two machines.yaml",
        "-m",
        "model.training",
        "run",
    ]
    with pytest.raises(SettingsError, match="FINETUNE_LAUNCH names 'nothing-like-it'"):
        command("nothing-like-it --now")


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        ("sh -c 'accelerate launch'", "begins with accelerate launch or torchrun"),
        ("accelerate config", "begins with accelerate launch or torchrun"),
        ("/tmp/accelerate launch", "begins with accelerate launch or torchrun"),
        ("accelerate launch -m other", "'-m' names another program"),
        ("torchrun --nproc-per-node 2 other.py", "'other.py' names another program"),
        ("accelerate launch 'open", "quotation"),
    ],
)
def test_a_launcher_starts_trainings_and_nothing_else(launch: str, said: str) -> None:
    with pytest.raises(SettingsError, match=f"FINETUNE_LAUNCH.*{said}"):
        load_settings(finetune_launch=launch)
    for known in ("", "torchrun --nproc-per-node 2", TWO):
        assert load_settings(finetune_launch=known).finetune_launch == known


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_lost_rank_is_named_and_the_training_goes_on_from_its_checkpoint(small: Any, letters: Letters) -> None:
    calm = small.settings.model_copy(update={"finetune_launch": OTHER_TWO, "finetune_steps": 26})
    # At a checkpoint and not at a time: a quick machine is through before anybody who watches has looked.
    small.settings = calm.model_copy(update={"failpoint": "kill:checkpoint.after@25"})
    letters.add(40)
    job = ask(small)
    checkpoints = small.settings.runs_dir / job
    assert train(job) == "crashed"
    record = small.stores.jobs.get(job)
    assert (record["status"], record["error"]) == ("queued", "rank_lost")
    assert "process 0 of the training ended with status -9" in record["message"], record["message"]
    assert trainings(job) == []
    assert list(checkpoints.glob("part*.safetensors")), "what the next attempt goes on from"
    small.settings = calm
    small.stores.failures.clear(PROJECT, "train")
    assert train(job) in ("done", "rejected")
    record = small.stores.jobs.get(job)
    assert "error" not in record and record["attempts"] == 2


def test_a_file_of_the_users_is_not_taken_for_a_module_of_ours(
    context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `understudy` is called, a model.py may lie: every example of a Label Studio ML backend has one."""
    (tmp_path / "model.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    outcome = run_process(context.settings, tmp_path / "run", lambda said: None)
    assert "the run cannot be read" in outcome.error and not outcome.crashed
