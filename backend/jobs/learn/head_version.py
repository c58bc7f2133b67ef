"""A new version of a project's heads, in four steps: fit, correct, write, publish. Runs in the learner.

What is durable after each: nothing after `fit` and `correct`; the version's files, which nothing refers to yet, after
`write`; after `publish` the version is the live one, or was superseded and another refit is queued.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from backend.jobs.context import Context
from backend.jobs.learn.duplicates import try_to_keep_labelled
from backend.jobs.learn.label_errors import is_checkable, keep_suspects
from backend.jobs.learn.retrospect import RECENT_ROWS, Hindsight, retrospect
from backend.jobs.patterns import Patterns
from backend.labelstudio.label_display import rename_counts
from backend.labelstudio.span_answers import RELATIONS
from backend.outcomes import PublishOutcome
from backend.record_json import Summary
from backend.rules.annotator_agreement import compare_with_model, count_activity
from backend.rules.consensus import Consensus
from backend.store.examples import Snapshot
from backend.store.outbox.event import withdrawn
from model.kernels.choice import INT8
from model.spec import Document, Samples, TaskSpec

if TYPE_CHECKING:
    from backend.base_model.encoders import Encoders
    from model.evidence.row import EvidenceRow
    from model.features.cache import CachedEncoder
    from model.head.linear_head import LinearHead
    from model.regions.region_heads import RegionHeads
    from model.spans.head.pattern_report import LabelPatterns
    from model.versions.directory import Manifest
    from model.versions.finetuned import FineTuned
    from model.versions.live_model import LiveModel
    from model.versions.span_answers import MarkHead

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refit:
    """What one refit has read: everything that its steps depend on.

    `champion` is the version `live`, loaded; None when there is none or its files are gone. `patterns`: what people
    brought. `search`: the choices of the heads are searched for anew, however many rows there are. `teacher`: what one
    said to texts of the pool, and its `mark`."""

    work: Context
    project: int
    spec: TaskSpec
    snapshot: Snapshot
    consensus: Consensus
    champion: LiveModel | None
    live: str | None
    pool: Sequence[Document]
    patterns: Patterns = field(default_factory=Patterns)
    search: bool = False
    encoders: Encoders | None = None
    """Those of the champion where BASE_MODEL names others by now; None: the process's own."""
    teacher: Samples = field(default_factory=dict)
    mark: str = ""

    @property
    def encoder(self) -> Encoders:
        """What the next version is made with."""
        return self.encoders or self.work.encoders


@dataclass(frozen=True)
class Corrected:
    """What the next version consists of: the heads with their corrections, and what is left of the fine-tune. `rows`:
    the evidence that says so; `reason`: why it was made, where that is not a correction."""

    heads: Mapping[str, LinearHead]
    finetuned: FineTuned | None
    hindsight: Hindsight
    span_heads: Mapping[str, MarkHead]
    region_heads: RegionHeads | None
    rows: Sequence[EvidenceRow] = ()
    reason: str = ""


def fit(run: Refit) -> dict[str, LinearHead]:
    """One head per control, fitted on all labels of the snapshot."""
    from model.head.fit import fit_heads

    samples, controls, settings = run.consensus.samples, run.spec.controls, run.work.settings
    return fit_heads(
        run.spec,
        samples,
        run.pool,
        run.encoder.base,
        seed=settings.seed,
        previous=run.champion.configs if run.champion else None,
        repeat=not run.search,
        per_label=settings.multilabel_thresholds == "per_label",
        teacher=run.teacher,
        cross_fit=run.search and all(is_checkable(len(samples[c.name]), len(c.labels)) for c in controls),
    )


def fit_marks(run: Refit) -> dict[str, MarkHead]:
    """One head per control that marks text."""
    from model.versions.span_answers import fit_span_heads

    if not run.spec.spans:
        return {}
    previous = run.champion.span_heads if run.champion and not run.search else None
    tools = replace(run.encoder.span_tools(), lexicons=run.patterns.lexicons)
    return fit_span_heads(run.spec, run.consensus.spans, run.pool, tools, previous, repeat=not run.search)


def fit_answers(run: Refit) -> RegionHeads | None:
    """What is said about marked regions, and between them; None in a project where nothing is."""
    from model.versions.region_answers import fit_region_heads

    if not run.spec.regions and run.spec.relations is None:
        return None
    previous = run.champion.region_heads if run.champion else None
    tools = run.encoder.span_tools()
    reached = run.consensus
    return fit_region_heads(run.spec, reached.regions, reached.relations, tools, previous, repeat=not run.search)


def correct(
    run: Refit,
    heads: Mapping[str, LinearHead],
    span_heads: Mapping[str, MarkHead],
    region_heads: RegionHeads | None,
) -> Corrected:
    """What test-then-train evidence says about the champion, carried over to its successor."""
    stores, champion = run.work.stores, run.champion
    rows = stores.evidence.rows(run.project, RECENT_ROWS)
    labels = run.consensus.sizes()
    evaluated = stores.versions.evaluated(run.project)
    hindsight = retrospect(run.spec, rows, champion, labels, run.work.settings.seed, evaluated)
    finetuned = hindsight.withdraw(champion.finetuned) if champion else None
    return Corrected(hindsight.correct(heads), finetuned, hindsight, span_heads, region_heads, rows)


