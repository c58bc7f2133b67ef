"""Pairs of texts: a head learns how two segments relate, which neither says alone."""

from __future__ import annotations

import csv
import random

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.encoder.pairs import interact, two_segments
from model.head.fit import fit_head
from model.spec import Sample, Text
from tests.model.conftest import SAMPLE_DATA
from tests.support.encoders import choices


def test_all_segments_after_the_first_are_one() -> None:
    assert two_segments(("a", "b")) == ("a", "b")
    assert two_segments(("a", "b", "c")) == ("a", "b\nc")


def test_the_last_layer_is_kept_whatever_the_depth() -> None:
    generator = np.random.default_rng(0)
    for depth in (1, 2, 3, 4):
        joint, first, second = generator.normal(size=(3, 5, depth, 8))
        found = interact(joint, first, second)
        assert found.shape == joint.shape
        kept = max(1, depth - 2)
        np.testing.assert_array_equal(found[:, -kept:], joint[:, -kept:])
        if depth > 1:
            assert np.abs(found[:, 0] - joint[:, 0]).max() > 0.01


def test_a_segment_alone_does_not_turn_the_order_around() -> None:
    joint, first, second = np.random.default_rng(1).normal(size=(3, 2, 4, 8))
    np.testing.assert_allclose(interact(joint, first, second)[:, :2], interact(joint, second, first)[:, :2])


@pytest.mark.long
def test_a_head_learns_whether_two_messages_are_of_one_kind(minilm: Encoder) -> None:
    """Neither segment alone tells, and both orders occur. Read as one sequence only: .73 right, with `interact` .85."""
    pairs, same = _pairs(160)
    control = choices("A", "B", inputs=("one", "two"))
    samples = [Sample(i, text, {"A" if y else "B": 1.0}) for i, (text, y) in enumerate(zip(pairs, same, strict=True))]
    head = fit_head(control, samples[:100], [], minilm)
    answers = head.scores(pairs[100:], minilm.embed(pairs[100:])).argmax(1) == 0
    assert (answers == np.array(same[100:])).mean() >= 0.8


def _pairs(count: int) -> tuple[list[Text], list[bool]]:
    """Two messages of one kind or of two."""
    with SAMPLE_DATA.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if 30 < len(row["text"]) < 90]
    generator = random.Random(5)
    kinds = [[row["text"] for row in rows if row["label"] == label] for label in ("praise", "refund")]
    pairs: list[Text] = []
    for index in range(count):
        generator.shuffle(kinds)
        pairs.append((generator.choice(kinds[0]), generator.choice(kinds[(index + 1) % 2])))
    return pairs, [bool(index % 2) for index in range(count)]
