"""Test-then-train on a real store: which labels are honest tests, what is kept of them, what the curve says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backend.jobs.learn.refit import refit
from backend.jobs.learn.test_then_train import _judge
from backend.store.evidence import EVIDENCE_ROWS_KEPT
from model.decoding.answers import AnswerRules, decide
from model.evidence.learning_curve import learning_curve
from model.evidence.recalibration import read_rows
from model.evidence.row import EvidenceRow, Judgement
from model.spec import Control, Kind, Label, Sample
from tests.backend.conftest import PROJECT, Labels


def rows_of(context: Any) -> list[dict[str, Any]]:
    return list(context.stores.evidence.rows(PROJECT))


def test_the_first_labels_test_the_cold_start(context: Any, labels: Labels) -> None:
    labels.add(0, 24)
    refit(PROJECT)
    rows = rows_of(context)
    assert len(rows) == 24 and {(row.version, row.labels) for row in rows} == {("v0", 0)}


def test_a_row_holds_enough_to_calibrate_again(context: Any, labels: Labels) -> None:
    labels.add(0, 24)
    refit(PROJECT)
    labels.add(24, 34)
    refit(PROJECT)
    rows = rows_of(context)[24:]
    assert len(rows) == 10 and {(row.version, row.labels) for row in rows} == {("v0.1", 24)}
    assert max(len(json.dumps(row.to_json())) for row in rows) < 500
    losses = read_rows([row.served for row in rows]).log_losses()
    assert losses == pytest.approx([row.log_loss for row in rows], abs=2e-3)
    model = context.live_model(PROJECT, "v0.1")
    served = model.scores("label", [(labels.rows[24][0],)])[0]
    assert rows[0].confidence == pytest.approx(served.max(), abs=1e-3)


def test_a_row_says_which_task_was_given_what_and_answered_what(context: Any, labels: Labels) -> None:
    labels.add(0, 30)
    refit(PROJECT)
    labels.add(30, 60)
    refit(PROJECT)
    rows = rows_of(context)
    assert [(row.task, row.given) for row in rows] == [(n, (labels.rows[n - 1][1],)) for n in range(1, 61)]
    assert all(row.correct == (row.given == row.said) for row in rows)
    assert {key for row in rows for key in row.said} <= set(labels.names) and not all(row.correct for row in rows)


def test_a_changed_answer_and_a_second_annotator_are_no_honest_tests(context: Any, labels: Labels) -> None:
    labels.add(0, 24)
    refit(PROJECT)
    tested = len(rows_of(context))
    [first, second] = list(labels._records([0, 1], str))
    changed = replace(first, targets={"label": [[labels.names[0]]]}, updated_at="2026-01-02T00:00:00Z")
    joined = replace(second, annotation=900, updated_at="2026-01-02T00:00:00Z")
    context.stores.examples.upsert_many(PROJECT, [changed, joined])
    assert refit(PROJECT) == "published"
    assert len(rows_of(context)) == tested, "the version had learned both tasks"


def test_a_refit_that_is_run_again_tests_nothing_twice(context: Any, labels: Labels, monkeypatch: Any) -> None:
    labels.add(0, 24)
    refit(PROJECT)
    labels.add(24, 30)
    publish = context.stores.versions.publish
    monkeypatch.setattr(context.stores.versions, "publish", lambda *args, **more: "superseded")
    assert refit(PROJECT) == "superseded"
    monkeypatch.setattr(context.stores.versions, "publish", publish)
    assert refit(PROJECT) == "published"
    assert len(rows_of(context)) == 30


def test_an_import_tests_its_last_labels_only(context: Any, labels: Labels) -> None:
    labels.add(0, 24)
    refit(PROJECT)
    labels.add(24, 100)
    refit(PROJECT)
    rows = rows_of(context)[24:]
    assert len(rows) == 50 and rows[-1].annotation == 100


def test_the_curve_outlives_the_rows(context: Any) -> None:
    store = context.stores.evidence
    row = EvidenceRow("label", Judgement(0.9, True, 0.1), labels=100)
    from model.evidence.learning_curve import tally

    for _ in range(3):
        store.append(PROJECT, [row] * 1000, tally([row] * 1000))
    assert store.count(PROJECT) == EVIDENCE_ROWS_KEPT
    [point] = learning_curve(store.tallies(PROJECT))["label"]
    assert (point["n"], point["labels"], point["accuracy"]) == (3000, 100, 1.0)


def test_tasks_are_first_seen_once(context: Any) -> None:
    store = context.stores.evidence
    assert store.first_seen(PROJECT, [1, 2], 5) == {1: 5, 2: 5}
    assert store.first_seen(PROJECT, [2, 3], 9) == {2: 5, 3: 9}
    assert store.first_seen(PROJECT, [], 9) == {}


def test_the_unlabelled_pool_is_surveyed_and_shows_the_bias_of_the_choice(context: Any, labels: Labels) -> None:
    documents = {number: {"text": text} for number, (text, _) in enumerate(labels.rows[:120], 1)}
    context.stores.projects.add_pool(PROJECT, documents, 1000)
    refit(PROJECT)
    labels.add(0, 40)
    context.stores.jobs.enqueue_refit(PROJECT)
    refit(PROJECT)
    assert context.stores.evidence.survey(PROJECT) == {}, "not while somebody waits for a refit"
    context.stores._redis.delete("rq:queue:learn")
    refit(PROJECT)
    survey = context.stores.evidence.survey(PROJECT)
    assert survey["version"] == context.stores.versions.live(PROJECT) and survey["labels"] == 40
    assert survey["controls"]["label"]["n"] == 80, "what is labelled is not part of it"
    assert sum(survey["controls"]["label"]["counts"]) == 80
    labels.add(40, 42)
    refit(PROJECT)
    assert context.stores.evidence.survey(PROJECT)["labels"] == 40, "not after every label"
    labels.add(42, 60)
    refit(PROJECT)
    assert context.stores.evidence.survey(PROJECT)["labels"] == 60


def test_an_inner_node_of_a_taxonomy_is_right_about_everything_below_it() -> None:
    paths = [("A",), ("A", "A1"), ("A", "A2"), ("AA",), ("B",), ("B", "A1")]
    tree = Control("where", Kind.TAXONOMY, ("text",), tuple(Label(path, path[-1]) for path in paths), "Taxonomy")
    rules = AnswerRules(tree.keys())
    unsure = np.array([0.1, 0.4, 0.35, 0.05, 0.05, 0.05])  # answers A, with .85: which of the two below is not sure

    def judged(key: str) -> Judgement:
        target = np.array([float(label.key == key) for label in tree.labels])
        return _judge(tree, decide(tree, rules, unsure), unsure, Sample(1, ("x",), {key: 1.0}), target)

    assert judged("A/A1").confidence == pytest.approx(0.85)
    right = {label.key for label in tree.labels if judged(label.key).correct}
    assert right == {"A", "A/A1", "A/A2"}
