"""What an admin sees and does; knows no HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from backend.admin_json import ExampleAnswer, MarkedSpan, Order, ProjectAnswer, Rollback, VersionAnswer, VersionsAnswer
from backend.application.encoder.change import describe_lacks
from backend.application.label_configs import warn_of_language
from backend.application.learning_curve import describe_curve
from backend.application.services import Services
from backend.application.spans.patterns import count_patterns
from backend.application.task_queue import describe_queue
from backend.application.teacher.teach import describe_teacher
from backend.artifacts.artifacts import Artifacts
from backend.artifacts.catalog import kept_manifests
from backend.base_model.download import describe_download
from backend.base_model.former import require_encoder
from backend.base_model.number_format import describe_timing
from backend.errors import BackendError, BadRequest, Conflict, NotFound
from backend.labelstudio.label_display import spec_of, texts_of
from backend.labelstudio.records import SpanTargets
from backend.labelstudio.task_spec import skipped_controls
from backend.notify.report import find_troubles
from backend.record_json import PoolReport
from backend.redaction import hide_in
from backend.rules.consensus import label_keys
from backend.rules.disabled_features import switched_off
from backend.settings.settings import Settings
from backend.store.outbox.event import withdrawn
from backend.store.projects import ProjectStore
from backend.store.rejects import OF_NO_PROJECT
from backend.store.stores import Stores
from backend.store.versions import FIRST_VERSION, VersionStore
from backend.store.work.encoder_changes import EncoderChanges, describe_change
from backend.telemetry.log_context import bind_project
from model.errors import MissingArtifact, VersionError

if TYPE_CHECKING:
    from model.versions.directory import Manifest

SPAN_AIMS, DEFAULT_AIM = ("clicks", "f1"), "default"
"""What suggested spans can be good for; and what leaves that to the setting."""


def require_project(projects: ProjectStore, project: int) -> int:
    """The id of a known project. Raises NotFound."""
    if not projects.knows(project):
        raise NotFound.of_project(project)
    bind_project(project)
    return project


def describe_project(services: Services, project: int) -> ProjectAnswer:
    """One project as shown by status."""
    stores = services.stores
    summary = stores.projects.summary(project)
    record = describe_curve(stores.evidence, project)
    answer: ProjectAnswer = {
        "id": project,
        "live": stores.versions.live(project) or FIRST_VERSION,
        "served": services.registry.version_of(project),
        "pinned": stores.versions.pinned(project),
        "examples": stores.examples.count(project),
        "pending": stores.examples.pending(project),
        "pool": stores.projects.pool_size(project),
        "labels": summary.get("labels", {}),
        "quarantined": summary.get("quarantined", {}),
        "annotators": summary.get("annotators", {}),
        "disagreements": summary.get("disagreements", {}),
        "agreement": summary.get("agreement", {}),
        "not_learned": _not_learned(stores.projects.config(project)),
        "metrics": record["recent"],
        "curve": record["curve"],
        "job": hide_in(stores.jobs.running(project)),
        "recent_jobs": hide_in(stores.jobs.recent(project, 5)),
        "last_sync": hide_in(stores.projects.last_sync(project)),
        "queue": describe_queue(services.settings, stores, project),
        "trouble": hide_in(stores.failures.describe(project)),
        "dirty": stores.projects.dirty(project),
        "rejects": stores.rejects.read(project),
        "refused": stores.rejects.read(OF_NO_PROJECT),
        "number_format": describe_timing(services.settings),
        "spans_show": stores.projects.spans_show(project),
        "patterns": count_patterns(stores, project),
        "duplicates": stores.labelled_texts.counts(project),
        "language": warn_of_language(stores.projects, project),
        "off": {
            **switched_off(services.settings),
            **_coming(services.settings),
            **_lost_durability(services.background.watch.problems),
            **find_troubles(stores.outbox, time.time()),
            **describe_change(EncoderChanges(stores.client), project),
            **describe_lacks(stores, services.settings, project),
        },
    }
    if services.settings.teacher_url:
        answer["teacher"] = describe_teacher(stores, services.settings, project)
    return answer


def _coming(settings: Settings) -> dict[str, str]:
    coming = describe_download(settings)
    return {"the encoder": f"{coming}; models do not serve before"} if coming else {}


def _lost_durability(problems: list[str]) -> dict[str, str]:
    """Shown with what is switched off: Redis was reconfigured while all ran."""
    return {"durability of Redis": f"{'; '.join(problems)}; labels can be lost"} if problems else {}


def _not_learned(config: str | None) -> list[str]:
    """Why controls of the label config are left out, one reason each."""
    try:
        return list(skipped_controls(config))
    except BadRequest:
        return []


def describe_examples(stores: Stores, project: int) -> list[ExampleAnswer]:
    """One entry per stored annotation."""
    snapshot = stores.examples.snapshot(project)
    answers = [{name: label_keys(target) for name, target in record.targets.items()} for record in snapshot.records]
    found: dict[str, dict[str, None]] = {}
    for answer in answers:
        for name, keys in answer.items():
            found.setdefault(name, {}).update(dict.fromkeys(keys))
    spec = spec_of(stores.projects.config(project))
    texts = {name: texts_of(spec, name, keys) for name, keys in found.items()}
    entries: list[ExampleAnswer] = []
    for record, answer in zip(snapshot.records, answers, strict=True):
        entry: ExampleAnswer = {
            "id": record.annotation,
            "task": record.task,
            "labels": {name: [texts[name][key] for key in keys] for name, keys in answer.items()},
            "updated_at": record.updated_at,
            "annotator": record.annotator,
            "ground_truth": record.ground_truth,
        }
        if record.spans:
            entry["spans"] = _marked(record.spans)
        if record.removed:
            entry["removed"] = _marked(record.removed)
        entries.append(entry)
    return entries


def _marked(targets: SpanTargets) -> dict[str, list[MarkedSpan]]:
    return {
        name: [{"start": start, "end": end, "label": label} for start, end, label in rows]
        for name, rows in targets.items()
    }


def describe_pool(stores: Stores, project: int) -> PoolReport:
    """Duplicates and outliers of the pool as the learner found them last. Raises NotFound before the first time."""
    report = stores.pool_reports.read(project)
    if report is None:
        raise NotFound(
            f"the pool of project {project} has not been looked at yet: it is when nobody waits for the learner"
        )
    return report


def describe_versions(services: Services, project: int) -> VersionsAnswer:
    """Kept versions, newest first."""
    known = services.stores.versions
    manifests = kept_manifests(services.settings.models_dir, project, services.registry.catalog)
    versions = [_describe_version(manifest) for manifest in manifests]
    versions.sort(key=lambda entry: entry["created_at"], reverse=True)
    return {
        "live": known.live(project) or FIRST_VERSION,
        "pinned": known.pinned(project),
        "versions": versions,
        "history": known.history(project)[:50],
    }


def _describe_version(manifest: Manifest) -> VersionAnswer:
    found: VersionAnswer = {
        "version": manifest.version,
        "kind": manifest.kind,
        "status": manifest.status,
        "reason": manifest.reason,
        "parent": manifest.parent,
        "created_at": manifest.created_at,
        "labels_seen": manifest.labels_seen,
        "metrics": manifest.metrics,
        "snapshot_seq": manifest.snapshot_seq,
    }
    if manifest.gate:
        found["gate"] = manifest.gate
    return found


def rollback_to(
    settings: Settings, versions: VersionStore, project: int, version: str, artifacts: Artifacts | None = None
) -> Rollback:
    """Make a kept version live and pin it. Raises BadRequest for no version's name, NotFound for one that is not
    kept, Conflict for a damaged one or one whose encoder is gone, ArtifactsUnavailable for one that cannot be fetched
    now."""
    from model.versions.directory import version_path

    try:
        directory = version_path(settings.models_dir, project, version)
    except VersionError as error:
        raise BadRequest("version: the name of a kept version, such as v3.17, is needed", field="version") from error
    pinned = versions.pinned(project)
    if artifacts is not None:
        versions.pin(project, version)  # before it is looked for: from now on it is not deleted as old
    try:
        manifest = _usable(artifacts, project, version, directory)
        require_encoder(settings, manifest.encoder_digest, versions.encoders)
    except BackendError:
        if artifacts is not None:
            versions.pin(project, pinned) if pinned else versions.unpin(project)
        raise
    versions.pin(project, version)
    live = versions.live(project)
    seq, told = manifest.snapshot_seq, withdrawn(project, live, version, "an admin rolled back to it")
    versions.publish(project, version, expected=live, seq=seq, by="admin", force=True, event=told)
    message = f"project {project} serves {version} and stays there until a retrain is accepted, or `understudy unpin`"
    return {"live": version, "from": live or FIRST_VERSION, "pinned": version, "message": message}


def _not_kept(project: int, version: str) -> NotFound:
    told = f"project {project} keeps no version {version}: `understudy versions {project}` lists them"
    return NotFound(told, version=version)


def _usable(artifacts: Artifacts | None, project: int, version: str, directory: Path) -> Manifest:
    """Of a version that is whole, on this machine and, where there is an object store, in that."""
    from model.versions.directory import verify_version

    try:
        if artifacts is not None:
            artifacts.share(project, version)
        if not directory.is_dir():
            raise _not_kept(project, version)
        return verify_version(directory)
    except MissingArtifact as error:
        raise _not_kept(project, version) from error
    except VersionError as error:
        raise Conflict(error.message, version=version[:40]) from error


def unpin(stores: Stores, project: int) -> Order:
    """Let learning publish by itself again."""
    stores.versions.unpin(project)
    stores.jobs.enqueue_refit(project)
    return {
        "live": stores.versions.live(project) or FIRST_VERSION,
        "pinned": None,
        "message": "learning goes on",
    }


def show_spans(services: Services, project: int, aim: str) -> Order:
    """Choose what suggested spans of a project are to be good for; "default" leaves it to SPANS_SHOW. Raises BadRequest
    for another aim, Conflict where no text is marked."""
    if aim not in (*SPAN_AIMS, DEFAULT_AIM):
        raise BadRequest(f"spans: one of {', '.join(SPAN_AIMS)} or {DEFAULT_AIM} is needed", field="spans")
    stores = services.stores
    spec = spec_of(stores.projects.config(project))
    if spec is None or not spec.spans:
        raise Conflict(f"project {project} marks no text")
    chosen = "" if aim == DEFAULT_AIM else aim
    stores.projects.choose_spans_show(project, chosen)
    services.registry.show_spans(project, chosen)
    shown = chosen or services.settings.spans_show
    why = "as SPANS_SHOW says" if not chosen else "whatever SPANS_SHOW says"
    return {
        "status": shown,
        "message": f"project {project} shows spans for {shown}, {why}; what Label Studio has stored already stays "
        "until the next version",
    }


def request_resync(settings: Settings, stores: Stores, project: int) -> Order:
    """Ask for a reconciliation. Raises Conflict when Label Studio is not configured."""
    if not settings.has_label_studio:
        raise Conflict("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to reconcile with Label Studio")
    stores.failures.release(project, "sync")
    created = stores.jobs.enqueue_sync(project)
    return {"status": "queued", "message": "asked for" if created else "already asked for"}
