"""The gate for marked text: edits decide, F1 is shown, and no label is given up."""

from __future__ import annotations

import numpy as np

from model.evidence.gate import WITHDRAW_FROM, MarkedSide, decide_marked_promotion, decide_withdrawal

RNG = np.random.default_rng(0)
DRAWN = RNG.random((80, 2)) < 0.5


def side(wrong: float, f1: float, seed: int = 1) -> MarkedSide:
    """Who misses each drawn label with this probability."""
    missed = DRAWN & (np.random.default_rng(seed).random(DRAWN.shape) < wrong)
    return MarkedSide(missed.sum(1).astype(float), DRAWN & ~missed, {"f1": f1, "saved": 1 - wrong})


def test_fewer_edits_are_accepted_and_the_reason_is_in_words() -> None:
    verdict = decide_marked_promotion(side(0.5, 0.5), side(0.2, 0.7), DRAWN)
    assert (
        verdict.accepted and verdict.decided and verdict.reason.startswith("significantly better than the head alone")
    )
    assert "edits a text against" in verdict.reason and "F1 0.700 against 0.500 on 80 held out" in verdict.reason
    assert verdict.evidence["edits_change"] < 0 and verdict.evidence["challenger"]["f1"] == 0.7


def test_more_edits_are_refused_even_with_a_higher_f1() -> None:
    verdict = decide_marked_promotion(side(0.2, 0.5), side(0.5, 0.9), DRAWN)
    assert not verdict.accepted and verdict.decided and "significantly worse" in verdict.reason


def test_equal_sides_cannot_be_told_apart_and_the_head_stays() -> None:
    verdict = decide_marked_promotion(side(0.3, 0.6), side(0.3, 0.6), DRAWN)
    assert not verdict.accepted and not verdict.decided and "cannot tell" in verdict.reason


def test_few_texts_are_too_little_evidence() -> None:
    few = MarkedSide(np.zeros(5), np.zeros((5, 1), bool), {"f1": 0.0})
    verdict = decide_marked_promotion(few, few, np.zeros((5, 1), bool))
    assert not verdict.accepted and "5 of 20 held-out texts" in verdict.reason


def test_a_label_that_is_never_found_any_more_is_reason_enough() -> None:
    champion = side(0.6, 0.5)
    found = DRAWN.copy()
    found[:, 1] = False
    challenger = MarkedSide(np.zeros(80), found, {"f1": 0.9})
    verdict = decide_marked_promotion(champion, challenger, DRAWN)
    assert (
        not verdict.accepted and verdict.evidence["collapsed"] == [1] and "1 label(s) are never found" in verdict.reason
    )


def test_a_published_blend_that_costs_edits_is_withdrawn() -> None:
    served, alone = np.ones(WITHDRAW_FROM), np.zeros(WITHDRAW_FROM)
    said = {"measure": "edits a text", "what": "texts"}
    verdict = decide_withdrawal(served, alone, **said)
    assert not verdict.accepted and verdict.reason == (
        f"worse than the head alone: edits a text 1.000 against 0.000 on {WITHDRAW_FROM} new texts"
    )
    assert decide_withdrawal(alone, served, **said).accepted
    assert not decide_withdrawal(served[:5], alone[:5], **said).decided
