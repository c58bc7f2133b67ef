"""The judges of the advice, on trajectories whose learning curve, confidence and mistakes are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from bench import advice as advice_priors
from bench.advice import (
    draw_rows,
    judge_acceptance,
    judge_anchoring,
    judge_forecast,
    judge_misses,
    judge_priors,
    measure_misses,
)
from bench.support.replays import BLIND, EXPLORED, STAGES, Trajectory

ROWS, POOL = 3000, 2048


def known(seed: int = 0, active: bool = True, best: float = 0.9) -> Trajectory:
    """A model that is right as often as it says it is: `best` less a power of the labels, some rows easier."""
    random = np.random.default_rng(seed)
    counts = np.array(STAGES)
    levels = best - 0.8 * counts[:, None] ** -0.4
    confidences = np.clip(levels + random.uniform(-0.1, 0.1, (len(counts), ROWS)), 0.02, 0.98)
    correct = random.random(ROWS)[None, :] < confidences  # one threshold a row: what is learned stays
    kind = random.choice(3, POOL, p=[BLIND, EXPLORED, 1 - BLIND - EXPLORED]) if active else np.full(POOL, 2)
    nothing = np.zeros((len(counts), ROWS), dtype=np.int32)
    order = random.permutation(POOL)
    confidences = confidences.astype(np.float32)
    return Trajectory(counts, order, kind == 0, kind == 1, confidences, correct, nothing, nothing[0], POOL)


def test_a_curve_that_is_a_power_law_is_foreseen() -> None:
    rows = list(judge_forecast([known(active=False)], replays=2))
    assert [row["of"] for row in rows] == ["+1%", "+2%"]
    assert all(row["replays"] == 18 and row["share"] >= 0.8 and row["met"] for row in rows)


def test_a_prior_is_judged_on_the_sets_that_it_was_not_chosen_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice_priors, "SLOPES", (0.02, 0.17))
    monkeypatch.setattr(advice_priors, "SPREADS", (0.4,))
    groups = {(name, "random"): [known(seed, active=False)] for seed, name in enumerate(("one", "two"))}
    *each, first, second = judge_priors(groups, replays=1)
    assert [(row["set"], row["prior"]) for row in each] == [("one", "(0.17, 0.4)"), ("two", "(0.17, 0.4)")]
    assert first["+1%"] == np.mean([row["+1%"] for row in each]).round(3)
    assert second["+2%"] == np.mean([row["+2%"] for row in each]).round(3) and "met" in second


def test_misses_of_the_confidence_are_found_and_the_other_sets_are_the_prior() -> None:
    honest = known()
    late = replace(honest, confidences=expit(logit(honest.confidences) + 0.5))  # wrong more often than it says
    (level, slope, chosen), off = measure_misses(honest), measure_misses(late)
    assert max(abs(level), abs(slope), abs(chosen)) < 0.25 and off[0] == pytest.approx(level + 0.5, abs=0.2)
    groups = {("one", "active"): [honest], ("two", "active"): [late], ("two", "random"): [late]}
    first, second, both, *judged = judge_misses(groups, 1, [1000], [0.2])
    assert [first["set"], second["set"], both["set"]] == ["one", "two", "all"]
    assert judged[0]["set"] == "one" and judged[0]["prior"].startswith(f"({abs(off[0]):.2f}, ")
    assert {row["what"] for row in judged} == {"copying, prior of the other sets"} and len(judged) == 6


def test_what_is_accepted_is_as_good_as_was_asked_for() -> None:
    rows = list(judge_acceptance([known(best=1.0)], replays=2))
    assert all(row["share"] >= 0.95 for row in rows)
    assert rows[0]["found"] > 0.3 and rows[0]["covers"] > 0.1, "and something was accepted"


@pytest.mark.parametrize("labels", [1000, 6000])
def test_copiers_are_counted_and_more_labels_than_were_followed_can_be_asked_for(labels: int) -> None:
    rows = {row["of"]: row for row in judge_anchoring([known()], 3, [labels], blind=0.2)}
    row = rows[f"30%, {labels} labels, blind 20%"]
    assert row["replays"] == 3 and row["in 95 %"] >= 0.6
    assert row["blind wrong"] == pytest.approx(0.2 * labels * 0.17, rel=0.5)


def test_blind_ones_are_drawn_anew_and_copied_by_nobody() -> None:
    trajectory, until = known(), len(STAGES) - 1
    rows = draw_rows(trajectory, until, np.random.default_rng(0), (0.3, 0.1), copying=1.0)
    blind = [row for row in rows if row.blind]
    assert len(blind) == pytest.approx(0.3 * len(rows), rel=0.15)
    assert 0.1 < np.mean([not row.correct for row in blind]) < 0.4
    assert all(row.correct for row in rows if not row.blind)


def marked(trajectory: Trajectory, pride: float) -> Trajectory:
    """The same rows as texts with one span each, of which `pride` more is expected with every e-fold of labels."""
    hits = trajectory.correct.astype(np.float32)
    ahead = pride * np.log(trajectory.counts / trajectory.counts[0])[:, None]
    likely = (hits.mean(1, keepdims=True) + ahead) * np.ones_like(hits)
    ones = np.ones_like(hits)
    return replace(trajectory, marks=np.stack([likely, ones, hits, ones, ones], axis=-1))


def test_nothing_is_told_where_more_is_expected_than_comes() -> None:
    trajectory = known(active=False, best=0.6)
    honest, proud = (list(judge_forecast([marked(trajectory, pride)], 2)) for pride in (0.0, 0.15))
    assert all(row["told"] > 0.7 and row["share"] > 0.8 for row in honest)
    assert all(row["told"] < 0.4 for row in proud)


def test_what_could_be_accepted_is_told_beside() -> None:
    row = next(judge_acceptance([known(best=0.7)], replays=1))
    assert row["of"] == 0.9 and row["found"] == 0 and row["could cover"] < row["perfect"] < 1
    assert row["tests"] >= 0 and row["needed"] >= 1
