"""Refits the heads of a project on all its labels, and publishes them as a new version. Runs in the learner."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from backend.errors import BadRequest, UnsupportedConfig
from backend.jobs.attempt import attempt
from backend.jobs.context import Context, context
from backend.jobs.learn.head_version import Refit, correct, fit, fit_answers, fit_marks, publish, write
from backend.jobs.learn.label_errors import is_covered
from backend.jobs.learn.notices import tell_news
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
from model.errors import ModelError
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
    outcome = _refit(work, project)
    if work.stopping:
        return outcome  # what follows is the next refit's
    if outcome == JobOutcome.PUBLISHED and not _is_settled(work, project) and not work.stores.jobs.is_learner_wanted():
        work.stores.jobs.begin_refit(project)
        log.info("search project=%s outcome=%s", project, _refit(work, project, search=True))
    if outcome in (JobOutcome.PUBLISHED, JobOutcome.UNCHANGED):
        encode_ahead(work.stores, work.encoders.base, project)
        read_words_ahead(work.stores, work.encoders, project)
        surveyed = survey_pool(work, project)
        keep_figures(work.stores.evidence, project)
        if work.stores.outbox.endpoints:
            tell_news(work, project, surveyed)
        search_marks(work, project, late)
    return outcome


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
    pool = work.pools.read(work.stores, work.encoders.base, project)
    champion = _load(work, project, live)
    patterns = read_patterns(stores.patterns, project, spec) if spec.spans else Patterns()
    if not search and not is_needed(champion.manifest if champion else None, spec, snapshot, len(pool), patterns):
        stores.versions.note_fitted(project, snapshot.seq)
        if spec.spans:
            stores.patterns.note_fitted(project, patterns.read)
        return JobOutcome.UNCHANGED
    consensus = reach_consensus(spec, snapshot.records)
    spec = consensus.spec
    if tested := champion or (_cold_start(work, project, spec) if live is None else None):
        test_then_train(work, project, tested, consensus, snapshot.seq)
    run = Refit(work, project, spec, snapshot, consensus, champion, live, pool, patterns, search)
    corrected = correct(run, fit(run), fit_marks(run), fit_answers(run))
    return publish(run, corrected, write(run, corrected))


def is_needed(
    manifest: Manifest | None, spec: TaskSpec, snapshot: Snapshot, pool: int, patterns: Patterns | None = None
) -> bool:
    """Whether a new head would differ: labels, label set or patterns changed; or, with no label yet, the pool has
    doubled."""
    digests = patterns.digests if patterns is not None else {}
    if manifest is None:
        labels = max((len(control.labels) for control in spec.questions), default=1)
        return bool(snapshot.records) or bool(digests) or pool >= 2 * labels
    if manifest.patterns != digests:
        return True
    if manifest.snapshot_seq != snapshot.seq or manifest.spec_digest != spec.digest:
        return True
    return not snapshot.records and pool >= 2 * (manifest.pool or 1)


def _load(work: Context, project: int, live: str | None) -> LiveModel | None:
    """The live version; None when there is none, or when its files are gone: a new one is made then."""
    if live is None:
        return None
    try:
        return work.live_model(project, live)
    except ModelError as error:
        log.error("live version unusable project=%s version=%s: %s", project, live, error)
        return None


def _cold_start(work: Context, project: int, spec: TaskSpec) -> LiveModel:
    """What has answered so far in a project without a version."""
    from model.versions.live_model import cold_start

    return work.as_shown(project, cold_start(spec, work.encoders.base, tools=work.encoders.span_tools))
