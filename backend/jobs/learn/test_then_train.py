"""Test-then-train: what the live version says to labels that it has not learned yet (decision 0001)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from backend.jobs.context import Context
from backend.jobs.learn.region_tests import RegionTests
from backend.rules.consensus import Consensus
from backend.rules.span_consensus import majority
from model.acquisition.batch import is_blind, is_explored
from model.decoding.answers import decide
from model.errors import ModelError
from model.evidence.learning_curve import tally
from model.evidence.recalibration import keep_answers
from model.evidence.row import EvidenceRow, HeadAnswer, Judgement, Marked
from model.labels import path_of
from model.numerics.arrays import Floats
from model.numerics.metrics import log_losses, log_losses_binary
from model.span import Span, SpanSample
from model.spans.quality import edits, pair_slips
from model.spec import NONE, Control, Kind, Prediction, Sample

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel

LEAST_SHARE = 1e-4
"""Below it, and above its complement, a confidence counts as this in a log-loss."""

TRANSACTION_TASKS = 50
"""Most new labels tested in one refit, the last ones: an import must not keep an annotator waiting."""


def test_then_train(work: Context, project: int, champion: LiveModel, consensus: Consensus, seq: int) -> int:
    """Score the labels that came after the champion's snapshot, up to snapshot `seq`, and keep the outcome; how many.

    Tasks that the champion has learned with another answer, or from another annotator, are left out, and so are texts
    that it has seen in another task."""
    store = work.stores.evidence
    learned = champion.manifest.snapshot_seq if champion.manifest else 0
    changed = work.stores.examples.changed_since(project, store.tested(project, champion.version) or learned)
    answered: list[Sequence[Sample | SpanSample]] = [*consensus.samples.values(), *consensus.spans.values()]
    touched = {s.task for samples in answered for s in samples if changed & set(s.annotations)}
    first = store.first_seen(project, touched, seq)
    new = {task for task in touched if first[task] > learned}
    rows: list[EvidenceRow] = []
    roles = _Roles(work, project)
    for name, samples in consensus.samples.items():
        known = {sample.text for sample in samples if sample.task not in new}
        fresh = [sample for sample in samples if sample.task in new and sample.text not in known]
        if name in champion.heads and fresh and _answers_alike(champion, consensus, name):
            rows += _rows(champion, name, fresh[-TRANSACTION_TASKS:], roles)
    for name, marked in consensus.spans.items():
        if name in champion.span_heads:
            about = RegionTests(champion, consensus, name)
            rows += _marked_rows(champion, name, marked, new, roles, about)
    store.append(project, rows, tally(row for row in rows if not row.hunted), tested=(champion.version, seq))
    return len(rows)


test_then_train.__test__ = False  # type: ignore[attr-defined]  # not for pytest


class _Roles:
    """Which tasks the queue drew at random: `blind` ones were shown without a pre-label, `explore` ones with it; and
    which it chose for a scarce class: `hunted`."""

    def __init__(self, work: Context, project: int) -> None:
        self._project, settings = project, work.settings
        self._shares = settings.queue_blind_share, settings.queue_explore_share
        self._steered = settings.queue_enabled and project in work.stores.task_queue.steered()
        self.hunted = work.stores.task_queue.hunted(project).keys()

    def of(self, task: int) -> tuple[bool, bool]:
        """Whether the task was blind, and whether it was an explored one."""
        shares = self._shares
        blind = self._steered and is_blind(self._project, task, shares[0])
        return blind, self._steered and not blind and is_explored(self._project, task, *shares)


def _answers_alike(champion: LiveModel, consensus: Consensus, name: str) -> bool:
    """Whether both give sets, or neither does: people may have begun to give a taxonomy several paths."""
    return champion.spec.control(name).multilabel == consensus.spec.control(name).multilabel


def _rows(champion: LiveModel, name: str, samples: list[Sample], roles: _Roles) -> list[EvidenceRow]:
    labels, control, manifest = champion.labels(name), champion.spec.control(name), champion.manifest
    rules = replace(champion.rules(name), labels=labels)
    samples = [sample for sample in samples if set(sample.target) <= set(labels)]  # a new label tells nothing about it
    if not samples or not labels:
        return []
    try:
        served, alone = champion.parts(name, [sample.text for sample in samples])
    except (ModelError, ValueError):
        return []
    shown = champion.correct(name, served)
    rows = []
    for index, sample in enumerate(samples):
        target = np.array([sample.target.get(label, 0.0) for label in labels])
        blind, explore = roles.of(sample.task)
        answer = decide(control, rules, shown[index], options=labels)
        row = EvidenceRow(
            control=name,
            judged=_judge(control, answer, shown[index], sample, target),
            version=champion.version,
            tuned=manifest.finetuned if manifest else None,
            annotation=sample.annotations[-1] if sample.annotations else 0,
            labels=manifest.labels_seen.get(name, 0) if manifest else 0,
            served=keep_answers(served[index], target),
            at=round(time.time(), 3),
            blind=blind,
            explore=explore,
            task=sample.task,
            given=_given(control, sample),
            said=tuple(answer.chosen) if answer else (),
            hunted=sample.task in roles.hunted,
        )
        if alone is not None:
            own = decide(control, rules, alone[index], options=labels)
            judged = _judge(control, own, alone[index], sample, target)
            row = replace(row, alone=HeadAnswer(judged, keep_answers(alone[index], target)))
        rows.append(row)
    return rows


def _marked_rows(
    champion: LiveModel, name: str, samples: Sequence[SpanSample], new: set[int], roles: _Roles, about: RegionTests
) -> list[EvidenceRow]:
    """Of a control that marks text: what was suggested in texts that the champion has not seen, and what is right."""
    known = {sample.content for sample in samples if sample.task not in new}
    by_task: dict[int, list[SpanSample]] = {}
    for sample in samples:
        if sample.task in new and sample.content not in known:
            by_task.setdefault(sample.task, []).append(sample)
    tasks = list(by_task)[-TRANSACTION_TASKS:]
    control = champion.spec.control(name)  # of a version before the question was known: its input is the text alone
    contents = [by_task[task][0].content for task in tasks]
    documents = [{item: part or "" for item, part in zip(control.inputs, own, strict=False)} for own in contents]
    found, manifest = champion.mark(name, documents), champion.manifest
    blended = bool(tasks) and champion.is_blend(name)
    alone = champion.mark(name, documents, alone=True) if blended else [None] * len(found)
    rows = []
    for task, answer, head in zip(tasks, found, alone, strict=True):
        blind, explore = roles.of(task)
        drawn, own = majority(by_task[task]), by_task[task][-1].annotations
        rows.append(
            EvidenceRow(
                control=name,
                judged=_judge_marks(answer, drawn),
                version=champion.version,
                tuned=manifest.finetuned if manifest and blended else None,
                annotation=own[-1] if own else 0,
                labels=manifest.labels_seen.get(name, 0) if manifest else 0,
                at=round(time.time(), 3),
                blind=blind,
                explore=explore,
                hunted=task in roles.hunted,
                marked=replace(_compare_marks(answer, drawn, head), about=about.of(task)),
                task=task,
            )
        )
    return rows


def _judge_marks(answer: Prediction, drawn: Sequence[Span]) -> Judgement:
    """Whether the text is right as it is shown."""
    right = {one.span for one in answer.spans} == set(drawn)
    sure = min(max(answer.score, LEAST_SHARE), 1 - LEAST_SHARE)
    return Judgement(round(answer.score, 4), right, round(-math.log(sure if right else 1 - sure), 4))


def _compare_marks(answer: Prediction, drawn: Sequence[Span], head: Prediction | None) -> Marked:
    shown = tuple((one.label, round(one.score, 4), one.span in drawn) for one in answer.spans)
    spans = [one.span for one in answer.spans]
    alone = None if head is None else edits([one.span for one in head.spans], drawn)
    return Marked(
        shown=shown,
        drawn=tuple(span.label for span in drawn),
        edits=edits(spans, drawn),
        edits_alone=alone,
        expected=round(answer.expected_spans, 3),
        slips=pair_slips(spans, drawn),
    )


def _judge(control: Control, answer: Prediction | None, row: Floats, sample: Sample, target: Floats) -> Judgement:
    """Of the answer that the probabilities `row` led to."""
    several = control.multilabel
    losses = (log_losses_binary if several else log_losses)(row[None], target[None])
    return Judgement(
        confidence=round(answer.score, 4) if answer else 0.0,
        correct=answer is not None and _is_right(control, answer.chosen, sample),
        log_loss=round(float(losses[0]), 4),
    )


def _given(control: Control, sample: Sample) -> tuple[str, ...]:
    """Keys of the labels that were given; none for "none of these"."""
    if control.multilabel:
        return tuple(key for key, share in sample.target.items() if share >= 0.5)
    return () if sample.top == NONE else (sample.top,)


def _is_right(control: Control, chosen: Sequence[str], sample: Sample) -> bool:
    """Whether an answer says what its confidence is about: the whole set; in a taxonomy the node, or one below it."""
    if control.multilabel:
        return set(chosen) == set(_given(control, sample))
    if not chosen or sample.top == NONE:
        return sample.top == (chosen[0] if chosen else NONE)
    if control.kind is Kind.TAXONOMY:
        node = path_of(chosen[0])
        return path_of(sample.top)[: len(node)] == node
    return chosen[0] == sample.top
