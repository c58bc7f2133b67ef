"""Fine-tunes a project: writes down what is to be learned, runs the training process, and publishes what it proved.

Runs in the trainer, which never runs a torch operation itself. The training process dies with it, and goes on from its
last checkpoint when the job is run again.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from backend.consensus import reach_consensus
from backend.errors import BackendError, SettingsError
from backend.jobs.context import Context, context
from backend.labelstudio.config import parse_label_config
from backend.lifetime import die_with
from backend.settings import Settings, child_environment
from backend.store.jobs import OVER
from backend.threads import cores
from model.gate import find_outdone
from model.run import REQUEST, Request, Result, read_result, write_json

log = logging.getLogger(__name__)

POLL = 0.5
"""Seconds between two signs of life, and two looks at whether somebody cancelled."""

PUBLISH_TRIES = 20
POOL = 1000
"""Unlabelled texts that a training reads for its prototypes."""


class Stopped(Exception):
    """The training was cancelled, or this worker is to stop: `cancelled` says which."""

    def __init__(self, cancelled: bool) -> None:
        super().__init__("stopped")
        self.cancelled = cancelled


def train(job: str) -> str:
    """One training, from its record to the verdict; its last status. (RQ calls this.)"""
    work = context()
    record = work.stores.jobs.get(job)
    if record["status"] in OVER:
        return str(record["status"])
    now = time.time()
    fields = {"status": "running", "started_at": now, "beat": now, "attempts": int(record.get("attempts", 0)) + 1}
    work.stores.jobs.update(job, fields)
    directory = (work.settings.runs_dir / job).absolute()
    try:
        status = _train(work, job, record, directory)
    except Stopped as stop:
        if not stop.cancelled:
            work.stores.jobs.send(job)  # goes on from its checkpoint when a worker is there again
            return "stopped"
        status = _end(work, job, "cancelled", message="cancelled")
    except (BackendError, OSError, ValueError) as error:
        log.exception("training failed job=%s", job)
        status = _end(work, job, "failed", message=str(error)[:500])
    shutil.rmtree(directory, ignore_errors=True)
    return status


def _train(work: Context, job: str, record: dict[str, Any], directory: Path) -> str:
    project = int(record["project"])
    if not (directory / REQUEST).is_file():
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / REQUEST, make_request(work, project))
    error = _run_process(work, job, directory)
    result = read_result(directory)
    request = json.loads((directory / REQUEST).read_text(encoding="utf-8"))
    counts = [len(samples) for samples in request["samples"].values()]
    facts = {"labels": max(counts, default=0), "seq": request["snapshot_seq"], "job": job}
    if result is not None:
        facts["outdone"] = find_outdone(result.gate)
    work.stores.versions.note_evaluated(project, facts, accepted=bool(result and result.accepted))
    if result is None:
        return _end(work, job, "failed", message=error)
    outcome = publish(work, project, result, request["snapshot_seq"], asked_by_admin=bool(record.get("force")))
    if outcome == "published":
        work.stores.jobs.enqueue_refit(project)
        return _end(work, job, "done", version=result.version, message=result.reason)
    return _end(work, job, "rejected", version=result.version, message=outcome)


def make_request(work: Context, project: int) -> Request:
    """What is to be learned now. Raises BackendError for a project without a usable config."""
    settings, stores = work.settings, work.stores
    spec = parse_label_config(stores.projects.config(project))
    snapshot = stores.examples.snapshot(project)
    consensus = reach_consensus(spec, snapshot.records)
    pool = stores.projects.pool(project)
    return Request(
        project=project,
        version=stores.versions.allocate(project),
        parent=stores.versions.live(project),
        snapshot_seq=snapshot.seq,
        spec=spec.to_json(),
        samples={name: [sample.to_json() for sample in samples] for name, samples in consensus.samples.items()},
        pool=[dict(document) for document in list(pool.values())[:POOL]],
        base_model=settings.base_model,
        models=str(settings.models_dir.absolute()),
        features=str(settings.features_dir.absolute()),
        features_mb=settings.feature_cache_mb,
        steps=settings.finetune_steps,
        threads=trainer_threads(settings),
        seed=settings.seed,
        min_examples=settings.gate_min_examples,
        precision=settings.precision,
    )


def trainer_threads(settings: Settings) -> int:
    """FINETUNE_THREADS, or all cores but one: serving needs that one."""
    return settings.finetune_threads or max(1, cores() - 1)


def _run_process(work: Context, job: str, directory: Path) -> str:
    """Runs the training process to its end; what went wrong, "" when nothing did. Raises Stopped."""
    parent = os.getpid()
    threads = str(trainer_threads(work.settings))
    environment = child_environment(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, TOKENIZERS_PARALLELISM="false")
    for name in ("LABEL_STUDIO_API_KEY", "ADMIN_TOKEN", "WEBHOOK_SECRET", "BASIC_AUTH_PASS", "REDIS_URL"):
        environment.pop(name, None)
    with (directory / "training.log").open("ab") as errors:
        process = subprocess.Popen(
            training_command(work.settings, directory, environment.get("PATH", "")),
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            preexec_fn=lambda: _settle_in(parent),
        )
    last: dict[str, Any] = {}
    reader = threading.Thread(target=_read_progress, args=(process, last), daemon=True)
    reader.start()
    try:
        while process.poll() is None:
            _show(work, job, last)
            if work.stopping or work.stores.jobs.is_cancelled(job):
                raise Stopped(cancelled=not work.stopping)
            time.sleep(POLL)
    finally:
        end_with_children(process)
        reader.join(5)
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode == 0:
        return ""
    return str(last.get("error") or f"the training process ended with status {process.returncode}")


def training_command(settings: Settings, directory: Path, path: str) -> list[str]:
    """The command line of a training: this Python, or FINETUNE_LAUNCH, looked for beside this Python and in `path`."""
    training = ["-m", "model.training", str(directory)]
    launcher = shlex.split(settings.finetune_launch)
    if not launcher:
        return [sys.executable, *training]
    program = shutil.which(launcher[0], path=os.pathsep.join([str(Path(sys.executable).parent), path]))
    if program is None:
        raise SettingsError(
            f"FINETUNE_LAUNCH names {launcher[0]!r}, which is not installed here", setting="FINETUNE_LAUNCH"
        )
    return [program, *launcher[1:], *training]


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


def _settle_in(parent: int) -> None:
    """In the new process, before it becomes the training: it dies with the worker, and serving goes first."""
    os.nice(10)
    die_with(parent)


def _read_progress(process: subprocess.Popen[bytes], last: dict[str, Any]) -> None:
    for line in process.stdout or ():
        try:
            last.update(json.loads(line))
        except ValueError:
            continue  # a library that prints


def _show(work: Context, job: str, last: dict[str, Any]) -> None:
    known = ("stage", "step", "of", "epoch", "loss", "seconds_left")
    work.stores.jobs.update(job, {"beat": time.time(), **{name: last[name] for name in known if name in last}})


def publish(work: Context, project: int, result: Result, seq: int, *, asked_by_admin: bool) -> str:
    """Make an accepted challenger live; "published", or why not.

    Head refits go on while it trains, so the live version may have moved: the challenger still replaces it, and the
    refit that follows teaches it what came since. A pin is lifted only by a training that an admin asked for."""
    if not result.accepted:
        return result.reason
    versions = work.stores.versions
    pinned = versions.pinned(project)
    if pinned and not asked_by_admin:
        return f"accepted, but the project is pinned to {pinned}"
    if pinned:
        versions.unpin(project)
    for _ in range(PUBLISH_TRIES):
        live = versions.live(project)
        outcome = versions.publish(project, result.version, expected=live, seq=seq, by="trainer")
        if outcome in ("published", "already"):
            return "published"
        if outcome == "pinned":
            return "accepted, but the project was pinned meanwhile"
    return "accepted, but the live version kept moving"


def _end(work: Context, job: str, status: str, **fields: Any) -> str:
    log.info("training over job=%s status=%s %s", job, status, fields)
    work.stores.jobs.update(job, {"status": status, "ended_at": time.time(), "seconds_left": None, **fields})
    return status
