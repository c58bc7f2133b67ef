"""Blending a fine-tuned model with the head, also after the label set changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.versions.finetuned import FineTuned, TunedHead, align_columns, blend, blend_weight, restore_finetuned

RANDOM = np.random.default_rng(2)
HEAD, TUNED = RANDOM.dirichlet(np.ones(3), size=20), RANDOM.dirichlet(np.ones(3), size=20)
SETS_HEAD, SETS_TUNED = RANDOM.uniform(0.02, 0.98, (20, 3)), RANDOM.uniform(0.02, 0.98, (20, 3))


def tuned_head(multilabel: bool = False) -> TunedHead:
    return TunedHead(
        ("a", "b", "c"),
        multilabel,
        RANDOM.normal(size=(3, 8)).astype(np.float32),
        RANDOM.normal(size=3).astype(np.float32),
        0.5,
        1.25,
    )


@pytest.mark.parametrize(("weight", "expected"), [(0.0, HEAD), (1.0, TUNED)])
def test_a_blend_with_all_weight_on_one_side_is_that_side(weight: float, expected: np.ndarray) -> None:
    np.testing.assert_allclose(blend(HEAD, TUNED, weight), expected, atol=1e-9)


@pytest.mark.parametrize(("weight", "expected"), [(0.0, SETS_HEAD), (1.0, SETS_TUNED)])
def test_a_blend_of_sets_with_all_weight_on_one_side_is_that_side(weight: float, expected: np.ndarray) -> None:
    np.testing.assert_allclose(blend(SETS_HEAD, SETS_TUNED, weight, multilabel=True), expected, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1))
def test_a_blend_lies_between_and_sums_to_one(weight: float) -> None:
    np.testing.assert_allclose(blend(HEAD, TUNED, weight).sum(1), 1)
    sets = blend(SETS_HEAD, SETS_TUNED, weight, multilabel=True)
    assert (sets >= np.minimum(SETS_HEAD, SETS_TUNED) - 1e-9).all()
    assert (sets <= np.maximum(SETS_HEAD, SETS_TUNED) + 1e-9).all()


def test_a_fine_tune_counts_for_less_the_more_labels_came_since() -> None:
    fresh = replace(tuned_head(), trained_on=100)
    assert fresh.aged(90) == fresh.aged(100) == fresh
    old = fresh.aged(400)
    assert old.weight == pytest.approx(fresh.weight / 4)
    assert old.temperature == pytest.approx(fresh.temperature**0.25)
    assert replace(fresh, trained_on=0).aged(400).weight == fresh.weight, "versions that do not say"


def test_the_weight_grows_with_the_labels() -> None:
    assert [blend_weight(count) for count in (0, 16, 64)] == [0, 0, 0.5]
    assert 0.5 < blend_weight(300) < blend_weight(3000) < 1


def test_the_same_labels_need_no_alignment() -> None:
    np.testing.assert_allclose(align_columns(TUNED, ("a", "b", "c"), ("a", "b", "c"), HEAD), TUNED)


def test_labels_in_another_order_are_reordered() -> None:
    np.testing.assert_allclose(align_columns(TUNED, ("a", "b", "c"), ("c", "a", "b"), HEAD), TUNED[:, [2, 0, 1]])


def test_an_added_label_keeps_the_head_s_share_and_is_not_shut_out() -> None:
    aligned = align_columns(TUNED[:, :2] / TUNED[:, :2].sum(1, keepdims=True), ("a", "b"), ("a", "b", "new"), HEAD)
    np.testing.assert_allclose(aligned.sum(1), 1)
    np.testing.assert_allclose(aligned[:, 2], HEAD[:, 2])
    np.testing.assert_allclose(aligned[:, 0] / aligned[:, 1], TUNED[:, 0] / TUNED[:, 1])


def test_a_new_label_can_win_the_blend() -> None:
    head = np.array([[0.05, 0.05, 0.9]])
    aligned = align_columns(np.array([[0.99, 0.01]]), ("a", "b"), ("a", "b", "new"), head)
    assert blend(head, aligned, 0.9).argmax(1).tolist() == [2]


def test_a_removed_label_leaves_its_share_to_the_others() -> None:
    head = HEAD[:, :2] / HEAD[:, :2].sum(1, keepdims=True)
    aligned = align_columns(TUNED, ("a", "b", "old"), ("a", "b"), head)
    np.testing.assert_allclose(aligned.sum(1), 1)
    np.testing.assert_allclose(aligned[:, 0] / aligned[:, 1], TUNED[:, 0] / TUNED[:, 1])


def test_labels_may_be_added_and_removed_at_once() -> None:
    aligned = align_columns(TUNED, ("a", "b", "old"), ("new", "b", "a"), HEAD)
    np.testing.assert_allclose(aligned.sum(1), 1)
    np.testing.assert_allclose(aligned[:, 0], HEAD[:, 0])
    np.testing.assert_allclose(aligned[:, 2] / aligned[:, 1], TUNED[:, 0] / TUNED[:, 1])


def test_without_a_common_label_the_head_answers_alone() -> None:
    np.testing.assert_allclose(align_columns(TUNED, ("x", "y", "z"), ("a", "b", "c"), HEAD), HEAD)


def test_single_answers_sum_to_one_and_set_answers_are_independent() -> None:
    embeddings = RANDOM.normal(size=(6, 8))
    np.testing.assert_allclose(tuned_head().scores(embeddings).sum(1), 1)
    sets = tuned_head(multilabel=True).scores(embeddings)
    assert ((sets > 0) & (sets < 1)).all()
    assert np.ptp(sets.sum(1)) > 0.01


def test_the_length_of_an_embedding_does_not_matter() -> None:
    head, embeddings = tuned_head(), RANDOM.normal(size=(6, 8))
    np.testing.assert_allclose(head.scores(embeddings), head.scores(7 * embeddings))


def test_a_fine_tuned_part_survives_json() -> None:
    tuned = FineTuned(Path("weights"), {"one": tuned_head(), "two": tuned_head(multilabel=True)})
    again = restore_finetuned(json.loads(json.dumps(tuned.config())), tuned.tensors(), Path("weights"))
    embeddings = RANDOM.normal(size=(6, 8))
    for name, head in tuned.heads.items():
        restored = again.heads[name]
        assert np.array_equal(restored.scores(embeddings), head.scores(embeddings))
        assert (restored.labels, restored.weight, restored.temperature) == (head.labels, head.weight, head.temperature)
