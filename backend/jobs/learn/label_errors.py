"""Keeps the labels that a whole search of the heads finds suspicious."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backend.jobs.context import Context
from backend.record_json import LabelErrorRow
from backend.rules.consensus import Consensus
from backend.store.examples import Snapshot
from backend.store.label_errors import LabelErrors
from model.spec import Sample, TaskSpec

if TYPE_CHECKING:
    from model.evidence.label_errors import LabelError
    from model.head.head_config import HeadConfig
    from model.head.linear_head import LinearHead

CHECKED_SIZE = 100_000
"""Labels x classes up to which all are checked: 1,000 x 77 take two seconds more, while no refit waits."""

LABEL_GROWTH = 1.1

EXCERPT_CHARACTERS = 120
"""Characters of the text that are kept."""


def is_checkable(rows: int, classes: int) -> bool:
    """Whether every label is compared with an out-of-fold answer; otherwise those of one fold in five are."""
    return rows * classes <= CHECKED_SIZE


def is_covered(work: Context, project: int, configs: Mapping[str, HeadConfig]) -> bool:
    """Whether the kept lists come from about as many labels as the heads of `configs` were fitted on."""
    entries = work.stores.label_errors.read(project)
    for name, config in configs.items():
        rows, classes = config.details.count or 0, len(config.labels)
        searched = entries[name]["searched"] if name in entries else 0
        if config.members and is_checkable(rows, classes) and LABEL_GROWTH * searched < rows:
            return False
    return True


def keep_suspects(
    work: Context,
    project: int,
    spec: TaskSpec,
    heads: Mapping[str, LinearHead],
    consensus: Consensus,
    snapshot: Snapshot,
) -> None:
    """Replace the lists of the controls that were searched; a head that repeats earlier choices has nothing to say."""
    from model.evidence.label_errors import find_suspects

    versions = {record.annotation: record.version for record in snapshot.records}
    found: dict[str, LabelErrors] = {}
    for name, head in heads.items():
        answers = head.out_of_fold
        if answers is None:
            continue
        samples = {sample.task: sample for sample in consensus.samples[name]}
        sure = {task for task, sample in samples.items() if sample.ground_truth}
        multilabel = spec.control(name).multilabel
        suspects = find_suspects(head.labels, answers, multilabel=multilabel, sure=sure)
        rows = [_row(suspect, samples[suspect.task], versions) for suspect in suspects]
        found[name] = {"searched": len(answers.tasks), "at": round(time.time(), 3), "rows": rows}
    work.stores.label_errors.replace(project, found, [control.name for control in spec.questions], snapshot.seq)


def _row(suspect: LabelError, sample: Sample, versions: Mapping[int, str]) -> LabelErrorRow:
    return {
        "task": suspect.task,
        "annotations": {str(id_): versions[id_] for id_ in sample.annotations},
        "text": excerpt(sample.text),
        "given": suspect.given,
        "suggested": suspect.suggested,
        "p_given": round(suspect.p_given, 4),
        "p_suggested": round(suspect.p_suggested, 4),
        "flag": suspect.flag,
    }


def excerpt(text: Sequence[str]) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(" / ".join(text).split())
    return line if len(line) <= EXCERPT_CHARACTERS else line[: EXCERPT_CHARACTERS - 1] + "…"
