"""The process of one fine-tune, as the trainer sees it: started, watched, and at its end gone with all its children."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import psutil

from backend.cpu import cores
from backend.errors import SettingsError
from backend.settings.settings import Settings, child_environment, own_modules
from backend.settings.sources import OF_OBJECT_STORES
from backend.supervision.parent_death import die_with

POLL_SECONDS = 0.5
"""Seconds between two looks at the process."""

LOG_FILE = "training.log"
"""What the process and its libraries write on stderr, in the run's directory."""

KEPT_FROM_IT = (
    *("LABEL_STUDIO_API_KEY", "ADMIN_TOKEN", "WEBHOOK_SECRET", "BASIC_AUTH_PASS", "REDIS_URL", "HF_TOKEN"),
    *("NOTIFY_URL", "NOTIFY_SECRET"),
)
"""Secrets that it does not need."""


RANK_LOST, CRASHED, HUNG = "rank_lost", "training_crashed", "training_hung"
"""Why an attempt was lost, in the record of a training: one of several processes ended, and with it all others; the
only one did; nothing was said for too long."""

LAUNCHER_TAIL_BYTES = 1 << 16

FAILED_RANK = re.compile(rb"rank\s*:\s*(\d+) \(local_rank[^)]*\)\s*exitcode\s*:\s*(-?\d+)")
"""What torch's launcher says of the process that ended first."""


@dataclass(frozen=True)
class ProcessOutcome:
    """How it went: `error` is "" for well; `crashed`: it was killed or hung, so that another attempt may go better;
    `code` then: RANK_LOST, CRASHED, HUNG, or that of a base model that cannot be had; `paused`: it was asked to end,
    and goes on from a checkpoint that it has written."""

    error: str = ""
    crashed: bool = False
    code: str = ""
    paused: bool = False


class Progress(TypedDict, total=False):
    """What the process tells of itself, a line at a time; {} before the first. `error`: why it ends. `losses`, `looks`:
    (step, loss) of each step so far, and of each look at the rows that are held out; `starts`: of stages; `paused`: it
    has written a checkpoint and ends."""

    stage: str
    step: int
    of: int
    epoch: float
    loss: float
    seconds_left: float | None
    held_out: float
    error: str
    paused: bool
    losses: list[tuple[int, float]]
    looks: list[tuple[int, float]]
    starts: list[int]


@dataclass
class _LastProgress:
    """The last progress that the process told, and when."""

    last: Progress
    at: float


def run_process(
    settings: Settings, directory: Path, look: Callable[[Progress], None], lock: int | None = None
) -> ProcessOutcome:
    """Runs the training in `directory` to its end. `look`, called with its progress every POLL_SECONDS, may raise to
    stop it; that error leaves, with the process gone. `lock`: a descriptor that the process keeps open."""
    told = _size_of(directory / LOG_FILE)
    process = _start(settings, directory, lock)
    said = _LastProgress({}, time.monotonic())
    reader = threading.Thread(target=_read_progress, args=(process, said), daemon=True)
    reader.start()
    began, overdue = time.monotonic(), None
    try:
        # A launcher would wait for its other processes, which wait for the one that has paused.
        while process.poll() is None and overdue is None and not said.last.get("paused"):
            look(said.last)
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
            overdue = _find_overdue(settings, time.monotonic() - began, time.monotonic() - said.at)
    finally:
        end_with_children(process)
        reader.join(5)
        if process.stdout is not None:
            process.stdout.close()
    if overdue is not None:
        return overdue
    if said.last.get("paused"):
        return ProcessOutcome(paused=True)
    if process.returncode == 0:
        return ProcessOutcome()
    if "error" in said.last:
        return ProcessOutcome(str(said.last["error"]))
    if settings.finetune_launch:
        return ProcessOutcome(describe_lost_rank(directory / LOG_FILE, told), crashed=True, code=RANK_LOST)
    return ProcessOutcome(f"the training process ended with status {process.returncode}", crashed=True, code=CRASHED)


def _size_of(log: Path) -> int:
    with suppress(OSError):
        return log.stat().st_size
    return 0


