"""`understudy import-model`: a stock classifier from a directory as a challenger of a project's live version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from backend.artifacts.artifacts import open_artifacts
from backend.base_model.hub import find_encoder_files
from backend.embedded_redis.server import redis_at_hand
from backend.errors import BadRequest, Conflict, NotFound
from backend.jobs.train.train import make_request, publish
from backend.outcomes import PublishOutcome
from backend.screen import plain
from backend.settings.settings import Settings
from backend.store.outbox.event import refused
from backend.store.stores import Stores
from model.errors import ModelError
from model.spec import Control

if TYPE_CHECKING:
    from backend.imports.alike import Alike
    from model.training.request import Request, Result

AUDITED = "import-model"


@dataclass(frozen=True)
class Imported:
    """`published`: it is live; `reason`: why, or why not; `alike`: whether it is read here as transformers reads it,
    None where there is no text."""

    version: str
    control: str
    published: bool
    reason: str
    alike: Alike | None = None


def import_model(
    settings: Settings, project: int, directory: Path, control: str = "", tell: Callable[[str], None] = lambda _: None
) -> Imported:
    """Copies what is needed of `directory`, has the gate judge it, and publishes it if that accepts. The version is
    kept either way. Raises BadRequest for a directory or labels that cannot be taken, NotFound for an unknown project,
    Conflict while a training runs."""
    if not directory.is_dir():
        raise BadRequest(
            f"{plain(directory)} is no directory: a transformers classifier's is needed", field="directory"
        )
    with redis_at_hand(settings):
        stores = Stores(settings)
        try:
            found = _import(settings, stores, project, directory, control, tell)
            status = "published" if found.published else "refused"
            _note(stores, project, status)
            return found
        finally:
            stores.close()


def _import(
    settings: Settings, stores: Stores, project: int, directory: Path, control: str, tell: Callable[[str], None]
) -> Imported:
    from model.training.imports.classifier import copy_classifier
    from model.training.imports.judge import Candidate, judge_import

    if not stores.projects.knows(project):
        raise NotFound.of_project(project)
    if running := stores.jobs.running(project):
        raise Conflict(f"{running['id']} trains: import when it is over, or `understudy cancel` it")
    find_encoder_files(settings)
    with TemporaryDirectory(dir=_scratch(settings)) as scratch:
        folder = Path(scratch) / "classifier"
        try:
            copy_classifier(directory, folder)
            request = make_request(settings, stores, project)
            asked = _choose(request, control, folder)
            result = judge_import(request, Candidate(folder, asked), tell)
            alike = _compare(request, asked, directory, Path(scratch) / "again", tell)
        except ModelError as error:
            _note(stores, project, "failed")
            raise BadRequest(error.message, field="directory") from error
    if (artifacts := open_artifacts(settings, frozenset)) is not None:
        artifacts.push(project, result.version)
    return replace(_conclude(stores, project, request, asked.name, result), alike=alike)


def _compare(
    request: Request, control: Control, source: Path, target: Path, tell: Callable[[str], None]
) -> Alike | None:
    """On texts that the project knows. Raises TrainingError."""
    from backend.imports.alike import COMPARED, compare
    from model.training.imports.classifier import copy_for_pipeline

    labelled = [sample.text for sample in request.samples_of(control.name)]
    others = [control.text_of(one) for one in request.pool if all(name in one for name in control.inputs)]
    texts = list(dict.fromkeys([*others, *labelled]))[:COMPARED]
    if not texts:
        return None
    tell(f"comparing it with transformers' own pipeline on {len(texts)} texts")
    copy_for_pipeline(source, target)
    return compare(target, control, texts)


def _scratch(settings: Settings) -> Path:
    settings.runs_dir.mkdir(parents=True, exist_ok=True)
    return settings.runs_dir


def _conclude(stores: Stores, project: int, request: Request, control: str, result: Result) -> Imported:
    """Only the gate's word publishes; a pin stays."""
    outcome = publish(stores.versions, project, result, request.snapshot_seq)
    published = outcome == PublishOutcome.PUBLISHED
    if published:
        stores.jobs.enqueue_refit(project)
    else:
        stores.outbox.put(refused(project, None, result.version, outcome))
    return Imported(result.version, control, published, result.reason if published else outcome)


def _choose(request: Request, wanted: str, directory: Path) -> Control:
    """The control that it is for: the named one, the only one, or the one whose labels it has. Raises BadRequest."""
    spec = request.task_spec
    if spec.spans:
        raise BadRequest("classifiers can be imported into projects that mark no text", field="project")
    usable = [control for control in spec.controls if control.options_field is None]
    names = [control.name for control in usable]
    if wanted and wanted not in names:
        raise BadRequest(f"--control {wanted}: there is {', '.join(names) or 'none'}", field="control")
    if not usable:
        raise BadRequest("the project asks nothing that a classifier with fixed labels answers", field="project")
    if wanted or len(usable) == 1:
        return next(control for control in usable if control.name == wanted or not wanted)
    return _by_labels(usable, directory)


def _by_labels(usable: Sequence[Control], directory: Path) -> Control:
    from model.pretrained.base_model import read_config
    from model.training.imports.classifier import labels_in

    theirs = set(labels_in(read_config(directory)))
    alike = [control for control in usable if set(control.shown.values()) <= theirs]
    if len(alike) != 1:
        names = ", ".join(control.name for control in usable)
        raise BadRequest(f"it answers {names}: say which (--control {usable[0].name})", field="control")
    return alike[0]


def _note(stores: Stores, project: int, status: str) -> None:
    stores.audit.write({"by": "command line", "action": AUDITED, "project": str(project), "status": status})
