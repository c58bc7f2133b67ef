"""The peers' recipes against scikit-learn, and where their rows come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from model.numerics.arrays import normalise
from model.simulation.baseline_task import fit_logistic
from model.simulation.baselines import PEERS, REGULARISATIONS, Rival, best_strength
from model.simulation.dataset import Dataset
from model.simulation.finetuned_baselines import make_pairs
from model.simulation.replay import Replay, ReplayPlan
from model.spec import Sample
from tests.model.conftest import Messages


def dataset(messages: Messages) -> Dataset:
    test = [Sample(1000 + i, t, {k: 1.0}) for i, (t, k) in enumerate(zip(messages.texts, messages.truth, strict=True))]
    return Dataset(messages.control, tuple(messages.samples), tuple(test))


def rival(messages: Messages, name: str) -> Rival:
    return Rival(dataset(messages), PEERS[name], messages.embedder, Path(), 1, lambda _: None)


def test_peers_get_the_rows_that_the_learner_gets(messages: Messages) -> None:
    replay = Replay(dataset(messages), ReplayPlan((0, 24), seed=3), messages.embedder)
    list(replay.rows())
    task = rival(messages, "lr").task(24, 3)
    assert [sample.task for sample in task.train] == [sample.task for sample in replay._samples()]


def test_tfidf_is_scikit_learns(messages: Messages) -> None:
    task = rival(messages, "tfidf").task(32, 0)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    train = words.fit_transform([sample.text[0] for sample in task.train])
    model = LogisticRegression(C=10, max_iter=1000).fit(train, [sample.top for sample in task.train])
    wanted = model.predict_proba(words.transform([text for (text,) in messages.texts]))
    columns = [messages.control.keys().index(key) for key in model.classes_]
    assert PEERS["tfidf"].answer(task)[:, columns] == pytest.approx(wanted, abs=1e-3)


def test_lr_is_scikit_learns_with_the_chosen_strength(messages: Messages) -> None:
    task = rival(messages, "lr").task(48, 0)
    train = normalise(messages.embedder.embed([sample.text for sample in task.train])[:, -1])
    strength = best_strength(train, task.targets, 0, multilabel=False)
    assert strength in REGULARISATIONS
    model = LogisticRegression(C=strength, max_iter=1000).fit(train, task.targets.argmax(1))
    wanted = model.predict(normalise(messages.features()[:, -1]))
    assert (PEERS["lr"].answer(task).argmax(1) == wanted).all()


@pytest.mark.parametrize("name", ["tfidf", "lr"])
def test_one_class_or_one_row_is_answered_all_the_same(messages: Messages, name: str) -> None:
    row = rival(messages, name).row(1, 0)
    assert row["classes_seen"] == 1 and 0 <= row["accuracy"] < 0.5 and row["strategy"] == "random"


def test_sets_with_labels_on_all_or_no_rows_are_fitted() -> None:
    targets = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1], [1, 0, 0]], dtype=float)
    scores = fit_logistic(np.eye(4), targets, np.eye(4), 10.0, multilabel=True)
    assert (scores[:, 0] == 1).all() and (scores[:, 1] == 0).all() and scores[0, 2] > 0.5 > scores[1, 2]


def test_pairs_say_whether_labels_are_equal() -> None:
    targets = np.eye(3)[[0, 0, 1, 2, 1]]
    pairs = make_pairs(targets, np.random.default_rng(0), each=4)
    assert all((targets[a] == targets[b]).all() == bool(same) and a != b for a, b, same in pairs)
    assert len(pairs) == 5 * 4 + 4 * 4, "the third class has one row, so no pair of equals"