def describe_lost_rank(log: Path, start: int = 0) -> str:
    """Which of several processes ended first, and how, as far as their launcher has told from byte `start` of the log
    on: before are earlier attempts."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, _size_of(log) - LAUNCHER_TAIL_BYTES))
            found = FAILED_RANK.findall(file.read())
    except OSError:
        found = []
    if not found:
        return "a process of the training ended, and the others with it"
    rank, status = found[-1]
    return f"process {rank.decode()} of the training ended with status {status.decode()}, and the others with it"


def _find_overdue(settings: Settings, ran: float, silent: float) -> ProcessOutcome | None:
    """Why it must be killed now, after seconds in all and seconds without a word; None to go on."""
    if ran > 60 * settings.finetune_timeout_minutes:
        return ProcessOutcome(f"it took longer than FINETUNE_TIMEOUT_MINUTES={settings.finetune_timeout_minutes:g}")
    if silent > 60 * settings.finetune_stall_minutes:
        return ProcessOutcome(
            f"it hung for FINETUNE_STALL_MINUTES={settings.finetune_stall_minutes:g} and was killed", True, HUNG
        )
    return None


def _start(settings: Settings, directory: Path, lock: int | None) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    threads = str(trainer_threads(settings))
    environment = child_environment(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, TOKENIZERS_PARALLELISM="false")
    environment |= own_modules()
    environment["HF_HUB_OFFLINE"] = "1"  # base_model_files.py has fetched it, by our proxies and certificates
    for name in (*KEPT_FROM_IT, *OF_OBJECT_STORES):
        environment.pop(name, None)
    with (directory / LOG_FILE).open("ab") as errors:
        return subprocess.Popen(
            training_command(settings, directory, environment.get("PATH", "")),
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            pass_fds=() if lock is None else (lock,),
            preexec_fn=lambda: settle_in(parent),
        )


def trainer_threads(settings: Settings) -> int:
    """FINETUNE_THREADS, or all cores but one: serving needs that one."""
    return settings.finetune_threads or max(1, cores() - 1)


def training_command(settings: Settings, directory: Path, path: str) -> list[str]:
    """The command line of a training: this Python, or FINETUNE_LAUNCH, looked for beside this Python and in `path`."""
    training = [
        "-m",
        "model.training",
        str(directory),
        *([settings.failpoint] if settings.failpoint else []),
    ]
    launcher = shlex.split(settings.finetune_launch)
    if not launcher:
        return [sys.executable, *training]
    program = shutil.which(launcher[0], path=os.pathsep.join([str(Path(sys.executable).parent), path]))
    if program is None:
        raise SettingsError(
            f"FINETUNE_LAUNCH names {launcher[0]!r}, which is not installed here", setting="FINETUNE_LAUNCH"
        )
    return [*_start_of(program), *launcher[1:], *training]


def _start_of(program: str) -> list[str]:
    """A script that was installed beside this Python is given to it: the path in its first line may be too odd."""
    with suppress(OSError), open(program, "rb") as file:
        if Path(program).parent == Path(sys.executable).parent and file.read(2) == b"#!":
            return [sys.executable, program]
    return [program]


def end_with_children(process: subprocess.Popen[bytes]) -> None:
    """Kill the training and what it launched: nothing may write into its directory any more."""
    children: list[psutil.Process] = []
    with suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        with suppress(psutil.Error):
            child.kill()
    process.wait()
    psutil.wait_procs(children, timeout=10)


def settle_in(parent: int) -> None:
    """In the new process, before it becomes the training: it dies with the worker, and serving goes first."""
    os.nice(10)
    die_with(parent)


def _read_progress(process: subprocess.Popen[bytes], said: _LastProgress) -> None:
    for line in process.stdout or ():
        said.at = time.monotonic()
        try:
            _note(said.last, json.loads(line))
        except (ValueError, TypeError, AttributeError):
            continue  # a library that prints


def _note(last: Progress, line: Progress) -> None:
    """Takes a line into what was told last."""
    if (held_out := line.pop("held_out", None)) is not None:
        last.setdefault("looks", []).append((last.get("step", 0), held_out))
    if "loss" in line and "step" in line:
        if line.get("stage") != last.get("stage"):
            last.setdefault("starts", []).append(line["step"])
        last.setdefault("losses", []).append((line["step"], line["loss"]))
    last.update(line)
