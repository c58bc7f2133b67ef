"""What an annotator could pick instead: recipes of other tools, on the same rows and the same encoder.

tfidf        TF-IDF (1-2 grams, sublinear) + logistic regression
lr           logistic regression on L2-normalised mean-pooled embeddings, C by cross-validation
humansignal  label-studio-ml-backend's fine-tune recipe (model/simulation/finetuned_baselines.py)
setfit       SetFit with its paper's defaults (model/simulation/finetuned_baselines.py)
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from model.decoding.answers import AnswerRules
from model.decoding.evaluate_answers import measure
from model.head.fit import labels_of, target_matrix
from model.interfaces import Embedder
from model.numerics.arrays import Floats
from model.simulation.baseline_task import Task, fit_logistic
from model.simulation.dataset import Dataset
from model.simulation.replay import Row, Tell, shuffled

REGULARISATIONS = (1.0, 10.0, 100.0)
"""C of the cross-validated logistic regression."""


@dataclass(frozen=True)
class Peer:
    """`answer`: probabilities [test rows, K] of a task that holds at least two classes."""

    method: str
    answer: Callable[[Task], Floats]


@dataclass(frozen=True)
class Rival:
    """One peer's random-sampling curve on the rows that the learner's curve has."""

    data: Dataset
    peer: Peer
    base: Embedder
    base_model: Path
    threads: int
    tell: Tell

    def row(self, count: int, seed: int) -> Row:
        """The measures after `count` labels, as `Replay.rows` gives them; `refit_seconds` is the whole training."""
        task = self.task(count, seed)
        self.tell(f"{count} labels")
        task.features([*task.train, *task.test])  # encoded before the clock starts, as for the learner
        seen, control = int((task.targets.sum(0) > 0).sum()), self.data.control
        began = time.perf_counter()
        scores = self.peer.answer(task) if seen > 1 else np.tile(task.targets[:1], (len(task.test), 1))
        seconds = time.perf_counter() - began
        found = measure(control, AnswerRules(tuple(self.labels)), scores, task.test)
        return {
            "strategy": "random",
            "n": count,
            "seed": seed,
            **{key: round(value, 6) for key, value in found.items()},
            "refit_seconds": round(seconds, 4),
            "method": self.peer.method,
            "classes": len(control.labels),
            "classes_seen": seen,
            "test_rows": len(task.test),
        }

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The columns of every task."""
        return labels_of(self.data.control, self.data.train)

    def task(self, count: int, seed: int) -> Task:
        """The first `count` labelled rows of this seed."""
        rows = [sample for sample in shuffled(self.data.train, seed) if sample.labelled][:count]
        train, targets = target_matrix(self.labels, rows, self.data.multilabel)
        return Task(
            train=train,
            targets=targets,
            test=self.data.test,
            multilabel=self.data.multilabel,
            base=self.base,
            base_model=self.base_model,
            seed=seed,
            threads=self.threads,
            tell=self.tell,
        )


def tfidf(task: Task) -> Floats:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    try:
        train = vectorizer.fit_transform(task.flat(task.train))
    except ValueError:  # not one word in all texts
        return np.tile(task.targets.mean(0), (len(task.test), 1))
    return fit_logistic(
        train, task.targets, vectorizer.transform(task.flat(task.test)), 10.0, multilabel=task.multilabel
    )


def logistic(task: Task) -> Floats:
    """LR on embeddings, C by cross-validated accuracy (sets: share of right label decisions)."""
    train, test = task.features(task.train), task.features(task.test)
    best = best_strength(train, task.targets, task.seed, multilabel=task.multilabel)
    return fit_logistic(train, task.targets, test, best, multilabel=task.multilabel)


def best_strength(train: Floats, targets: Floats, seed: int, *, multilabel: bool) -> float:
    """The C of REGULARISATIONS that answers best out of 5 folds (3 above 256 rows); the smallest of equals.

    Folds whose training part holds one class only are left out."""
    from sklearn.model_selection import KFold, StratifiedKFold

    tops, count = targets.argmax(1), 5 if len(train) <= 256 else 3
    if len(train) < 2:
        return REGULARISATIONS[0]
    kind = KFold if multilabel or np.bincount(tops).max() < count else StratifiedKFold
    right = np.zeros(len(REGULARISATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds
        parts = list(kind(min(count, len(train)), shuffle=True, random_state=seed).split(train, tops))
    for rows, held in parts:
        if not multilabel and len(set(tops[rows])) < 2:
            continue
        for index, strength in enumerate(REGULARISATIONS):
            scores = fit_logistic(train[rows], targets[rows], train[held], strength, multilabel=multilabel)
            agree = (scores >= 0.5) == (targets[held] >= 0.5) if multilabel else scores.argmax(1) == tops[held]
            right[index] += agree.sum()
    return REGULARISATIONS[int(right.argmax())]


def humansignal(task: Task) -> Floats:
    """HumanSignal's recipe."""
    from model.simulation.finetuned_baselines import train_humansignal

    return train_humansignal(task)


def setfit(task: Task) -> Floats:
    from model.simulation.finetuned_baselines import train_setfit

    return train_setfit(task)


PEERS = {
    "tfidf": Peer("TF-IDF + LR", tfidf),
    "lr": Peer("LR on embeddings", logistic),
    "humansignal": Peer("HumanSignal fine-tune", humansignal),
    "setfit": Peer("SetFit", setfit),
}
