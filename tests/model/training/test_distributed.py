"""A training on two processes: it learns what one learns, its processes agree, and none outlives the others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from model.errors import TrainingError
from model.training.distributed import Team, alone
from model.training.follower import RunConfig, broadcast, follow, threads_each
from model.training.request import REQUEST, Request, read_result, write_json
from model.training.training_set import TrainingSet
from model.versions.directory import version_path
from tests.model.conftest import TinyModel
from tests.support.classifier_base import STEADY, letter_texts
from tests.support.encoders import choices, samples_of, spec_of

NAMES = ("one", "two", "three")
LAUNCH = (str(Path(sys.executable).parent / "accelerate"), "launch", "--multi_gpu", "--num_processes", "2")
TWO = (*LAUNCH, "--main_process_port", "0")
"""accelerate starts CPU processes on one machine with its GPU launcher; `--cpu` alone needs MPI."""


def request_of(folder: Path, base_model: str, steps: int) -> Request:
    """40 texts, no pool."""
    texts, truth = letter_texts(40)
    rows = samples_of(*[(text[0], NAMES[group]) for text, group in zip(texts, truth, strict=True)])
    return Request(
        project=1,
        version="v1",
        parent=None,
        snapshot_seq=1,
        spec=spec_of(choices(*NAMES)).to_json(),
        samples={"label": [row.to_json() for row in rows]},
        pool=[],
        base_model=base_model,
        models=str(folder / "models"),
        features=str(folder / "features"),
        features_mb=16,
        steps=steps,
    )


def write_run(folder: Path, base: Path, steps: int) -> Path:
    """A run's directory."""
    run = folder / "run"
    run.mkdir(parents=True)
    write_json(run / REQUEST, request_of(folder, str(base), steps))
    return run


def start(launch: tuple[str, ...], run: Path) -> subprocess.Popen[str]:
    command = [*launch, "-m", "model.training", str(run)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ranks_of(process: subprocess.Popen[str], count: int = 2) -> list[psutil.Process]:
    """The launcher's training processes, once they have begun to train."""
    assert process.stdout is not None
    assert process.stdout.readline(), process.communicate()[1]
    found = [child for child in psutil.Process(process.pid).children(recursive=True) if "model.training" in line(child)]
    assert len(found) == count
    return found


def line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def ended(processes: list[psutil.Process]) -> bool:
    """Whether all of them end by themselves; the deadline is no claim about speed."""
    _, alive = psutil.wait_procs(processes, timeout=60)
    for process in alive:
        process.kill()
    return not alive


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_learn_what_one_learns(tiny_model: TinyModel, tmp_path: Path) -> None:
    base, _ = tiny_model("bert", **STEADY)
    weights, progress = [], []
    for name, launch in (("one", (sys.executable,)), ("two", TWO)):
        run = write_run(tmp_path / name, base, steps=30)
        process = start(launch, run)
        out, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        result = read_result(run)
        assert result is not None
        version = version_path(tmp_path / name / "models", 1, "v1")
        weights.append(load_file(version / "encoder.safetensors"))
        progress.append([json.loads(row) for row in out.splitlines() if row.startswith("{")])
    assert weights[0].keys() == weights[1].keys() and len(weights[0]) == 32
    untrained = load_file(base / "model.safetensors")
    moved = max(float((value - untrained[key]).abs().max()) for key, value in weights[0].items())
    apart = max(float((weights[1][key] - value).abs().max()) for key, value in weights[0].items())
    assert moved > 5e-4 and apart < moved / 20, "as much as rounding, divided by a square root of nearly 0, moves Adam"
    steps = [[row["step"] for row in rows if "loss" in row] for rows in progress]
    assert steps[0] == steps[1], "the leader alone reports"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_process_outlives_another_and_a_killed_training_goes_on(tiny_model: TinyModel, tmp_path: Path) -> None:
    run = write_run(tmp_path, tiny_model("bert", **STEADY)[0], steps=4000)
    process = start(TWO, run)
    ranks = ranks_of(process)
    while not (run / "part0.safetensors").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)  # it cannot end its processes any more
    assert ended(ranks)
    process.communicate()

    process = start(TWO, run)
    ranks = ranks_of(process)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert first["step"] > 25, "the leader read the checkpoint and told the other"
    next(rank for rank in ranks).kill()
    process.communicate(timeout=120)
    assert process.returncode != 0 and ended(ranks)
    assert read_result(run) is None


def test_an_order_survives_the_way_to_another_process() -> None:
    values = np.random.default_rng(0).standard_normal((3, 4))
    lesson = TrainingSet(
        "label", ("a", "b"), True, [("x", "y"), ("z",)], values, values[:, 0], values.astype(np.float32)
    )
    order = RunConfig("base", (lesson,), 1, 2, "bf16", 60, None, True)
    again = RunConfig.from_json(json.loads(json.dumps(order.to_json())))
    (found,) = again.lessons
    assert (again.seed, again.steps, again.last, again.watched) == (1, 60, None, True)
    assert found.texts == lesson.texts and found.labels == lesson.labels and found.multilabel
    for name in ("targets", "weights", "prototypes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(lesson, name))


def test_alone_nothing_is_sent() -> None:
    team = alone()
    rows = torch.arange(6.0).view(3, 2).requires_grad_()
    assert team.leads and team.tell({"a": 1}) == {"a": 1} and team.share([2, 0, 1]) == [2, 0, 1]
    assert team.gather(rows, [2, 0, 1]).tolist() == [[2.0, 3.0], [4.0, 5.0], [0.0, 1.0]]
    broadcast(team, None)


def test_threads_of_a_machine_are_shared_out() -> None:
    two = Team(0, 4, 2, torch.device("cpu"))
    assert [threads_each(threads, two) for threads in (0, 1, 2, 5)] == [0, 1, 1, 2]
    assert [Team(rank, 3, 3, two.device).share([9, 8, 7, 6]) for rank in range(3)] == [[9, 6], [8], [7]]


def test_more_processes_than_rows_of_a_batch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import accelerate

    from model.training.distributed import join

    class Many:
        process_index, num_processes, device = 0, 17, torch.device("cpu")

        def __init__(self, **options: Any) -> None:
            pass

    monkeypatch.setattr(accelerate, "PartialState", Many)
    with pytest.raises(TrainingError, match="FINETUNE_LAUNCH starts 17"):
        join(0)


ORPHAN = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=sys.stdout)
"""
JOINS_LATE = """
import os, sys, time
while os.getppid() != 1: time.sleep(0.05)
print(os.getpid(), flush=True)
from model.training.distributed import _end_with
_end_with(os.getppid())
"""


def test_a_process_whose_launcher_died_before_it_began_ends_as_well() -> None:
    """It takes init for its launcher, and would wait for the others for two hours."""
    made = subprocess.run([sys.executable, "-c", ORPHAN, JOINS_LATE], stdout=subprocess.PIPE, text=True, timeout=120)
    assert made.returncode == 0 and int(made.stdout) > 1, "its output has ended, and so has it"


def test_without_orders_nobody_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Team, "tell", lambda self, value=None: None)
    follow(Team(1, 2, 2, torch.device("cpu")))
