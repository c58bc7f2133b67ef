"""The process of one export, as the trainer sees it: started, watched, and at its end gone with all its children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from backend.jobs.export.run_directory import LOG, Step
from backend.jobs.train.process import KEPT_FROM_IT, POLL_SECONDS, end_with_children, settle_in, trainer_threads
from backend.settings.settings import Settings, child_environment, own_modules

ENDED = "export_failed"
"""Code of an export that ended without a word."""


@dataclass
class _LastStep:
    """What the process told last."""

    last: Step


def run_export(settings: Settings, directory: Path, look: Callable[[Step], None], lock: int) -> Step:
    """Runs the export in `directory` to its end: {} when all is well, else `message` and `error`, "" for a process that
    was killed or hung, so that another attempt may go better. `look`, called with its progress every POLL_SECONDS, may
    raise to stop it; that error leaves, with the process gone. `lock`: a descriptor that the process keeps open."""
    process = _start(settings, directory, lock)
    said = _LastStep({})
    reader = threading.Thread(target=_read, args=(process, said), daemon=True)
    reader.start()
    began = time.monotonic()
    try:
        while process.poll() is None:
            look(said.last)
            if time.monotonic() - began > 60 * settings.finetune_timeout_minutes:
                words = f"it took longer than FINETUNE_TIMEOUT_MINUTES={settings.finetune_timeout_minutes:g}"
                return {"error": ENDED, "message": words}
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
    finally:
        end_with_children(process)
        reader.join(5)
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode == 0:
        return {}
    if said.last.get("error"):
        return said.last
    if process.returncode > 0:
        return {"error": ENDED, "message": f"unexpected error; {LOG} in DATA_DIR/exports has the details"}
    return {"error": "", "message": f"its process was ended by signal {-process.returncode}"}


def environment_for(settings: Settings) -> dict[str, str]:
    """Of the process: without the secrets that it does not need."""
    threads = str(trainer_threads(settings))
    environment = child_environment(
        OMP_NUM_THREADS=threads,
        MKL_NUM_THREADS=threads,
        TOKENIZERS_PARALLELISM="false",
        DATA_DIR=str(settings.data_dir.absolute()),
        BASE_MODEL=settings.base_model,
    )
    environment |= own_modules()
    for name in KEPT_FROM_IT:
        environment.pop(name, None)
    # Wherever it stands, of a URL without its secret the settings would say so; it tells nobody anything.
    environment.pop("NOTIFY_URL_FILE", None)
    environment["NOTIFY_URL"] = ""
    environment["REDIS_URL"] = settings.effective_redis_url  # it reads labels and evidence
    return environment


def _start(settings: Settings, directory: Path, lock: int) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    with (directory / LOG).open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "backend.jobs.export", str(directory)],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment_for(settings),
            pass_fds=(lock,),
            preexec_fn=lambda: settle_in(parent),
        )


def _read(process: subprocess.Popen[bytes], said: _LastStep) -> None:
    for line in process.stdout or ():
        with suppress(ValueError, TypeError):  # a library that prints
            step = json.loads(line)
            if isinstance(step, dict) and step.keys() <= Step.__annotations__.keys():
                said.last = cast("Step", step)
