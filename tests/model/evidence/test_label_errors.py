"""Suspected labels: cleanlab's scores and order, sets, ground truths, and injected errors in the sample messages."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.encoder.encoder import Encoder
from model.evidence.label_errors import LIKELY_WRONG, TO_CHECK, find_suspects, given_confidence
from model.head.fit import fit_head
from model.head.linear_head import OutOfFold
from model.spec import Sample
from tests.model.conftest import SAMPLE_DATA
from tests.support.encoders import Remembering, choices

ABC = ("a", "b", "c")


def answers(probabilities: Any, targets: Any) -> OutOfFold:
    return OutOfFold(tuple(range(1, len(probabilities) + 1)), np.array(probabilities, float), np.array(targets, float))


def draw(seed: int, rows: int, classes: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    return random.dirichlet(np.full(classes, 0.3), rows), random.integers(0, classes, rows)


@pytest.mark.parametrize("seed", range(3))
def test_the_scores_are_cleanlabs_self_confidence_and_so_is_the_order(seed: int) -> None:
    from cleanlab.rank import get_label_quality_scores, order_label_issues

    probabilities, labels = draw(seed, 200, 4)
    theirs = get_label_quality_scores(labels, probabilities, method="self_confidence")
    assert given_confidence(probabilities, np.eye(4)[labels]) == pytest.approx(theirs)
    found = [s.task - 1 for s in find_suspects("wxyz", answers(probabilities, np.eye(4)[labels]), multilabel=False)]
    suspected = probabilities.argmax(1) != labels
    issues = order_label_issues(suspected, labels, probabilities, rank_by="self_confidence")
    assert theirs[found] == pytest.approx(theirs[issues])
    assert set(found) == set(issues.tolist())


def test_per_label_scores_of_sets_are_cleanlabs() -> None:
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

    random = np.random.default_rng(0)
    probabilities, said = random.random((60, 3)), random.random((60, 3)) < 0.5
    labels = [np.flatnonzero(row).tolist() for row in said]
    theirs = get_label_quality_scores_per_class(labels, probabilities, method="self_confidence")
    found = find_suspects(ABC, answers(probabilities, said), multilabel=True)
    assert len(found) > 20
    for suspect in found:
        score = theirs[suspect.task - 1, ABC.index(suspect.given or suspect.suggested)]
        assert suspect.p_given == pytest.approx(score)


def test_flags_say_how_sure_one_can_be() -> None:
    rows = [[0.01, 0.6, 0.39], [0.09, 0.85, 0.06], [0.095, 0.5, 0.405], [0.3, 0.7, 0.0], [0.8, 0.1, 0.1]]
    found = find_suspects(ABC, answers(rows, np.eye(3)[[0] * 5]), multilabel=False)
    assert [(s.task, s.suggested, s.flag) for s in found] == [
        (1, "b", LIKELY_WRONG),
        (2, "b", TO_CHECK),
        (3, "b", ""),
        (4, "b", ""),
    ]
    assert (found[0].given, found[0].p_given, found[0].p_suggested) == ("a", 0.01, 0.6)
    assert len(find_suspects(ABC, answers(rows, np.eye(3)[[0] * 5]), multilabel=False, limit=2)) == 2


def test_ground_truths_and_labels_without_another_example_are_never_suspected() -> None:
    rows = answers([[0.01, 0.99, 0], [0.01, 0.99, 0], [0.01, 0.99, 0]], np.eye(3)[[0, 0, 2]])
    assert [s.task for s in find_suspects(ABC, rows, multilabel=False)] == [1, 2]
    assert [s.task for s in find_suspects(ABC, rows, multilabel=False, sure={1})] == [2]


def test_a_disputed_task_is_suspected_only_when_neither_side_is_believed() -> None:
    targets = [[0.5, 0.5, 0], [0.5, 0.5, 0], [0.7, 0.3, 0], [1, 0, 0]]
    rows = answers([[0.01, 0.98, 0.01], [0.01, 0.01, 0.98], [0.01, 0.98, 0.01], [0.9, 0.1, 0]], targets)
    found = find_suspects(ABC, rows, multilabel=False)
    assert [(s.task, s.given, s.suggested) for s in found] == [(3, "a", "b"), (2, "a", "c")]


def test_sets_are_suspected_label_by_label() -> None:
    targets = [[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 1, 0.5], [0, 0, 1]]
    probabilities = [[0.99, 0.995, 0.1], [0.01, 0.9, 0.1], [0.9, 0.9, 0.1], [0.1, 0.9, 0.01], [0.1, 0.1, 0.001]]
    found = find_suspects(ABC, answers(probabilities, targets), multilabel=True)
    assert [(s.task, s.given, s.suggested, s.flag) for s in found] == [
        (1, "", "b", LIKELY_WRONG),  # missing
        (2, "a", "", LIKELY_WRONG),  # too much
    ], "task 4 is disputed, and nothing else has label c beside task 5"


def test_a_label_of_a_set_is_suspected_only_below_its_own_share() -> None:
    targets = np.zeros((100, 3))
    targets[:3, 0] = 1
    probabilities = np.full((100, 3), 0.001)
    probabilities[:3, 0] = [0.04, 0.001, 0.9]
    found = find_suspects(ABC, answers(probabilities, targets), multilabel=True)
    assert [(s.task, s.given) for s in found] == [(2, "a")], "4 % is more than usual for a label of 3 %"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(1, 5), st.booleans())
def test_any_answers_give_a_ranking(seed: int, rows: int, classes: int, multilabel: bool) -> None:
    random = np.random.default_rng(seed)
    probabilities, targets = random.dirichlet(np.ones(classes), rows), random.random((rows, classes))
    targets = targets if multilabel else targets / targets.sum(1, keepdims=True)
    labels = [str(column) for column in range(classes)]
    found = find_suspects(labels, answers(probabilities, targets), multilabel=multilabel)
    confidences = [suspect.p_given for suspect in found]
    assert confidences == sorted(confidences)
    assert all(s.given != s.suggested and 0 <= s.p_given < s.p_suggested <= 1 for s in found)


@pytest.fixture(scope="module")
def injected(minilm: Encoder) -> Any:
    """240 sample messages with 12 labels replaced; (suspects, the wrong rows, the true labels)."""
    with SAMPLE_DATA.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    random = np.random.default_rng(7)
    rows = [rows[index] for index in random.permutation(len(rows))[:240]]
    names = sorted({row["label"] for row in rows})
    truth = {task: row["label"] for task, row in enumerate(rows)}
    wrong = {int(task) for task in random.choice(240, 12, replace=False)}
    given_ = {
        t: str(random.choice([n for n in names if n != label])) if t in wrong else label for t, label in truth.items()
    }
    samples = [Sample(task, (rows[task]["text"],), {given_[task]: 1.0}) for task in truth]
    head = fit_head(choices(*names), samples, [{"text": row["text"]} for row in rows], Remembering(minilm))
    assert head.out_of_fold is not None
    found = find_suspects(head.labels, head.out_of_fold, multilabel=False)
    return found, wrong, truth


def test_injected_errors_are_found_far_better_than_by_chance(injected: Any) -> None:
    suspects, wrong, truth = injected
    flagged = [suspect.task for suspect in suspects if suspect.flag]
    hits = len(wrong & set(flagged))
    assert hits / len(flagged) > 6 * len(wrong) / len(truth), "chance is 5 %"
    assert hits / len(wrong) > 0.4
    top = {suspect.task for suspect in suspects[: len(wrong)]}
    assert len(top & wrong) >= len(wrong) / 2


def test_the_suggested_label_is_mostly_the_true_one(injected: Any) -> None:
    suspects, wrong, truth = injected
    suggested = {suspect.task: suspect.suggested for suspect in suspects if suspect.task in wrong}
    assert len(suggested) >= 9
    assert sum(suggested[task] == truth[task] for task in suggested) >= 0.6 * len(suggested)
