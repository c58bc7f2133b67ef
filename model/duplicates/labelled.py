"""Labelled texts by their duplicates: what each group's labels say, how often they agree, and where they do not. Pure.

A text's exact duplicates are those of the same normal form, its near ones those of the same letters (model/texts.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from model.spec import NONE, Control, Sample
from model.texts import duplicate_keys

Keys = tuple[str, ...]
"""An answer: label keys in their order; none for none of these."""

PRIOR_EXACT, PRIOR_NEAR, PRIOR_TEXTS = 0.97, 0.9, 20
"""How often labels of duplicates agree before a project shows it, and as how many texts that counts: people who label
the same text twice differ in 2 to 5 of 100, and those of short near-duplicates in 10 (docs/active-learning)."""

NEAR_LEAST = 0.95
"""Agreement from which a near-duplicate's label is taken over: with the prior, from 20 texts that all agree."""

MOST_OF_ONE = PRIOR_TEXTS
"""Texts that one group counts as, at most: what a thousand copies of one text agree in says little of other texts."""

MOST_TASKS = 50
"""Tasks of a group that are listed as of another answer."""


@dataclass(frozen=True)
class Agreement:
    """How often a labelled text has the label that most of its other duplicates have; of `exact` and of `near` ones,
    and of how many texts that was seen (MOST_OF_ONE of a group at most)."""

    exact: float = PRIOR_EXACT
    near: float = PRIOR_NEAR
    exact_texts: int = 0
    near_texts: int = 0

    @property
    def carries_near(self) -> bool:
        """Whether near-duplicates take over a label."""
        return self.near >= NEAR_LEAST


def count_comparisons(agreement: float, texts: int, groups: int, *, near: bool) -> tuple[int, int]:
    """Of a smoothed `agreement` seen on `texts` in `groups`: labels that were compared with those of their duplicates
    before them, and those that differ. Two texts that agree are one proof, not two."""
    if texts <= groups:
        return 0, 0
    prior = PRIOR_NEAR if near else PRIOR_EXACT
    agreeing = agreement * (texts + PRIOR_TEXTS) - prior * PRIOR_TEXTS
    tests = texts - groups
    wrong = tests * (1 - min(1.0, max(0.0, agreeing / texts)))
    return tests, min(tests, ceil(wrong - 0.01 - 1e-4 * texts))


@dataclass(frozen=True)
class GroupAnswer:
    """What one group's labels say: answers with their shares, the largest first. `against`: tasks whose people answered
    otherwise than most."""

    answers: tuple[tuple[Keys, float], ...]
    against: tuple[int, ...] = ()


@dataclass(frozen=True)
class Disagreement:
    """A labelled task whose duplicates have another label: `given` and, with most of the others, `suggested`; `like`:
    the task of one of those. `share`: of the others that say so, `others` in all; `given_share`: of those that say what
    was given. `sample`: the task's."""

    task: int
    given: Keys
    suggested: Keys
    like: int
    share: float
    given_share: float
    others: int
    near: bool
    sample: Sample


