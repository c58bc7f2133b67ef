"""Where several people answered the same task: how far they differ, how reliable each is, and what to believe.

Pure. Reliability needs overlap: without it, or with two people and no ground truth between them (nobody can tell which
of the two is wrong), everybody counts alike. Decision 0004.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from backend.rules.votes import Answer, Answers, VoteTable
from model.spec import NONE, Control, Kind

MIN_SHARED = 20
"""Tasks that somebody must share with others (or with a ground truth) before reliability is believed: with 10, single
simulated projects came out up to 40 points worse than the plain vote."""

MIN_PEOPLE = 3

FLOOR = 0.1
"""Least weight of a task that only one person has answered, however unreliable."""


@dataclass(frozen=True)
class Weighing:
    """`targets`: task -> label -> share, of the tasks with several answers. `weights`: task -> weight, of the others.
    `reliability`: annotator -> share of right answers expected (sets: F1)."""

    targets: Mapping[int, Mapping[str, float]]
    weights: Mapping[int, float]
    reliability: Mapping[int, float]


ALIKE = Weighing({}, {}, {})
"""Everybody counts alike."""


def measure_disagreement(control: Control, answers: Sequence[Answer]) -> float:
    """Mean distance over all pairs of answers, in [0, 1]: 0 when all agree, 1 when no two have anything in common.

    The chance that two of these people differ (what Fleiss' kappa starts from): readable, and unlike the entropy it
    does not depend on how many labels there are. Sets: Jaccard distance; ratings: stars apart over the most.
    Something and nothing have nothing in common."""
    apart = _stars_apart if control.kind is Kind.RATING else _sets_apart
    distances = [apart(control, one.keys, other.keys) for one, other in combinations(answers, 2)]
    return round(sum(distances) / len(distances), 4) if distances else 0.0


def _stars_apart(control: Control, one: Sequence[str], other: Sequence[str]) -> float:
    if NONE in (one[0], other[0]):
        return float(one[0] != other[0])
    return min(1.0, abs(int(one[0]) - int(other[0])) / max(1, len(control.labels) - 1))


def _sets_apart(_: Control, one: Sequence[str], other: Sequence[str]) -> float:
    held = len(set(one) | set(other))
    return 1 - len(set(one) & set(other)) / held if held else 0.0


def weigh_answers(control: Control, answers: Answers) -> Weighing:
    """Targets and weights by reliability; ALIKE without enough overlap.

    Ratings always count alike: a star more or less is taste rather than error, and their spread is what is learned."""
    shared = {task: found for task, found in answers.items() if len(found) > 1}
    steady = find_reliable_annotators(shared)
    if control.kind is Kind.RATING or not steady:
        return ALIKE
    from model.evidence.dawid_skene import estimate

    table = VoteTable(control.multilabel, shared)
    if not table.labels:
        return ALIKE  # of sets that everybody left empty
    found = estimate(table.votes())
    if found is None:
        return ALIKE
    reliability = {who: value for who, value in table.read_reliability(found).items() if who in steady}
    worth = _annotator_weights(reliability, 0.0 if table.is_set else 1 / max(2, len(table.labels)))
    weights = {
        task: worth[mine[0].annotator]
        for task, mine in answers.items()
        if len(mine) == 1 and mine[0].annotator in worth and not mine[0].record.ground_truth
    }
    return Weighing(table.read_targets(found), weights, reliability)


def find_reliable_annotators(shared: Answers) -> set[int]:
    """Who has shared MIN_SHARED tasks or more (own ground truths aside); nobody when their overlap is too little."""
    judged = Counter(
        answer.annotator
        for found in shared.values()
        for answer in found
        if answer.annotator is not None and not answer.record.ground_truth
    )
    steady = {who for who, count in judged.items() if who is not None and count >= MIN_SHARED}
    proven = sum(any(answer.record.ground_truth for answer in found) for found in shared.values())
    return steady if len(steady) >= MIN_PEOPLE or proven >= MIN_SHARED else set()


def _annotator_weights(reliability: Mapping[int, float], chance: float) -> dict[int | None, float]:
    """Weight of a task that only this person answered: how much better than chance, relative to the best person."""
    above = {person: max(0.0, value - chance) for person, value in reliability.items()}
    best = max(above.values(), default=0.0)
    return {person: round(max(FLOOR, value / best), 4) if best else 1.0 for person, value in above.items()}
