"""The unlabelled tasks of a project as its live version sees them: what a batch of the queue is chosen from.

Texts that no encoder has read yet are read first, for as long as nobody waits for the learner; what is not read then
is left for the next plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backend.jobs.context import Context
from model.acquisition import strategies as acquisition
from model.acquisition.pool_scoring import fill, fill_tuned, member_probabilities, probabilities, row_keys
from model.batching import characters_of, portions
from model.decoding.answers import decide
from model.decoding.thresholds import thresholds_of
from model.errors import RescoringError
from model.features.matrix import FeatureMatrix
from model.numerics.arrays import Floats
from model.numerics.float16 import widen
from model.spec import NONE, Control, Document, Kind, Text
from model.texts import text_key
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

    def __init__(self, work: Context, project: int, model: LiveModel) -> None:
        self._work, self._project, self._model = work, project, model
        self._controls = [control for control in model.spec.controls if model.labels(control.name)]
        place = work.settings.pools_dir / str(project)
        base, limit = work.encoders.base, work.settings.feature_cache_mb
        precision = base.precision
        self._matrix = FeatureMatrix(place / "base", f"{base.digest} {precision}", base.depth, base.width, limit)
        self._tuned: FeatureMatrix | None = None
        if model.tuned is not None:
            width = model.tuned.width
            self._tuned = FeatureMatrix(place / "tuned", f"{model.tuned.digest} {precision}", 1, width, limit)

    def look(self, labelled: set[int], *, members: bool = False) -> PoolView | None:
        """None for a project whose controls have no labels or whose tasks cannot be read. `members`: also what each
        member of the heads says."""
        documents = self._work.stores.projects.pool(self._project)
        readable = [
            task
            for task in sorted(documents, key=lambda task: text_key((str(task),)))
            if all(name in documents[task] for control in self._controls for name in control.inputs)
        ]
        if not self._controls or not readable:
            return None
        held = np.ones(len(readable), dtype=bool)
        for control in self._controls:
            held &= self._read(control, [control.text_of(documents[task]) for task in readable])
        tasks = [task for task, known in zip(readable, held, strict=True) if known]
        if not tasks:
            return None
        return self._view(tasks, [documents[task] for task in tasks], labelled, members, int((~held).sum()))

    def _read(self, control: Control, texts: Sequence[Text]) -> NDArray[np.bool_]:
        """Reads what is missing; which of the texts are there now."""
        readers: list[tuple[FeatureMatrix, Callable[[Sequence[Text]], int]]] = [
            (self._matrix, lambda part: fill(self._matrix, control, self._work.encoders.base, part))
        ]
        if self._tuned is not None and self._model.tuned is not None:
            tuned, encoder = self._tuned, self._model.tuned
            readers.append((tuned, lambda part: fill_tuned(tuned, control, encoder, part)))
        until = time.monotonic() + READ_SECONDS
        for matrix, read in readers:
            missing = [text for text, row in zip(texts, self._find(matrix, control, texts), strict=True) if row < 0]
            for part in portions(missing, characters_of):
                read(part)  # one at least, or a busy learner would never come to it
                if time.monotonic() > until or self._work.stores.jobs.is_learner_wanted():
                    break
        held = [self._find(matrix, control, texts) >= 0 for matrix, _ in readers]
        return np.logical_and.reduce(held)

    @staticmethod
    def _find(matrix: FeatureMatrix, control: Control, texts: Sequence[Text]) -> Rows:
        return matrix.find(row_keys(control, texts))

    def _view(
        self, tasks: list[int], documents: list[Document], labelled: set[int], members: bool, unread: int
    ) -> PoolView:
        done = np.flatnonzero([task in labelled for task in tasks])
        pools: list[acquisition.Pool] = []
        confidences: list[Floats] = []
        answers: dict[str, list[tuple[str, ...]]] = {}
        for control in self._controls:
            texts = [control.text_of(document) for document in documents]
            pool = self._pool(control, texts, done, members)
            pools.append(pool)
            answers[control.name], sure = self._say(control, pool.probabilities)
            confidences.append(sure)
        if is_conditional(self._model.spec):
            hidden = hidden_rows(self._model.spec, answers)
            confidences = [np.where(hidden[name], 1.0, sure) for name, sure in zip(answers, confidences, strict=True)]
            pools = [
                replace(pool, hidden=np.flatnonzero(hidden[name])) for name, pool in zip(answers, pools, strict=True)
            ]
            answers = {name: _shown(said, hidden[name]) for name, said in answers.items()}
        confidence = np.min(confidences, axis=0)
        joined = ["\x1f".join("\x1e".join(keys) for keys in row) for row in zip(*answers.values(), strict=True)]
        return PoolView(np.array(tasks, dtype=np.int64), documents, pools, confidence, joined, unread)

    def _pool(self, control: Control, texts: Sequence[Text], done: Rows, members: bool) -> acquisition.Pool:
        rows, name = self._find(self._matrix, control, texts), control.name
        features = widen(self._matrix.gather(rows)[:, -1:])[:, -1]
        several: Floats | None = None
        shares: Floats | None = None
        try:
            answers = probabilities(self._model, name, self._matrix, self._tuned)[rows]
            if members:
                several, shares = member_probabilities(self._model, name, self._matrix)
                several = several[:, rows]
        except RescoringError:  # a fine-tuned encoder that has not read all: by the feature cache
            answers = self._model.scores(name, texts)
        threshold = thresholds_of(self._model.rules(name), self._model.labels(name))
        multilabel = control.multilabel
        return acquisition.Pool(answers, features, done, multilabel, threshold, members=several, shares=shares)

    def _say(self, control: Control, probabilities: Floats) -> tuple[list[tuple[str, ...]], Floats]:
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
