"""A project goes from the encoder that its live version was made with to the one that BASE_MODEL names by now, or from
the number format that its heads were fitted in to the one that this machine reads it in.

Until then the old one answers and learns. First every text that the new heads need is encoded, with others going first;
then both encoders' heads are fitted on the same labels and compared on rows that neither was fitted on. Worse ones are
refused, until there are clearly more labels; where nobody can tell, the one that was asked for is taken.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from backend.jobs.context import Context
from backend.jobs.learn.head_version import (
    Corrected,
    Refit,
    fit,
    fit_answers,
    fit_marks,
    is_in_other_format,
    publish,
    write,
)
from backend.jobs.learn.retrospect import RECENT_ROWS, GateJson, Hindsight, TunedGain, measure_tuned
from backend.jobs.patterns import Patterns, read_patterns
from backend.jobs.pool_reader import pool_texts
from backend.labelstudio.task_spec import parse_label_config
from backend.outcomes import JobOutcome
from backend.rules.consensus import reach_consensus
from backend.store.work.encoder_changes import (
    RETRY_GROWTH,
    RETRY_LABELS,
    EncoderChangeJson,
    EncoderChanges,
    Wish,
)
from model.errors import MissingEncoder, ModelError
from model.texts import characters_of, portions

if TYPE_CHECKING:
    from model.evidence.gate import Verdict
    from model.features.cache import CachedEncoder
    from model.head.linear_head import LinearHead
    from model.spec import Text
    from model.versions.live_model import LiveModel
    from model.versions.span_answers import MarkHead

log = logging.getLogger(__name__)

MAX_F1_LOSS = 0.02
"""F1 of spans held out that the new encoder may lose: as the gate's macro-F1."""

WAITS, REFUSED, KEPT = "waits", "refused", "kept"


@dataclass(frozen=True)
class Judgement:
    """Whether the new heads may answer, and why. `gains`: points of accuracy (F1 of marked text) by control."""

    accepted: bool
    reason: str
    gains: Mapping[str, float] = field(default_factory=dict)


def ask_for_changes(work: Context) -> int:
    """Asks for a refit of each project whose live version was made with another encoder or number format; how many. An
    encoder that this machine lacks is fetched, before any refit waits for it. None while BASE_MODEL cannot be used."""
    stores, asked, base = work.stores, 0, work.encoders.base.digest
    if work.encoders.unusable:
        return 0
    stores.versions.encoders.want(base)
    for project, version in stores.versions.live_of(stores.projects.projects()).items():
        manifest = work.manifest_of(project, version)
        digest = manifest.encoder_digest if manifest else ""  # "": the refit fetches it, or makes a new one
        if digest and digest != base:
            try:
                work.encoders.of(digest)
            except MissingEncoder as error:
                log.error("%s project=%s version=%s: %s", error.code, project, version, error.message)
            if not stores.versions.pinned(project):
                log.info("encoder change wanted project=%s version=%s", project, version)
                stores.jobs.enqueue_refit(project)
                asked += 1
        elif digest:
            _settle(EncoderChanges(stores.client), project, digest)
            if is_in_other_format(manifest, work.encoders.base) and not stores.versions.pinned(project):
                log.info("number format change wanted project=%s version=%s", project, version)
                stores.jobs.enqueue_refit(project)
                asked += 1
    return asked


def encode_in_format(work: Context, project: int, model: LiveModel, late: float) -> int:
    """Encodes what the heads of the new format need, as `change_encoder` does; how many texts are left."""
    run = _read(work, project, model)
    base = run.encoder.base
    wanted = [*_texts(base, run), *pool_texts(work.stores, base, project)]
    return _encode(work, base, wanted, late)


def _settle(changes: EncoderChanges, project: int, digest: str) -> None:
    """The live version's encoder is BASE_MODEL's: it is as before again, or a learner was killed just after it had
    published."""
    last = changes.read(project)
    if last.get("state") not in ("encoding", REFUSED):
        return
    if last["digest"] != digest:
        changes.save(project, {"state": "given up", "digest": digest})
        return
    changes.save(project, {**last, "state": "taken"})
    if changes.wish(project) is Wish.TAKE:
        changes.choose(project, Wish.COMPARE)


def may_change(work: Context) -> bool:
    """Whether BASE_MODEL of this process is the one that projects go to: while processes are replaced one by one, the
    former ones do not take the way back. Nor does one that stands in for it lead anywhere."""
    known, own = work.stores.versions.encoders, work.encoders.base.digest
    if work.encoders.unusable:
        return False
    if known.wanted(own) == own:
        return True
    log.info("no encoder change: another learner has been started since with another BASE_MODEL")
    return False


