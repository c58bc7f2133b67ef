"""Refits the heads of a project on all its labels, and publishes them as a new version. Runs in the learner."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from backend.base_model.former import live_digest
from backend.errors import BadRequest, UnsupportedConfig
from backend.jobs.attempt import attempt
from backend.jobs.context import Context, context
from backend.jobs.language import notice_language
from backend.jobs.learn.duplicates import catch_up
from backend.jobs.learn.head_version import (
    Refit,
    correct,
    fit,
    fit_answers,
    fit_marks,
    is_in_other_format,
    publish,
    write,
)
from backend.jobs.learn.label_errors import is_covered
from backend.jobs.learn.notices import tell_news
from backend.jobs.learn.pool_report import report_pool
from backend.jobs.learn.pool_survey import survey_pool
from backend.jobs.learn.span_errors import search_marks
from backend.jobs.learn.test_then_train import test_then_train
from backend.jobs.patterns import Patterns, read_patterns
from backend.jobs.pool_reader import encode_ahead, read_words_ahead
from backend.labelstudio.task_spec import parse_label_config
from backend.outcomes import JobOutcome
from backend.rules.consensus import reach_consensus
from backend.rules.recent_answers import keep_figures
from backend.store.examples import Snapshot
from model.errors import MissingEncoder, ModelError
from model.failpoints import failpoint

if TYPE_CHECKING:
    from model.spec import TaskSpec
    from model.versions.directory import Manifest
    from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

SEARCH_UNTIL = 0.6
"""Share of a refit's time after which no further fit of a search for wrong spans is begun: it would be stopped, and the
refit that was published before counted as failed."""


def refit(project: int) -> str:
    """One refit; its outcome: published, unchanged, pinned, superseded, no config, failed, or that it waits after a
    failure. Raises StoreUnavailable. (RQ calls this.)"""
    work, project = context(), int(project)
    work.stores.jobs.begin_refit(project)
    return attempt(work.stores.failures, project, "refit", lambda: learn(work, project))


def learn(work: Context, project: int) -> str:
    """All of a refit; its outcome. What goes wrong leaves as it is. Raises StoreUnavailable."""
    failpoint("refit.begin", project)
    late = time.monotonic() + SEARCH_UNTIL * work.settings.refit_timeout_seconds
    if left := _change_format(work, project, late):
        log.info("number format change: %s texts to be encoded project=%s", left, project)
        work.stores.jobs.enqueue_refit(project)
        return JobOutcome.WAITS
    outcome = JobOutcome.SUPERSEDED if _is_others(work, project) else _refit(work, project)
    if work.stopping:
        return outcome  # what follows is the next refit's
    if outcome == JobOutcome.PUBLISHED and not _is_settled(work, project) and not work.stores.jobs.is_learner_wanted():
        work.stores.jobs.begin_refit(project)
        log.info("search project=%s outcome=%s", project, _refit(work, project, search=True))
    if outcome in (JobOutcome.PUBLISHED, JobOutcome.UNCHANGED, JobOutcome.PINNED):
        catch_up(work, project)
    if outcome in (JobOutcome.PUBLISHED, JobOutcome.UNCHANGED):
        encode_ahead(work.stores, work.encoders.base, project)
        read_words_ahead(work.stores, work.encoders, project)
        _go_on_with_change(work, project, late)
        if not work.stores.jobs.is_learner_wanted() and not work.encoders.unusable:
            notice_language(work.settings, work.stores, project)
        surveyed = survey_pool(work, project)
        report_pool(work, project)
        keep_figures(work.stores.evidence, project)
        if work.stores.outbox.endpoints:
            tell_news(work, project, surveyed)
        search_marks(work, project, late)
    return outcome


def _go_on_with_change(work: Context, project: int, late: float) -> None:
    """One step towards the encoder that BASE_MODEL names, where the live version was made with another."""
    live = work.stores.versions.live(project)
    model = _load(work, project, live)
    if model is None or model.base.digest == work.encoders.base.digest:
        return
    from backend.jobs.learn.encoder_change import change_encoder, may_change

    if not may_change(work):
        return
    log.info("encoder change project=%s outcome=%s", project, change_encoder(work, project, model, late))


def _change_format(work: Context, project: int, late: float) -> int:
    """Texts that are still to be read in this machine's number format, where the live heads were fitted in another: the
    refit would keep others waiting for them. The old heads answer meanwhile."""
    if work.stores.versions.pinned(project):
        return 0
    model = _load(work, project, work.stores.versions.live(project))
    if model is None or not is_in_other_format(model.manifest, work.encoders.of(model.base.digest).base):
        return 0
    from backend.jobs.learn.encoder_change import encode_in_format

    with suppress(UnsupportedConfig, BadRequest):  # the refit says so
        return encode_in_format(work, project, model, late)
    return 0


def refit_anew(work: Context, project: int) -> str:
    """A refit that takes over nothing from the heads before; its outcome. Raises StoreUnavailable."""
    return _refit(work, project, search=True)


def _is_settled(work: Context, project: int) -> bool:
    """False when the live heads repeat choices that were made on clearly fewer labels, or labels were not checked."""
    from model.head.fit import is_settled
    from model.versions.region_answers import are_settled
    from model.versions.span_answers import is_settled as is_span_head_settled

    live = work.stores.versions.live(project)
    if live is None:
        return True
    model = work.live_model(project, live)
    if not all(is_span_head_settled(head) for head in model.span_heads.values()):
        return False
    if not are_settled(model.region_heads):
        return False
    configs = model.configs
    return all(is_settled(config) for config in configs.values()) and is_covered(work, project, configs)


def _refit(work: Context, project: int, search: bool = False) -> str:
    stores = work.stores
    config = stores.projects.config(project)
    if config is None:
        return JobOutcome.NO_CONFIG
    try:
        spec = parse_label_config(config)
    except (UnsupportedConfig, BadRequest) as error:
        stores.versions.note_fitted(project, stores.examples.seq(project))
        return f"{JobOutcome.UNUSABLE_CONFIG}: {error.message}"
    if stores.versions.pinned(project):
        return JobOutcome.PINNED
    live = stores.versions.live(project)
    snapshot = stores.examples.snapshot(project)
    failpoint("snapshot.after", project)
    champion = _load(work, project, live)
    encoders = work.encoders.of(champion.base.digest) if champion else work.encoders
    pool = work.pools.read(work.stores, encoders.base, project)
    patterns = read_patterns(stores.patterns, project, spec) if spec.spans else Patterns()
    mark = _read_mark(work, project) if work.settings.teacher_url else ""
    manifest = champion.manifest if champion else None
    needed = is_needed(manifest, spec, snapshot, len(pool), patterns, mark)
    needed = needed or is_in_other_format(manifest, encoders.base)
    if not search and not needed:
        stores.versions.note_fitted(project, snapshot.seq)
        if mark:
            stores.teachings.note_fitted(project, mark)
        if spec.spans:
            stores.patterns.note_fitted(project, patterns.read)
        return JobOutcome.UNCHANGED
    consensus = reach_consensus(spec, snapshot.records)
    spec = consensus.spec
    if tested := champion or (_cold_start(work, project, spec) if live is None else None):
        test_then_train(work, project, tested, consensus, snapshot.seq)
    run = Refit(work, project, spec, snapshot, consensus, champion, live, pool, patterns, search, encoders=encoders)
    if mark:
        run = _with_teacher(run)
    corrected = correct(run, fit(run), fit_marks(run), fit_answers(run))
    outcome = publish(run, corrected, write(run, corrected))
    if champion is None:
        _note_replaced(work, project, live, outcome)
    return outcome


def is_needed(
    manifest: Manifest | None,
    spec: TaskSpec,
    snapshot: Snapshot,
    pool: int,
    patterns: Patterns | None = None,
    mark: str = "",
) -> bool:
    """Whether a new head would differ: labels, label set, patterns or what a teacher said (`mark`) changed; or, with no
    label yet, the pool has doubled."""
    digests = patterns.digests if patterns is not None else {}
    if manifest is None:
        labels = max((len(control.labels) for control in spec.questions), default=1)
        return bool(snapshot.records) or bool(digests) or bool(mark) or pool >= 2 * labels
    if manifest.patterns != digests or manifest.teacher != mark:
        return True
    if manifest.snapshot_seq != snapshot.seq or manifest.spec_digest != spec.digest:
        return True
    return not snapshot.records and pool >= 2 * (manifest.pool or 1)


def _read_mark(work: Context, project: int) -> str:
    from backend.jobs.teach.weak_labels import read_mark  # few have a teacher

    return read_mark(work.stores.teachings, work.settings, project)


def _with_teacher(run: Refit) -> Refit:
    """With what a teacher said to texts of the pool."""
    from backend.jobs.teach.quotes import with_quotes
    from backend.jobs.teach.weak_labels import read_weak_labels

    store, settings = run.work.stores.teachings, run.work.settings
    weak = read_weak_labels(store, settings, run.project, run.spec, run.pool)
    patterns = with_quotes(run.patterns, weak.quotes)
    return replace(run, teacher=weak.samples, mark=weak.mark, patterns=patterns)


def _load(work: Context, project: int, live: str | None) -> LiveModel | None:
    """The live version; None when there is none, or when its files are gone: a new one is made then."""
    if live is None:
        return None
    try:
        return work.live_model(project, live)
    except ModelError as error:
        log.error("live version unusable project=%s version=%s: %s", project, live, error)
        return None


def _note_replaced(work: Context, project: int, version: str | None, outcome: str) -> None:
    """Says so where the version before could not be loaded for want of its encoder."""
    from backend.jobs.learn.encoder_change import note_replaced

    digest = live_digest(work.settings, project, version)
    if outcome == JobOutcome.PUBLISHED and digest and digest != work.encoders.base.digest:
        note_replaced(work, project)


def _is_others(work: Context, project: int) -> bool:
    """Whether the live version cannot be loaded for want of an encoder to which another learner has led it since."""
    from backend.jobs.learn.encoder_change import may_change

    digest = live_digest(work.settings, project, work.stores.versions.live(project))
    if digest in ("", work.encoders.base.digest):
        return False
    try:
        work.encoders.of(digest)
    except MissingEncoder:
        return not may_change(work)
    return False


def _cold_start(work: Context, project: int, spec: TaskSpec) -> LiveModel:
    """What has answered so far in a project without a version."""
    from model.versions.live_model import cold_start

    return work.as_shown(project, cold_start(spec, work.encoders.base, tools=work.encoders.span_tools))
