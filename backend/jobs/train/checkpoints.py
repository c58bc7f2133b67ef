"""A training's directory and its version in the object store: another machine goes on where one has died."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from backend.artifacts.artifacts import Artifacts
from backend.artifacts.runs import Saver, StoredRun, beside
from backend.errors import ArtifactConflict, ArtifactsUnavailable
from backend.jobs.train.process import trainer_threads
from backend.settings.settings import Settings
from model.errors import DamagedArtifact, TrainingError
from model.training.request import REQUEST, read_request, write_json

log = logging.getLogger(__name__)

ATTEMPT = "attempt"
"""The last attempt on this machine, in the run's directory."""


class Checkpoints:
    """Of one attempt. `look` is called while something is waited for, and may raise to give it up."""

    def __init__(self, artifacts: Artifacts, job: str, number: int, directory: Path) -> None:
        self.artifacts, self.number, self.directory = artifacts, number, directory
        self.run = StoredRun(artifacts.store, job)
        self.saver = Saver(self.run, directory, number)

    def restore(self, settings: Settings, look: Callable[[], object]) -> bool:
        """Bring here what a later attempt on another machine has saved; whether there was any. Raises
        ArtifactsUnavailable, OSError."""
        noted = self.directory / ATTEMPT
        last = int(noted.read_text(encoding="ascii")) if noted.is_file() else 0
        found = beside(look, lambda: self.run.restore(self.directory, last))
        if found:
            log.warning("the training goes on from another machine's checkpoint run=%s", self.directory.name)
            settle(settings, self.directory)
        noted.write_text(str(self.number), encoding="ascii")
        return found

    def bring_parent(self, look: Callable[[], object]) -> None:
        """Bring the version here that heads are taken over from; it can be done without."""
        try:
            request = read_request(self.directory)
        except TrainingError:
            return  # the training process says it
        if (parent := request.parent) is not None:
            beside(look, lambda: self.artifacts.ensure_if_there(request.project, parent))

    def hand_over(self, project: int, version: str, look: Callable[[], object]) -> None:
        """The version that was trained. Where an earlier attempt had written one under its name, which can never be
        published (decision 0021), this one takes its place. Raises ArtifactsUnavailable, also for a store that gives
        back other bytes; OSError."""
        try:
            beside(look, lambda: self.artifacts.push(project, version))
        except ArtifactConflict:
            look()  # raises where this attempt is the earlier one
            log.warning("an earlier attempt's version is replaced project=%s version=%s", project, version)
            self.artifacts.versions.delete(project, version)
            beside(look, lambda: self.artifacts.push(project, version))
        except DamagedArtifact as error:
            raise ArtifactsUnavailable(error.message) from error

    def forget(self) -> None:
        """The training is over."""
        self.saver.close()
        try:
            self.run.delete()
        except ArtifactsUnavailable as error:  # the scheduler sweeps it
            log.warning("checkpoints were not deleted: %s", error.message)


def settle(settings: Settings, directory: Path) -> None:
    """The request of another machine names this one's folders."""
    try:
        request = read_request(directory)
    except TrainingError as error:
        log.warning("the request of another machine cannot be used, and is made anew: %s", error.message)
        (directory / REQUEST).unlink(missing_ok=True)
        return
    spans = bool(request.spans)
    own = replace(
        request,
        models=str(settings.models_dir.absolute()),
        features=str(settings.features_dir.absolute()),
        features_mb=settings.feature_cache_mb,
        threads=trainer_threads(settings),
        timings=str(settings.data_dir.absolute()),
        words=str(settings.words_dir.absolute()) if spans else "",
        words_mb=settings.word_cache_mb,
        priors=str(settings.priors_dir.absolute()) if spans else "",
    )
    write_json(directory / REQUEST, own)