def note_replaced(work: Context, project: int) -> None:
    """The encoder of the live version is not to be had: the refit over BASE_MODEL's was no comparison."""
    labels = work.stores.examples.count(project)
    reason = f"{MissingEncoder.code}: the encoder before is not to be had on {socket.gethostname()}"
    digest = work.encoders.base.digest
    EncoderChanges(work.stores.client).save(
        project, {"state": "taken", "digest": digest, "labels": labels, "reason": reason}
    )


def change_encoder(work: Context, project: int, old: LiveModel, late: float) -> str:
    """One step of it: encodes until `late`, of the monotonic clock, or until another refit is due; at the end compares
    and publishes. The outcome of a refit, WAITS, REFUSED or KEPT."""
    changes, stores = EncoderChanges(work.stores.client), work.stores
    wish, digest = changes.wish(project), work.encoders.base.digest
    run = _read(work, project, old)
    labels, last = len(run.snapshot.records), changes.read(project)
    refused = last.get("state") == REFUSED and last.get("digest") == digest
    if wish is Wish.KEEP:
        return KEPT
    lacking = stores.versions.encoders.missing_on(old.base.digest)
    if (
        refused
        and wish is not Wish.TAKE
        and not lacking
        and labels < RETRY_GROWTH * last.get("labels", 0) + RETRY_LABELS
    ):
        return REFUSED
    if left := _encode(work, work.encoders.base, _texts(work.encoders.base, run), late):
        changes.save(project, {"state": "encoding", "digest": digest, "left": left})
        stores.jobs.enqueue_refit(project)
        log.info("encoder change: %s texts to be encoded project=%s", left, project)
        return WAITS
    new = replace(run, encoders=None)
    heads, marking, about = fit(new), fit_marks(new), fit_answers(new)
    judged = _decide(run, heads, marking, wish, lacking, _tuned_gains(run, old))
    log.info("encoder change project=%s accepted=%s: %s", project, judged.accepted, judged.reason)
    found = _describe(judged, digest, labels, work.encoders.base.cost / max(1, old.base.cost))
    if not judged.accepted:
        changes.save(project, {"state": REFUSED, **found})
        return REFUSED
    rows = stores.evidence.rows(project, RECENT_ROWS)
    reason = f"another encoder: {judged.reason}"
    corrected = Corrected(heads, None, Hindsight(), marking, about, rows, reason)
    outcome = publish(new, corrected, write(new, corrected))
    if outcome == JobOutcome.PUBLISHED:
        changes.save(project, {"state": "taken", **found})
        if wish is Wish.TAKE:  # said of this one
            changes.choose(project, Wish.COMPARE)
    return outcome


def _describe(judged: Judgement, digest: str, labels: int, cost: float) -> EncoderChangeJson:
    found: EncoderChangeJson = {"digest": digest, "labels": labels, "reason": judged.reason}
    if judged.gains:
        found |= {"gains": dict(judged.gains), "cost": round(cost, 2)}
    return found


def _decide(
    run: Refit,
    heads: Mapping[str, LinearHead],
    marking: Mapping[str, MarkHead],
    wish: Wish,
    lacking: Sequence[str],
    gains: Mapping[str, TunedGain],
) -> Judgement:
    """`lacking`: machines without the old encoder, which answer by label names until there is another version."""
    if wish is Wish.TAKE:
        return Judgement(True, "taken as asked")
    if lacking:
        return Judgement(True, f"{MissingEncoder.code}: {', '.join(lacking)} cannot have the encoder before")
    return _judge(run, heads, marking, gains)


def _read(work: Context, project: int, old: LiveModel) -> Refit:
    """All that both are fitted on; nothing of the champion's choices, so that the comparison is fair."""
    stores = work.stores
    spec = parse_label_config(stores.projects.config(project))
    snapshot = stores.examples.snapshot(project)
    consensus = reach_consensus(spec, snapshot.records)
    spec = consensus.spec
    pool = work.pools.read(stores, work.encoders.base, project)
    patterns = read_patterns(stores.patterns, project, spec) if spec.spans else Patterns()
    encoders = work.encoders.of(old.base.digest)
    return Refit(work, project, spec, snapshot, consensus, None, old.version, pool, patterns, True, encoders)