def write(run: Refit, corrected: Corrected) -> str:
    """Write the version's files; its name. This process remembers the model, so that it need not load it. Raises
    ArtifactsUnavailable where there is an object store, and it is away: the refit is done again later."""
    from model.versions.directory import version_order, write_version
    from model.versions.live_model import LiveModel

    work, heads, finetuned = run.work, corrected.heads, corrected.finetuned
    tuned = version_order(run.live)[0] if run.live and finetuned is not None else 0
    version = work.stores.versions.allocate(run.project, tuned=tuned)
    manifest = _manifest(run, corrected, version)
    marking, about = corrected.span_heads, corrected.region_heads
    write_version(work.settings.models_dir, manifest, heads, finetuned, marking, region_heads=about)
    if work.artifacts is not None:
        work.artifacts.hand_over(run.project, version)
    encoder = run.champion.tuned if run.champion and finetuned is not None else None
    tools = run.encoder.span_tools() if run.spec.spans else None
    model = LiveModel(version, run.spec, heads, run.encoder.base, finetuned, encoder, manifest, marking, tools)
    if about is not None:
        model = replace(model, region_heads=about)
    work.keep_model(run.project, model)
    return version


def publish(run: Refit, corrected: Corrected, version: str) -> str:
    """Make `version` the live one, unless another came first: then the refit is repeated. The outcome."""
    project, stores, hindsight = run.project, run.work.stores, corrected.hindsight
    records = run.snapshot.records
    summary: Summary = {
        **_summary(run, corrected),
        "seq": run.snapshot.seq,
        "activity": count_activity(records),
        "with_model": compare_with_model(corrected.rows, records),
    }
    stores.projects.save_summary(project, summary)
    event = withdrawn(project, run.live, version, hindsight.reason) if hindsight.withdrawn else None
    seq = run.snapshot.seq
    # Before: Label Studio keeps the first answers of a version, and the newest label's duplicates are among them.
    try_to_keep_labelled(run.work, project, run.spec, run.consensus.samples, run.snapshot)
    outcome = stores.versions.publish(project, version, expected=run.live, seq=seq, by="learner", event=event)
    if outcome == PublishOutcome.SUPERSEDED:
        stores.jobs.enqueue_refit(project)
    elif hindsight.withdrawn and (last := stores.versions.evaluated(project)):
        log.warning("project=%s version=%s: %s", project, version, hindsight.reason)
        stores.versions.note_evaluated(project, last, accepted=False)
    if outcome == PublishOutcome.PUBLISHED:
        if run.spec.spans:
            stores.patterns.note_fitted(project, run.patterns.read)
        if run.mark:
            stores.teachings.note_fitted(project, run.mark)
        keep_suspects(run.work, project, run.spec, corrected.heads, run.consensus, run.snapshot)
    return outcome


def is_in_other_format(manifest: Manifest | None, base: CachedEncoder) -> bool:
    """Whether heads were fitted on features that differ from this encoder's by more than rounding: one of the two is
    int8. Versions from before formats were noted were fitted in a float one, or are taken to have been."""
    return manifest is not None and (manifest.precision == INT8) != (base.precision == INT8)


def _manifest(run: Refit, corrected: Corrected, version: str) -> Manifest:
    from model.versions.directory import Manifest

    parent = run.champion.manifest if run.champion else None
    held_out = {
        name: head.details.held_out for name, head in corrected.heads.items() if head.details.held_out is not None
    }
    held_out |= {name: _span_figures(head) for name, head in corrected.span_heads.items()}
    about = corrected.region_heads
    if about is not None:
        held_out |= {name: head.held_out for name, head in about.questions.items() if head.held_out}
        if about.relations is not None and about.relations.held_out:
            held_out[RELATIONS] = about.relations.held_out
    return Manifest(
        version=version,
        project=run.project,
        parent=run.live,
        kind="head",
        encoder_digest=run.encoder.base.digest,
        # the version that holds the fine-tuned encoder
        finetuned=parent.finetuned if parent and corrected.finetuned is not None else None,
        seed=run.work.settings.seed,
        snapshot_seq=run.snapshot.seq,
        spec=run.spec.to_json(),
        spec_digest=run.spec.digest,
        labels_seen=run.consensus.sizes(),
        metrics={"pool": len(run.pool), **held_out},  # a control may be called "pool"; its measures then stand there
        reason=corrected.reason or corrected.hindsight.reason,
        patterns=run.patterns.digests,
        teacher=run.mark,
        precision=run.encoder.base.precision,
    )


def _span_figures(head: MarkHead) -> dict[str, float]:
    """Those of texts held out; and of how many texts it was fitted on a part alone, where they were too many."""
    details = head.details
    return {**details.held_out, **({"texts_used": details.used} if details.used < details.texts else {})}


def _summary(run: Refit, corrected: Corrected) -> Summary:
    """What the scheduler and the admin API want to know without reading all examples."""
    spec, consensus = run.spec, run.consensus
    found: Summary = {
        "labels": rename_counts(spec, consensus.counts()),
        "quarantined": rename_counts(spec, consensus.quarantined),
        "samples": consensus.sizes(),
        "classes": {control.name: len(control.labels) for control in (*spec.questions, *spec.regions)},
        **consensus.describe_annotators(),
    }
    if run.teacher:
        found["teacher"] = {name: corrected.heads[name].reference.is_from_teacher for name in run.teacher}
    return {**found, "patterns": _fared(corrected)} if run.patterns.lexicons else found


def _fared(corrected: Corrected) -> dict[str, dict[str, LabelPatterns]]:
    """How the patterns of each control fared, by label."""
    from model.spans.head.head import SpanHead
    from model.spans.head.pattern_report import report_patterns

    heads = {name: head for name, head in corrected.span_heads.items() if isinstance(head, SpanHead)}
    return {name: found for name, head in heads.items() if (found := report_patterns(head))}
