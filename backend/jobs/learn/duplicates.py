"""Writes what people answered to each labelled text, for its duplicates: before a refit publishes, so that the first
answers of its version know them. It says nothing of versions: whichever is live, it holds."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backend.errors import BackendError, StoreUnavailable
from backend.jobs.context import Context
from backend.jobs.learn.label_errors import excerpt
from backend.labelstudio.task_spec import parse_label_config
from backend.record_json import LabelErrorRow
from backend.rules.consensus import reach_consensus
from backend.store.duplicates.buckets import Entry, TextAnswer, bucket_of, write_bucket
from backend.store.duplicates.facts import ControlFacts, LabelledFacts
from backend.store.examples import Snapshot
from model.failpoints import failpoint
from model.spec import NONE, Control, Sample, TaskSpec

if TYPE_CHECKING:
    from model.duplicates.labelled import Disagreement, LabelledGroups

log = logging.getLogger(__name__)

MOST_SUSPECTS = 100

MANY_LABELS, LATE_SECONDS = 20_000, 30.0
"""From so many labels on (half a second; 100,000 take three) duplicates of a label may wait so long, while the next
refit of the project is due."""


def try_to_keep_labelled(
    work: Context, project: int, spec: TaskSpec, samples: Mapping[str, Sequence[Sample]], snapshot: Snapshot
) -> bool:
    """As `keep_labelled`; whether it has worked. A version that follows is published all the same."""
    try:
        keep_labelled(work, project, spec, samples, snapshot)
    except StoreUnavailable as error:
        log.warning("labels of duplicates not kept project=%s: %s", project, error.message)
    except Exception:
        log.exception("labels of duplicates not kept project=%s", project)
    else:
        return True
    return False


def keep_labelled(
    work: Context, project: int, spec: TaskSpec, samples: Mapping[str, Sequence[Sample]], snapshot: Snapshot
) -> None:
    """Make the store hold exactly these, and the labels that those of duplicates speak against; writes what has changed
    alone. Of very many labels not each time: the refit that is due does it later. Raises StoreUnavailable."""
    from model.duplicates.labelled import group_labelled

    if _may_wait(work, project, len(snapshot.records)):
        return
    failpoint("duplicates.before", project)
    groups = [group_labelled(control, samples.get(control.name, ())) for control in spec.controls]
    entries = gather_entries(groups)
    stored = work.stores.labelled_texts.buckets(project)
    wanted: dict[int, dict[int, Entry]] = {}
    for key, entry in entries.items():
        wanted.setdefault(bucket_of(key), {})[key] = entry
    changed = {b: wanted.get(b, {}) for b in {*wanted, *stored} if _text(wanted.get(b)) != stored.get(b, "")}
    disagreeing = {own.control.name: own.disagreements(own.agreement().carries_near) for own in groups}
    versions = {record.annotation: record.version for record in snapshot.records}
    rows = {own.control.name: _suspects(own, disagreeing[own.control.name], versions) for own in groups}
    work.stores.label_errors.replace_duplicates(project, {name: found for name, found in rows.items() if found})
    counts = [len(found) for found in disagreeing.values()]
    work.stores.labelled_texts.publish(project, gather_facts(groups, counts, snapshot.seq), changed)
    failpoint("duplicates.after", project)


def catch_up(work: Context, project: int) -> None:
    """The same where no refit has done it: a project whose version is pinned, of an earlier release, or of very many
    labels; or where it failed. Raises StoreUnavailable."""
    stores = work.stores
    facts, seq = stores.labelled_texts.facts(project), stores.examples.seq(project)
    if seq <= (facts.seq if facts else 0) or _may_wait(work, project, stores.examples.count(project)):
        return
    try:
        spec = parse_label_config(stores.projects.config(project))
    except BackendError:
        return
    snapshot = stores.examples.snapshot(project)
    consensus = reach_consensus(spec, snapshot.records)
    try_to_keep_labelled(work, project, consensus.spec, consensus.samples, snapshot)


def _may_wait(work: Context, project: int, labels: int) -> bool:
    """Whether the next refit of the project, which is due, does: there are very many labels, and the last time was just
    now."""
    if labels <= MANY_LABELS or not work.stores.jobs.is_refit_due(project):
        return False
    last = work.stores.labelled_texts.facts(project)
    return last is not None and 0 <= time.time() - last.at < LATE_SECONDS


def _suspects(
    groups: LabelledGroups, found: Sequence[Disagreement], versions: Mapping[int, str]
) -> list[LabelErrorRow]:
    """The first MOST_SUSPECTS of them, each with the task of a duplicate that has another label; of a set a row each
    for the labels that differ. Likely is what the others say, as often as labels of duplicates agree."""
    agreement = groups.agreement()
    rows: list[LabelErrorRow] = []
    for one in found[:MOST_SUSPECTS]:
        trust = agreement.near if one.near else agreement.exact
        is_sure = one.others > 1 and one.share == 1
        for given, suggested in _labels_of(groups.control, one):
            rows.append(
                {
                    "task": one.task,
                    "annotations": {str(id_): versions[id_] for id_ in one.sample.annotations},
                    "text": excerpt(one.sample.text),
                    "given": given,
                    "suggested": suggested,
                    "p_given": round(max(trust * one.given_share, (1 - trust) / 2), 4),
                    "p_suggested": round(trust * one.share, 4),
                    "flag": "likely wrong" if is_sure else "check",
                    "like": one.like,
                }
            )
    return rows


def _labels_of(control: Control, one: Disagreement) -> list[tuple[str, str]]:
    """What was given and what is suggested; of a set one of the two is missing."""
    if not control.multilabel:
        return [(one.given[0] if one.given else NONE, one.suggested[0] if one.suggested else NONE)]
    gone = [(key, "") for key in one.given if key not in one.suggested]
    return gone + [("", key) for key in one.suggested if key not in one.given]


def gather_entries(groups: Sequence[LabelledGroups]) -> dict[int, Entry]:
    """By key, of exact duplicates and of near ones: what the groups of all controls say."""
    found: dict[int, Entry] = {}
    for place, own in enumerate(groups):
        for answers, texts in zip(own.answers(), (own.exact, own.near), strict=True):
            for key, answer in answers.items():
                task = own.example_of(answer, texts[key]).task
                entry = (TextAnswer(place, answer.answers, answer.against, task),)
                found[key] = found[key] + entry if key in found else entry
    return found


def gather_facts(groups: Sequence[LabelledGroups], disagreeing: Sequence[int], seq: int) -> LabelledFacts:
    """`disagreeing`: tasks of each of `groups`; `seq`: of the labels."""
    controls = tuple(_facts_of(own, count) for own, count in zip(groups, disagreeing, strict=True))
    return LabelledFacts(seq, round(time.time(), 3), controls)


def _facts_of(groups: LabelledGroups, disagreeing: int) -> ControlFacts:
    agreement, (exact_groups, near_groups) = groups.agreement(), groups.count_groups()
    return ControlFacts(
        name=groups.control.name,
        exact=round(agreement.exact, 4),
        near=round(agreement.near, 4),
        exact_texts=agreement.exact_texts,
        near_texts=agreement.near_texts,
        exact_groups=exact_groups,
        near_groups=near_groups,
        carries_near=agreement.carries_near,
        disagreeing=disagreeing,
    )


def _text(entries: Mapping[int, Entry] | None) -> str:
    return write_bucket(entries) if entries else ""
