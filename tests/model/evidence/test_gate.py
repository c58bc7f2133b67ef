"""The gate: what it accepts, what it refuses and why."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model.evidence.gate import (
    WITHDRAW_FROM,
    compare_losses,
    decide_promotion,
    decide_withdrawal,
    find_collapsed,
    find_outdone,
)

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
    assert verdict.evidence["interval"][1] < 0 and verdict.evidence["better"] > 0.975


def test_a_worse_challenger_is_refused_with_the_numbers() -> None:
    verdict = decide_promotion(answers(2.0, 0.05), answers(1.0, 0.4), TARGETS)
    assert not verdict.accepted and verdict.decided and "significantly worse" in verdict.reason
    assert "on 90 held out" in verdict.reason


def test_a_challenger_that_is_probably_better_is_accepted_though_the_interval_holds_zero() -> None:
    champion = np.full((90, 3), 1 / 3)
    challenger = champion.copy()
    challenger[np.arange(90), np.where(np.arange(90) < 37, CLASSES, (CLASSES + 1) % 3)] += 0.05
    challenger /= challenger.sum(1, keepdims=True)
    verdict = decide_promotion(champion, challenger, TARGETS)
    low, high = verdict.evidence["interval"]
    assert low < 0 < high and 0.8 <= verdict.evidence["better"] < 0.975
    assert verdict.accepted and verdict.reason.startswith("better than")


def test_an_equal_challenger_cannot_be_told_from_the_champion_which_stays() -> None:
    same = answers(1.5, 0.1)
    verdict = decide_promotion(same, same, TARGETS)
    assert not verdict.accepted and not verdict.decided and "cannot tell" in verdict.reason
    assert verdict.evidence["better"] == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_seldom_promotes(seed: int) -> None:
    """Equally good models with errors of their own: about one in five is promoted, as PROOF says."""
    generator = np.random.default_rng(seed)
    promoted = 0
    for _ in range(20):
        champion, challenger = (
            np.clip(0.7 * TARGETS + 0.1 + generator.normal(0, 0.1, TARGETS.shape), 0.02, 1) for _ in range(2)
        )
        sides = [p / p.sum(1, keepdims=True) for p in (champion, challenger)]
        promoted += decide_promotion(sides[0], sides[1], TARGETS).accepted
    assert promoted <= 10


def test_too_little_evidence_decides_nothing() -> None:
    verdict = decide_promotion(answers(1.0)[:19], answers(3.0)[:19], TARGETS[:19])
    assert not verdict.accepted and not verdict.decided and "19 of 20" in verdict.reason


def test_no_evidence_at_all_decides_nothing() -> None:
    nothing = np.zeros((0, 3))
    assert not decide_promotion(nothing, nothing, nothing).decided


def test_a_challenger_that_gives_up_a_class_is_refused() -> None:
    champion = answers(1.0)
    challenger = answers(6.0)
    rare = CLASSES == 2
    challenger[rare] = [0.4, 0.3, 0.3]
    verdict = decide_promotion(champion * 0.2 + 0.8 / 3, challenger, TARGETS)
    assert not verdict.accepted and verdict.evidence["collapsed"] == [2] and "never answered" in verdict.reason
    assert verdict.evidence["better"] > 0.975, "although its log-loss is lower"


def test_a_challenger_that_gives_up_a_label_of_a_set_is_refused() -> None:
    true = RNG.random((90, 4)) < [0.5, 0.4, 0.3, 0.15]
    champion = np.where(true, 0.6, 0.4)
    challenger = np.where(true, 0.95, 0.05)
    challenger[:, 3] = np.where(true[:, 3], 0.35, 0.05)
    verdict = decide_promotion(champion, challenger, true.astype(float), multilabel=True)
    assert not verdict.accepted and verdict.evidence["collapsed"] == [3]
    other = decide_promotion(champion, challenger, true.astype(float), multilabel=True, thresholds=(0.5, 0.3))
    assert other.accepted, "with its own threshold the label is answered"


def test_a_rare_class_that_loses_its_only_hit_by_chance_has_not_collapsed() -> None:
    true = np.eye(40, dtype=bool)[np.repeat(np.arange(40), 3)]
    champion, challenger = true.copy(), true.copy()
    champion[1:3, 0] = challenger[0:3, 0] = False
    assert find_collapsed(champion, challenger, true) == [], "1 of 3 became 0 of 3 in one of 40 classes"
    whole = np.eye(2, dtype=bool)[np.repeat(np.arange(2), 3)]
    gone = whole.copy()
    gone[:3, 0] = False
    assert find_collapsed(whole, gone, whole) == [0]


def test_macro_f1_must_not_fall() -> None:
    """Better by log-loss, since the champion is timid; but it mixes up two classes."""
    champion = 0.06 * TARGETS + 0.94 / 3
    challenger = answers(3.0)
    swapped = (CLASSES == 1) & (np.arange(90) % 3 == 0)
    challenger[swapped] = [0.44, 0.42, 0.14]
    verdict = decide_promotion(champion, challenger, TARGETS)
    assert not verdict.accepted and "macro-F1 falls" in verdict.reason and verdict.evidence["macro_f1_fall"] > 0.02


@pytest.mark.parametrize("multilabel", [True, False])
def test_the_verdict_is_plain_json(multilabel: bool) -> None:
    verdict = decide_promotion(answers(1.0), answers(2.0), TARGETS, multilabel=multilabel)
    assert json.loads(json.dumps(verdict.to_json()))["accepted"] is True


def test_the_bootstrap_interval_is_that_of_scipy() -> None:
    from scipy.stats import bootstrap

    champion, challenger = RNG.exponential(1.0, 80), RNG.exponential(0.9, 80)
    _, change, (low, high) = compare_losses(champion, challenger)
    oracle = bootstrap((challenger - champion,), np.mean, n_resamples=5000, method="percentile", random_state=1)
    assert change == pytest.approx((challenger - champion).mean(), abs=1e-4)
    assert (low, high) == pytest.approx(oracle.confidence_interval, abs=0.02)


def test_a_fine_tune_that_answers_new_labels_worse_is_withdrawn() -> None:
    alone = RNG.exponential(0.4, 60)
    verdict = decide_withdrawal(alone + 0.2 + RNG.normal(0, 0.3, 60), alone)
    assert not verdict.accepted and verdict.decided and "worse than the head alone" in verdict.reason
    assert "60 new labels" in verdict.reason


def test_a_fine_tune_stays_while_nothing_is_proven() -> None:
    alone = RNG.exponential(0.4, 60)
    assert decide_withdrawal(alone, alone).accepted, "equal"
    assert decide_withdrawal(alone - 0.1, alone).accepted, "better"
    assert decide_withdrawal(alone + RNG.normal(0.02, 0.3, 60), alone).accepted, "may be worse"
    few = decide_withdrawal(alone[: WITHDRAW_FROM - 1] + 1, alone[: WITHDRAW_FROM - 1])
    assert few.accepted and not few.decided and "39 of 40" in few.reason
    assert decide_withdrawal(np.zeros(0), np.zeros(0)).accepted


def test_a_fresh_fine_tune_that_the_head_alone_beats_outdoes_the_older_ones() -> None:
    def verdict(better: float, accepted: bool = False, decided: bool = True) -> dict[str, object]:
        return {"accepted": accepted, "decided": decided, "evidence": {"better": better}}

    verdicts = {
        "lost": verdict(0.1),
        "won": verdict(0.95, accepted=True),
        "unclear": verdict(0.4, decided=False),
        "collapsed": verdict(0.9),
        "few": {"accepted": False, "decided": False, "evidence": {}},
    }
    assert find_outdone(verdicts) == ["lost"]
