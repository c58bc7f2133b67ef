"""The auto-accept dial: over which confidence answers may stand unseen, with a guarantee. Pure.

Test-then-train rows are honest tests of earlier versions; the pool's confidences are those of the live one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from model.evidence.row import EvidenceRow
from model.numerics.arrays import Floats

MISS_RISK = 0.05
"""How often the accuracy of what is accepted may miss its target."""

SEQUENCE_GROWTH = 1.15
"""Growth in tests from one threshold of the sequence to the next."""

SPARE_ERRORS = 1
"""Errors that the first threshold could afford, where there are tests enough: with 0 one slip ends the search."""

SUREST_SHARE = 0.2
"""Share of the pool that missing tests are counted for: its most confident fifth."""

ENOUGH_DRAWN = 100
"""Rows drawn at random from which the others are left out."""

LEAST_LABELS = 0.5
"""Rows count that a version with at least this share of the present labels answered (as in
backend/application/learning_curve.py)."""


class DialJson(TypedDict):
    target: float
    threshold: float | None
    share: float
    count: int
    lower_bound: float
    tests: int
    errors: int
    more: int
    reason: str
    carried_over: NotRequired[Mapping[str, CarriedJson]]


class CarriedJson(TypedDict):
    """Answers carried over from labelled duplicates, `count` of them: whether they may stand (`accepted`), by how often
    labels of duplicates differ (`errors` in `tests` comparisons)."""

    count: int
    tests: int
    errors: int
    lower_bound: float
    accepted: bool
    more: int


def judge_carried(tests: int, errors: int, count: int, target: float) -> CarriedJson:
    """By their own evidence: the version's tests are of texts that it had not seen, and say nothing of these."""
    proven = count > 0 and finite_p_value(errors, tests, count, target) <= MISS_RISK
    return {
        "count": count,
        "tests": tests,
        "errors": errors,
        "lower_bound": round(finite_lower_bound(errors, tests, count), 4),
        "accepted": bool(proven),
        "more": 0 if proven or not count else max(1, tests_needed(count, target, errors) - tests),
    }


@dataclass(frozen=True)
class Dial:
    """What a `target` accuracy allows: answers with a confidence of `threshold` or more, `count` of the pool (`share`),
    at least `lower_bound` of which are right with 95 % confidence, by `errors` in `tests`.

    `threshold` None: none reaches the target, and `more` tests of sure answers, all right, are needed at least."""

    target: float
    threshold: float | None
    share: float
    count: int
    lower_bound: float
    tests: int
    errors: int
    more: int = 0
    reason: str = ""

    def to_json(self) -> DialJson:
        return {
            "target": self.target,
            "threshold": self.threshold,
            "share": self.share,
            "count": self.count,
            "lower_bound": self.lower_bound,
            "tests": self.tests,
            "errors": self.errors,
            "more": self.more,
            "reason": self.reason,
        }


def choose_rows(rows: Sequence[EvidenceRow], control: str, labels: int) -> list[EvidenceRow]:
    """The tests of `control`: rows by versions that knew half of its `labels` or more; of these the ones drawn at
    random where they are enough for any proof at all. Texts in which no span was shown are none: they are not accepted,
    and are right more often.

    Rows that a strategy chose are no easier at equal confidence, and less confident among those over a threshold: with
    them the dial promises less than it could, not more."""
    alike = [row for row in rows if row.control == control and row.labels >= LEAST_LABELS * labels and _answers(row)]
    drawn = [row for row in alike if row.blind or row.explore]
    return drawn if len(drawn) >= ENOUGH_DRAWN else alike


def _answers(row: EvidenceRow) -> bool:
    return row.marked is None or bool(row.marked.shown)


def find_threshold(confidences: Sequence[float], correct: Sequence[bool], pool: Sequence[float], target: float) -> Dial:
    """The lowest threshold that has proven itself; tests [n], pool [m].

    Learn-then-Test by fixed sequence (Angelopoulos et al. 2021): thresholds from the highest that could be proven at
    all downwards, each tested at MISS_RISK, until one fails. The test is exact for what will be accepted, not for an
    endless supply of tasks: `finite_p_value`. Holds where a task's being a test tells nothing of its correctness
    beyond its confidence; docs/active-learning/advice.md says how well that is met.
    """
    score, hit = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=bool)
    order = np.argsort(-score, kind="stable")
    score, hit = score[order], hit[order]
    waiting = np.sort(np.asarray(pool, dtype=float))[::-1]
    found: Dial | None = None
    for tests in _sequence(score, waiting, target, SPARE_ERRORS) or _sequence(score, waiting, target, 0):
        threshold = float(score[tests - 1])
        count, errors = _count_from(waiting, threshold), int(tests - hit[:tests].sum())
        if finite_p_value(errors, tests, count, target) > MISS_RISK:
            break
        found = Dial(target, threshold, count / len(waiting), count, 0.0, tests, errors)
    if found is None:
        return _none_found(score, hit, waiting, target)
    bound = finite_lower_bound(found.errors, found.tests, found.count)
    return replace(found, share=round(found.share, 4), lower_bound=round(bound, 4))