def _encode(work: Context, base: CachedEncoder, texts: Iterable[Text], late: float) -> int:
    """Encodes texts, a portion at least (with many projects somebody always waits); how many are left then."""
    missing = list(dict.fromkeys(texts))
    missing = [text for text, held in zip(missing, base.holds(missing), strict=True) if not held]
    done = 0
    for portion in portions(missing, characters_of):
        base.embed(portion)
        done += len(portion)
        if work.stopping or time.monotonic() > late or work.stores.jobs.is_learner_wanted():
            break
    return len(missing) - done


def _texts(base: CachedEncoder, run: Refit) -> Iterator[Text]:
    """The labelled ones."""
    from model.features.long_texts import LabelAwarePooling

    for control in run.spec.controls:
        reader = LabelAwarePooling(base, control)
        for sample in run.consensus.samples.get(control.name, ()):
            yield from reader.parts_of(sample.text)


def _tuned_gains(run: Refit, old: LiveModel) -> dict[str, TunedGain]:
    """Of each control of the live version: what its fine-tune adds to the heads that are compared."""
    from model.versions.directory import read_manifest, version_path

    owner = old.manifest.finetuned if old.manifest is not None else None
    if owner is None:
        return {}
    gate: GateJson = {}
    with suppress(ModelError):
        gate = read_manifest(version_path(run.work.settings.models_dir, run.project, owner)).gate or {}
    rows = run.work.stores.evidence.rows(run.project, RECENT_ROWS)
    return {one.name: measure_tuned(rows, old, gate, one.name) for one in (*run.spec.controls, *run.spec.spans)}


def _judge(
    run: Refit, heads: Mapping[str, LinearHead], marking: Mapping[str, MarkHead], gains: Mapping[str, TunedGain]
) -> Judgement:
    """The new heads against the old encoder's, fitted on the same labels, and what a fine-tune adds to those."""
    old, own, none = fit(run), fit_marks(run), TunedGain()
    found = [_compare(run, name, old[name], head, gains.get(name, none)) for name, head in heads.items()]
    found += [
        _compare_marks(name, own[name], head, gains.get(name, none)) for name, head in marking.items() if name in own
    ]
    refused = [one for one in found if not one.accepted]
    points = {name: gain for one in found for name, gain in one.gains.items()}
    return Judgement(not refused, "; ".join(one.reason for one in refused or found) or "nothing to compare", points)


def _compare(run: Refit, name: str, old: LinearHead, new: LinearHead, tuned: TunedGain) -> Judgement:
    verdict = _verdict(run, name, old, new, tuned)
    if verdict is None:
        return Judgement(True, f"{name}: too few labels to compare")
    # Where nobody can tell, people have asked for the new one.
    sides = verdict.evidence.get("champion", {}), verdict.evidence.get("challenger", {})
    champion, challenger = (side.get("accuracy") for side in sides)
    gains = (
        {} if champion is None or challenger is None else {name: round(100 * (challenger - champion) - tuned.points, 1)}
    )
    return Judgement(verdict.accepted or not verdict.decided, f"{name}: {verdict.reason}", gains)


def _verdict(run: Refit, name: str, old: LinearHead, new: LinearHead, tuned: TunedGain) -> Verdict | None:
    """The gate's, on the rows that both answered without having seen them; None without."""
    from model.evidence.gate import decide_promotion

    if old.out_of_fold is None or new.out_of_fold is None or old.labels != new.labels:
        return None
    place = {task: row for row, task in enumerate(old.out_of_fold.tasks)}
    rows = [(place[task], row) for row, task in enumerate(new.out_of_fold.tasks) if task in place]
    if not rows:
        return None
    first, second = map(list, zip(*rows, strict=True))
    settings = run.work.settings
    return decide_promotion(
        old.out_of_fold.probabilities[first],
        new.out_of_fold.probabilities[second],
        new.out_of_fold.targets[second],
        min_examples=settings.gate_min_examples,
        multilabel=run.spec.control(name).multilabel,
        thresholds=(old.rules.threshold, new.rules.threshold),
        seed=settings.seed,
        ahead=max(0.0, tuned.log_loss),
    )


def _compare_marks(name: str, old: MarkHead, new: MarkHead, tuned: TunedGain) -> Judgement:
    figures: Sequence[Mapping[str, float]] = [head.details.held_out for head in (old, new)]
    before, after = (one.get("f1") for one in figures)
    if before is None or after is None:
        return Judgement(True, f"{name}: too few texts to compare")
    before += max(0.0, tuned.points) / 100
    shown = f"{name}: F1 {after:.3f} against {before:.3f} on texts held out"
    return Judgement(after >= before - MAX_F1_LOSS, shown, {name: round(100 * (after - before), 1)})
