"""The gate: what it accepts, what it refuses and why."""

from __future__ import annotations

import numpy as np
import pytest

from model.gate import decide_promotion

RNG = np.random.default_rng(0)
CLASSES = RNG.integers(0, 3, 90)
TARGETS = np.eye(3)[CLASSES]


def answers(sharpness: float, wrong: float = 0.0) -> np.ndarray:
    """Probabilities that lean to the truth, a share `wrong` of them to another class."""
    classes = np.where(RNG.random(90) < wrong, (CLASSES + 1) % 3, CLASSES)
    logits = sharpness * np.eye(3)[classes]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_a_better_challenger_is_accepted() -> None:
    verdict = decide_promotion(answers(1.0, 0.3), answers(2.0, 0.05), TARGETS)
    assert verdict.accepted and verdict.decided and "significantly better" in verdict.reason
    assert verdict.evidence["interval"][1] < 0


def test_a_worse_challenger_is_refused_with_the_numbers() -> None:
    verdict = decide_promotion(answers(2.0, 0.05), answers(1.0, 0.4), TARGETS)
    assert not verdict.accepted and verdict.decided and "significantly worse" in verdict.reason
    assert "on 90 held out" in verdict.reason


def test_too_little_evidence_decides_nothing() -> None:
    verdict = decide_promotion(answers(1.0)[:19], answers(3.0)[:19], TARGETS[:19])
    assert not verdict.accepted and not verdict.decided and "19 of 20" in verdict.reason


def test_a_challenger_that_gives_up_a_class_is_refused() -> None:
    champion = answers(1.0)
    challenger = answers(6.0)
    rare = CLASSES == 2
    challenger[rare] = [0.4, 0.3, 0.3]
    verdict = decide_promotion(champion * 0.2 + 0.8 / 3, challenger, TARGETS)
    assert not verdict.accepted and verdict.evidence["collapsed"] == [2]


def test_an_equal_challenger_is_not_worse() -> None:
    same = answers(1.5, 0.1)
    assert decide_promotion(same, same, TARGETS).accepted


@pytest.mark.parametrize("multilabel", [True, False])
def test_the_verdict_is_plain_json(multilabel: bool) -> None:
    import json

    verdict = decide_promotion(answers(1.0), answers(2.0), TARGETS, multilabel=multilabel)
    assert json.loads(json.dumps(verdict.to_json()))["accepted"] is True