def finite_p_value(errors: int, tests: int, count: int, target: float) -> float:
    """How likely so few errors in the tests are, were fewer than `target` of the `count` accepted answers right.

    Tests and accepted answers are shuffled alike, so the tests' errors are hypergeometric among all errors."""
    return float(_p_values(errors, np.array([tests], dtype=float), np.array([count], dtype=float), target)[0])


def _p_values(errors: int, tests: Floats, counts: Floats, target: float) -> Floats:
    """The same for several sizes at once [n]."""
    too_many = np.floor((1 - target) * counts + 1e-9) + 1
    p = chance_of_few(errors, tests + counts, errors + too_many, tests)
    return np.where(counts == 0, 1.0, np.where(too_many > counts, 0.0, p))


def chance_of_few(errors: int, total: Floats, wrong: Floats, tests: Floats) -> Floats:
    """Hypergeometric P(at most `errors` wrong ones in `tests` drawn of `total`, `wrong` of which are wrong) [n].

    scipy.stats has it, but its import alone takes a second of whoever asks for advice."""
    drawn = np.arange(errors + 1, dtype=float)[:, None]
    with np.errstate(invalid="ignore"):
        logs = _choose(wrong, drawn) + _choose(total - wrong, tests - drawn) - _choose(total, tests)
    return np.minimum(np.exp(logs).sum(0), 1.0)


def _choose(n: Floats, k: Floats) -> Floats:
    """Log of the binomial coefficient; -inf where there is none."""
    possible = (k >= 0) & (k <= n)
    n, k = np.where(possible, n, 0), np.where(possible, k, 0)
    return np.where(possible, gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), -np.inf)


def finite_lower_bound(errors: int, tests: int, count: int) -> float:
    """Share of the `count` accepted answers that are right, with 1 - MISS_RISK confidence: inverts `finite_p_value`."""
    low, high = 0, count  # wrong ones: more than `low` are not refuted
    while low < high:
        wrong = (low + high) // 2
        sizes = np.array([[tests + count], [errors + wrong + 1], [tests]], dtype=float)
        chance = chance_of_few(errors, *sizes)
        low, high = (low, wrong) if wrong < count and chance[0] <= MISS_RISK else (wrong + 1, high)
    return 1 - low / count if count else 0.0


def tests_needed(count: int, target: float, errors: int = 0) -> int:
    """Tests with so many errors that prove `target` for `count` accepted answers."""
    low, high = errors + 1, 2
    while finite_p_value(errors, high, count, target) > MISS_RISK and high < 1 << 20:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if finite_p_value(errors, middle, count, target) <= MISS_RISK else (middle + 1, high)
    return low


def _sequence(score: Floats, pool: Floats, target: float, spare: int) -> list[int]:
    """Numbers of tests, ascending, each a place where the sorted scores fall: confidences alone decide it."""
    if not len(pool):
        return []
    last = len(score)
    places = np.flatnonzero(np.append(score[1:] < score[:-1], True)) + 1 if last else np.zeros(0, dtype=int)
    counts = np.searchsorted(-pool, -score[places - 1], side="right")
    chosen: list[int] = []
    for place in places[_p_values(spare, places.astype(float), counts.astype(float), target) <= MISS_RISK]:
        if not chosen or place >= SEQUENCE_GROWTH * chosen[-1] or place == last:
            chosen.append(int(place))
    return chosen


def _count_from(pool: Floats, threshold: float) -> int:
    """How many of the descending confidences are at least the threshold."""
    return int(np.searchsorted(-pool, -threshold, side="right"))


def _none_found(score: Floats, hit: NDArray[np.bool_], pool: Floats, target: float) -> Dial:
    """Why: nothing left to accept, too few tests, or too many errors in them."""
    tests, errors = len(score), int(len(hit) - hit.sum())
    if not len(pool):
        return Dial(target, None, 0.0, 0, 0.0, tests, errors, 0, "no unlabelled task is left")
    sure = max(1, math.ceil(SUREST_SHARE * len(pool)))
    threshold = float(pool[sure - 1])
    seen = score >= threshold
    tests, errors = int(seen.sum()), int((~hit[seen]).sum())
    more = max(1, tests_needed(sure, target, errors) - tests)
    wrong = f", {errors} of them wrong" if errors else ""
    reason = f"{tests} tests of answers with a confidence of {threshold:.2f} or more{wrong}; {more} more are needed"
    return Dial(target, None, 0.0, 0, 0.0, tests, errors, more, reason)
