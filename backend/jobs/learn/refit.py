"""Refits the heads of a project on all its labels, and publishes them as a new version. Runs in the learner."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backend.errors import BadRequest, UnsupportedConfig
from backend.jobs.attempt import attempt
from backend.jobs.context import Context, context
from backend.jobs.learn.label_errors import is_checkable, is_covered, keep_suspects
from backend.jobs.learn.pool_survey import survey_pool
from backend.jobs.learn.retrospect import RECENT, Hindsight, retrospect
from backend.jobs.learn.test_then_train import test_then_train
from backend.jobs.pool_reader import encode_ahead
from backend.labelstudio.label_config.config import parse_label_config
from backend.labelstudio.label_display import rename_counts
from backend.rules.consensus import Consensus, reach_consensus
from backend.store.examples import Snapshot
from model.errors import ModelError
from model.failpoints import failpoint

if TYPE_CHECKING:
    from model.spec import TaskSpec
    from model.versions.live_model import LiveModel
    from model.versions.manifest import Manifest

log = logging.getLogger(__name__)


def refit(project: int) -> str:
    """One refit; what came of it: published, unchanged, pinned, superseded, no config, failed, or that it waits after a
    failure. Raises StoreUnavailable. (RQ calls this.)"""
    work, project = context(), int(project)
    work.stores.jobs.begin_refit(project)
    return attempt(work, project, "refit", _learn)


def _learn(work: Context, project: int) -> str:
    failpoint("refit.begin", project)
    outcome = _refit(work, project)
    if outcome == "published" and not _is_settled(work, project) and not work.stores.jobs.is_learner_wanted():
        work.stores.jobs.begin_refit(project)
        log.info("search project=%s outcome=%s", project, _refit(work, project, search=True))
    if outcome in ("published", "unchanged"):
        encode_ahead(work.stores, work.encoders.base, project)
        survey_pool(work, project)
    return outcome


def _is_settled(work: Context, project: int) -> bool:
    """False when the live heads repeat choices that were made on clearly fewer labels, or labels were not checked."""
    from model.head.fit import is_settled

    live = work.stores.versions.live(project)
    if live is None:
        return True
    configs = work.live_model(project, live).configs
    return all(is_settled(config) for config in configs.values()) and is_covered(work, project, configs)


def _refit(work: Context, project: int, search: bool = False) -> str:
    stores = work.stores
    config = stores.projects.config(project)
    if config is None:
        return "no config"
    try:
        spec = parse_label_config(config)
    except (UnsupportedConfig, BadRequest) as error:
        stores.versions.note_fitted(project, stores.examples.seq(project))
        return f"unusable config: {error.message}"
    if stores.versions.pinned(project):
        return "pinned"
    live = stores.versions.live(project)
    snapshot = stores.examples.snapshot(project)
    failpoint("snapshot.after", project)
    pool = work.pools.read(work.stores, work.encoders.base, project)
    champion = _load(work, project, live)
    if not search and not is_needed(champion.manifest if champion else None, spec, snapshot, len(pool)):
        stores.versions.note_fitted(project, snapshot.seq)
        return "unchanged"
    consensus = reach_consensus(spec, snapshot.records)
    spec = consensus.spec
    if tested := champion or (_cold_start(work, spec) if live is None else None):
        test_then_train(work, project, tested, consensus, snapshot.seq)
    return _publish(work, project, spec, snapshot, consensus, champion, live, pool, search)


def is_needed(manifest: Manifest | None, spec: TaskSpec, snapshot: Snapshot, pool: int) -> bool:
    """Whether a new head would differ: labels or label set changed; or, with no label yet, the pool has doubled."""
    if manifest is None:
        labels = max((len(control.labels) for control in spec.controls), default=1)
        return bool(snapshot.records) or pool >= 2 * labels
    if manifest.snapshot_seq != snapshot.seq or manifest.spec_digest != spec.digest:
        return True
    return not snapshot.records and pool >= 2 * int(manifest.metrics.get("pool", 0) or 1)


def _load(work: Context, project: int, live: str | None) -> LiveModel | None:
    """The live version; None when there is none, or when its files are gone: a new one is made then."""
    if live is None:
        return None
    try:
        return work.live_model(project, live)
    except ModelError as error:
        log.error("live version unusable project=%s version=%s: %s", project, live, error)
        return None


def _cold_start(work: Context, spec: TaskSpec) -> LiveModel:
    """What has answered so far in a project without a version."""
    from model.versions.live_model import cold_start

    return cold_start(spec, work.encoders.base)


def _publish(
    work: Context,
    project: int,
    spec: TaskSpec,
    snapshot: Snapshot,
    consensus: Consensus,
    champion: LiveModel | None,
    live: str | None,
    pool: list[dict[str, str]],
    search: bool,
) -> str:
    from model.head.fit import fit_heads
    from model.versions.directory import version_order, write_version
    from model.versions.live_model import LiveModel

    base, stores, root = work.encoders.base, work.stores, work.settings.models_dir
    heads = fit_heads(
        spec,
        consensus.samples,
        pool,
        base,
        seed=work.settings.seed,
        previous=champion.configs if champion else None,
        repeat=not search,
        per_label=work.settings.multilabel_thresholds == "per_label",
        cross_fit=search and all(is_checkable(len(consensus.samples[c.name]), len(c.labels)) for c in spec.controls),
    )
    hindsight = _retrospect(work, project, spec, consensus, champion)
    heads = hindsight.correct(heads)
    finetuned = hindsight.withdraw(champion.finetuned) if champion else None
    tuned = version_order(live)[0] if live and finetuned is not None else 0
    version = stores.versions.allocate(project, tuned=tuned)
    configs = {name: head.config() for name, head in heads.items()}
    facts = _manifest_facts(spec, snapshot, consensus, configs, len(pool))
    owner = champion.manifest.finetuned if champion and champion.manifest and finetuned is not None else None
    manifest = _manifest(work, project, version, live, owner, {**facts, "reason": hindsight.reason})
    write_version(root, manifest, heads, finetuned)
    tuned_encoder = champion.tuned if champion and finetuned is not None else None
    work.keep_model(project, LiveModel(version, spec, heads, base, finetuned, tuned_encoder, manifest, configs))
    stores.projects.save_summary(project, {**_summary(spec, consensus), "seq": snapshot.seq})
    outcome = stores.versions.publish(project, version, expected=live, seq=snapshot.seq, by="learner")
    if outcome == "superseded":
        stores.jobs.enqueue_refit(project)
    elif hindsight.withdrawn and (last := stores.versions.evaluated(project)):
        log.warning("project=%s version=%s: %s", project, version, hindsight.reason)
        stores.versions.note_evaluated(project, last, accepted=False)
    if outcome == "published":
        keep_suspects(work, project, spec, heads, consensus, snapshot)
    return outcome


def _retrospect(
    work: Context, project: int, spec: TaskSpec, consensus: Consensus, champion: LiveModel | None
) -> Hindsight:
    rows = work.stores.evidence.rows(project, RECENT)
    labels = {name: len(samples) for name, samples in consensus.samples.items()}
    return retrospect(spec, rows, champion, labels, work.settings.seed, work.stores.versions.evaluated(project))


def _manifest_facts(
    spec: TaskSpec, snapshot: Snapshot, consensus: Consensus, configs: Mapping[str, Any], pool: int
) -> dict[str, Any]:
    held_out = {name: config["oof"] for name, config in configs.items() if "oof" in config}
    return {
        "snapshot_seq": snapshot.seq,
        "spec": spec.to_json(),
        "spec_digest": spec.digest,
        "labels_seen": {name: len(samples) for name, samples in consensus.samples.items()},
        "metrics": {**held_out, "pool": pool},
    }


def _manifest(
    work: Context, project: int, version: str, live: str | None, owner: str | None, facts: dict[str, Any]
) -> Manifest:
    """`owner`: the version that holds the fine-tuned encoder."""
    from model.versions.manifest import Manifest

    return Manifest(
        version=version,
        project=project,
        parent=live,
        kind="head",
        encoder_digest=work.encoders.base.digest,
        finetuned=owner,
        seed=work.settings.seed,
        **facts,
    )


def _summary(spec: TaskSpec, consensus: Consensus) -> dict[str, Any]:
    """What the scheduler and the admin API want to know without reading all examples."""
    return {
        "labels": rename_counts(spec, consensus.counts()),
        "quarantined": rename_counts(spec, consensus.quarantined),
        "samples": {name: len(samples) for name, samples in consensus.samples.items()},
        "classes": {control.name: len(control.labels) for control in spec.controls},
        **consensus.describe_annotators(),
    }
