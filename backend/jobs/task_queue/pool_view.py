"""The unlabelled tasks of a project as its live version sees them: what a batch of the queue is chosen from.

Texts that no encoder has read yet are read first, for as long as nobody waits for the learner; what is not read then
is left for the next plan.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backend.jobs.task_queue.marked_pool import MarkedPool, read_marked_pool
from backend.store.projects import ProjectStore
from backend.store.work.trainings import JobStore
from model.acquisition import strategies as acquisition
from model.acquisition.pool_scoring import answer_pool
from model.acquisition.span_doubts import marked_pool
from model.decoding.answers import decide, thresholds_of
from model.features.cache import held_by
from model.features.long_texts import LabelAwarePooling
from model.numerics.arrays import Floats
from model.spans.head.head import SpanHead
from model.spec import NONE, Control, Document, Kind, Text
from model.texts import characters_of, portions, text_key
from model.visibility import hidden_rows, is_conditional

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel

Rows = NDArray[np.int64]

READ_SECONDS = 10.0
"""Longest time that a plan spends on reading texts: then it goes on with those that are read."""


@dataclass(frozen=True)
class PoolView:
    """`tasks` [n] with their `documents`, one `Pool` per control that can be answered, `confidence` [n] of the least
    sure control that the page asks, and `answers`: per task what each control says, joined. `unread`: texts left for
    the next time."""

    tasks: Rows
    documents: list[Document]
    pools: list[acquisition.Pool]
    confidence: Floats
    answers: list[str]
    unread: int


class PoolScorer:
    """Looks at one project's pool with one version."""

    def __init__(self, projects: ProjectStore, jobs: JobStore, project: int, model: LiveModel) -> None:
        self._projects, self._jobs, self._project, self._model = projects, jobs, project, model
        self._controls = [control for control in model.spec.controls if model.labels(control.name)]
        self._marking = [control for control in model.spec.spans if control.name in model.span_heads]

    def score(self, labelled: set[int], *, members: bool = False) -> PoolView | None:
        """None for a project whose controls have no labels or whose tasks cannot be read. `members`: also what each
        member of the heads says."""
        documents = self._projects.pool(self._project)
        readable = [
            task
            for task in sorted(documents, key=lambda task: text_key((str(task),)))
            if all(name in documents[task] for control in (*self._controls, *self._marking) for name in control.inputs)
        ]
        if not (self._controls or self._marking) or not readable:
            return None
        held = np.ones(len(readable), dtype=bool)
        for control in self._controls:
            held &= self._read(control, [control.text_of(documents[task]) for task in readable])
        chosen = [task for task, known in zip(readable, held, strict=True) if known]
        marked = self._mark([documents[task] for task in chosen])
        tasks = chosen[: min((pool.count for pool in marked.values()), default=len(chosen))]
        if not tasks:
            return None
        unread = len(readable) - len(tasks)
        return self._view(tasks, [documents[task] for task in tasks], labelled, members, unread, marked)

    def _mark(self, documents: Sequence[Document]) -> dict[str, MarkedPool]:
        """Control that marks text -> what its head says of the first of these."""
        found = {}
        for control in self._marking:
            texts, until = [document[control.inputs[0]] for document in documents], time.monotonic() + READ_SECONDS
            questions = [document[control.question] for document in documents] if control.question else []
            wanted = self._jobs.is_learner_wanted
            found[control.name] = read_marked_pool(self._model, control.name, texts, until, wanted, questions)
        return found

    def _read(self, control: Control, texts: Sequence[Text]) -> NDArray[np.bool_]:
        """Reads what is missing; which of the texts can be had from the feature cache now."""
        known, until = set(self._known(control, texts)), time.monotonic() + READ_SECONDS
        reader, read = LabelAwarePooling(self._model.base, control), set[Text]()
        for part in portions([text for text in dict.fromkeys(texts) if text not in known], characters_of):
            reader.embed(part)  # one at least, or a busy learner would never come to it
            if self._model.tuned is not None:
                self._model.tuned.embed(part)
            read.update(part)
            if time.monotonic() > until or self._jobs.is_learner_wanted():
                break
        if read:  # a full cache has dropped others for them
            known = set(self._known(control, texts)) | read
        return np.array([text in known for text in texts], dtype=bool)

    def _known(self, control: Control, texts: Sequence[Text]) -> list[Text]:
        """Those of which both encoders have read all parts."""
        parts = LabelAwarePooling(self._model.base, control).parts_of
        found = [(text, parts(text)) for text in dict.fromkeys(texts)]
        flat = [part for _, own in found for part in own]
        base = iter(held_by(self._model.base, flat))
        known = [text for text, own in found if all([next(base) for _ in own])]
        if self._model.tuned is None:
            return known
        return [text for text, held in zip(known, held_by(self._model.tuned, known), strict=True) if held]

    def _view(
        self,
        tasks: list[int],
        documents: list[Document],
        labelled: set[int],
        members: bool,
        unread: int,
        marked: Mapping[str, MarkedPool],
    ) -> PoolView:
        done = np.flatnonzero([task in labelled for task in tasks])
        pools: list[acquisition.Pool] = []
        confidences: list[Floats] = []
        answers: dict[str, list[tuple[str, ...]]] = {}
        for control in self._controls:
            texts = [control.text_of(document) for document in documents]
            pool = self._pool(control, texts, done, members)
            pools.append(pool)
            answers[control.name], sure = self._join_answer(control, pool.probabilities)
            confidences.append(sure)
        if is_conditional(self._model.spec):
            hidden = hidden_rows(self._model.spec, answers)
            confidences = [np.where(hidden[name], 1.0, sure) for name, sure in zip(answers, confidences, strict=True)]
            pools = [
                replace(pool, hidden=np.flatnonzero(hidden[name])) for name, pool in zip(answers, pools, strict=True)
            ]
            answers = {name: _shown(said, hidden[name]) for name, said in answers.items()}
        every = np.arange(len(tasks), dtype=np.int64)
        for name, found in marked.items():
            own = found.take(every)
            pools.append(marked_pool(own.doubts, own.features, done, self._unseen(name)))
            answers[name] = own.said
            confidences.append(own.confidence)
        confidence = np.min(confidences, axis=0)
        joined = ["\x1f".join("\x1e".join(keys) for keys in row) for row in zip(*answers.values(), strict=True)]
        return PoolView(np.array(tasks, dtype=np.int64), documents, pools, confidence, joined, unread)

    def _pool(self, control: Control, texts: Sequence[Text], done: Rows, members: bool) -> acquisition.Pool:
        name = control.name
        found = answer_pool(self._model, name, texts, members=members)
        threshold = thresholds_of(self._model.rules(name), self._model.labels(name))
        multilabel = control.multilabel
        return acquisition.Pool(
            found.probabilities,
            found.features,
            done,
            multilabel,
            threshold,
            members=found.members if members else None,
            shares=found.shares if members else None,
        )

    def _unseen(self, name: str) -> float:
        """The share of what can be marked that nobody has marked yet; 0 for answers to questions."""
        head = self._model.span_heads[name]
        return head.unseen(self._model.spec.control(name).keys()) if isinstance(head, SpanHead) else 0.0

    def _join_answer(self, control: Control, probabilities: Floats) -> tuple[list[tuple[str, ...]], Floats]:
        """Per row the labels of the answer, and its confidence."""
        rules = self._model.rules(control.name)
        labels = self._model.labels(control.name)
        if control.kind is Kind.SINGLE:  # as `decide`, for a hundred thousand rows at once
            answers: list[tuple[str, ...]] = [() if label == NONE else (label,) for label in labels]
            return [answers[best] for best in probabilities.argmax(1)], probabilities.max(1)
        found = [decide(control, rules, row, options=rules.labels) for row in probabilities]
        said = [answer.chosen if answer else () for answer in found]
        return said, np.array([answer.score if answer else 0.0 for answer in found])


def _shown(said: Sequence[tuple[str, ...]], hidden: NDArray[np.bool_]) -> list[tuple[str, ...]]:
    return [() if away else keys for keys, away in zip(said, hidden, strict=True)]