@dataclass(frozen=True)
class LabelledGroups:
    """One control's labelled samples by the keys of their texts; each list by task."""

    control: Control
    exact: Mapping[int, Sequence[Sample]]
    near: Mapping[int, Sequence[Sample]]

    def agreement(self) -> Agreement:
        """Smoothed. Near-duplicates are judged by texts that are no exact ones."""
        exact, of = _count_agreeing(self.exact.values(), self._answer)
        near, near_of = _count_agreeing(map(self._one_each, self.near.values()), self._answer)
        return Agreement(
            (exact + PRIOR_EXACT * PRIOR_TEXTS) / (of + PRIOR_TEXTS),
            (near + PRIOR_NEAR * PRIOR_TEXTS) / (near_of + PRIOR_TEXTS),
            of,
            near_of,
        )

    def answers(self) -> tuple[dict[int, GroupAnswer], dict[int, GroupAnswer]]:
        """Key -> what exact duplicates say, and near ones."""
        known: dict[tuple[tuple[str, float], ...], GroupAnswer] = {}

        def answer(samples: Sequence[Sample]) -> GroupAnswer:
            if len(samples) > 1:
                return self._group_answer(samples)
            said = tuple(samples[0].target.items())  # most texts are there once, and few answers are given to many
            return known.get(said) or known.setdefault(said, self._group_answer(samples))

        exact = {key: answer(samples) for key, samples in self.exact.items()}
        return exact, {key: answer(samples) for key, samples in self.near.items()}

    def example_of(self, answer: GroupAnswer, samples: Sequence[Sample]) -> Sample:
        """One of a group's samples whose people gave the largest of its answers, a ground truth if there is one."""
        if len(samples) < 2:
            return samples[0]
        said = [sample for sample in samples if self._answer(sample) == answer.answers[0][0]] or samples
        return next((sample for sample in said if sample.ground_truth), said[0])

    def disagreements(self, near: bool) -> list[Disagreement]:
        """Tasks that a duplicate's label speaks against, those with the most others against them first; ground truths
        are none. `near`: also of near-duplicates."""
        found: dict[int, Disagreement] = {}
        for is_near, groups in ((False, self.exact), (True, self.near if near else {})):
            for samples in groups.values():
                for one in self._disagreeing(samples, is_near):
                    found.setdefault(one.task, one)
        return sorted(found.values(), key=lambda one: (-one.share * one.others, one.task))

    def count_groups(self) -> tuple[int, int]:
        """Groups of two texts or more: of exact duplicates, and of others that are near ones."""
        near = [self._one_each(samples) for samples in self.near.values()]
        return sum(len(samples) > 1 for samples in self.exact.values()), sum(len(texts) > 1 for texts in near)

    def _disagreeing(self, samples: Sequence[Sample], near: bool) -> Iterable[Disagreement]:
        if len(samples) < 2:
            return
        said = [self._answer(sample) for sample in samples]
        votes = Counter(said)
        if len(votes) < 2:
            return
        sure = next((answer for sample, answer in zip(samples, said, strict=True) if sample.ground_truth), None)
        first: dict[Keys, int] = {}
        for sample, answer in zip(samples, said, strict=True):
            first.setdefault(answer, sample.task)
        usual = votes.most_common(2)  # once a group: there may be very many of one text
        count = len(said) - 1
        for sample, own in zip(samples, said, strict=True):
            best = sure if sure is not None else next(other for other, _ in usual if other != own)
            if sample.ground_truth or best == own or (sure is None and votes[best] < votes[own]):
                continue
            shares = votes[best] / count, (votes[own] - 1) / count
            yield Disagreement(sample.task, own, best, first[best], *shares, count, near, sample)

    def _group_answer(self, samples: Sequence[Sample]) -> GroupAnswer:
        counted = [sample for sample in samples if sample.ground_truth] or samples
        shares: dict[Keys, float] = {}
        for sample in counted:
            for keys, share in self._shares(sample):
                shares[keys] = shares.get(keys, 0.0) + share / len(counted)
        ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
        best = ranked[0][0]
        against = [sample.task for sample in samples if self._answer(sample) != best] if len(ranked) > 1 else []
        return GroupAnswer(tuple((keys, round(share, 4)) for keys, share in ranked), tuple(against[:MOST_TASKS]))

    def _shares(self, sample: Sample) -> Sequence[tuple[Keys, float]]:
        if self.control.multilabel:
            return [(self._answer(sample), 1.0)]
        return [((key,) if key != NONE else (), share) for key, share in sample.target.items()]

    def _answer(self, sample: Sample) -> Keys:
        """What most of the people said of this task."""
        if self.control.multilabel:
            return tuple(sorted(key for key, share in sample.target.items() if share >= 0.5))
        return (sample.top,) if sample.top != NONE else ()

    def _one_each(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """One of each exact text."""
        if len(samples) < 2:
            return samples
        names = self.control.inputs
        return list({duplicate_keys(names, sample.text)[0]: sample for sample in reversed(samples)}.values())


def group_labelled(control: Control, samples: Iterable[Sample]) -> LabelledGroups:
    """The labelled ones by their duplicates."""
    exact: dict[int, list[Sample]] = {}
    near: dict[int, list[Sample]] = {}
    for sample in samples:
        if not sample.labelled or not (sample.target or control.multilabel):
            continue
        key, alike = duplicate_keys(control.inputs, sample.text)
        exact.setdefault(key, []).append(sample)
        if alike is not None:
            near.setdefault(alike, []).append(sample)
    return LabelledGroups(control, exact, near)


def _count_agreeing(groups: Iterable[Sequence[Sample]], answer: Callable[[Sample], Keys]) -> tuple[float, int]:
    """Texts whose label is the one that most of the others have (of ties: one of those), and texts with others; of a
    large group the share of MOST_OF_ONE."""
    agreeing, texts = 0.0, 0
    for samples in groups:
        if len(samples) < 2:
            continue
        votes = Counter(map(answer, samples))
        usual = votes.most_common(2)
        counts = min(len(samples), MOST_OF_ONE)
        for own, count in votes.items():
            most_others = next((votes[other] for other, _ in usual if other != own), 0)
            agreeing += (count > most_others) * count * counts / len(samples)
        texts += counts
    return agreeing, texts
