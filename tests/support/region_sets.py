"""Regions with questions about them, for the bench: labels of public sets as answers, generated notes whose answers the
words around a region give, and baselines."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from model.region import Region
from model.simulation.span_dataset import SpanDataset
from model.span import SpanDocument

COARSE = "thing"
"""The label of every region: what it was called is the answer."""

FINDINGS = (
    "fever",
    "a cough",
    "chest pain",
    "nausea",
    "headache",
    "rash",
    "a fracture",
    "pneumonia",
    "fatigue",
    "an ulcer",
)
SURE = (
    "She has {}.",
    "Examination shows {}.",
    "He came in with {} since Monday.",
    "{} was found on arrival.",
    "We treat {}.",
)
DENIED = ("He denies {}.", "No sign of {}.", "There was never any {}.", "Without {} today.", "{} was ruled out.")
POSSIBLE = ("Perhaps {}.", "We suspect {}.", "{} cannot be excluded.", "Question of {}.", "It may be {}.")
ASSERTIONS = {"present": SURE, "absent": DENIED, "possible": POSSIBLE}


@dataclass(frozen=True)
class Asked:
    """A text with regions, and the right answer about each."""

    text: str
    regions: tuple[Region, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class AskedSet:
    """Texts to learn from, in any order, and to measure on."""

    name: str
    labels: tuple[str, ...]
    train: Sequence[Asked]
    test: Sequence[Asked]


def coarse(name: str, train: Sequence[SpanDocument], test: Sequence[SpanDocument], labels: Sequence[str]) -> AskedSet:
    """The labels of a set as answers."""
    return AskedSet(name, tuple(labels), [_coarse(one) for one in train], [_coarse(one) for one in test])


def _coarse(document: SpanDocument) -> Asked:
    regions = tuple(Region("label", span.start, span.end, COARSE) for span in document.spans)
    return Asked(document.text, regions, tuple(span.label for span in document.spans))


def generated(count: int, seed: int) -> list[Asked]:
    """Notes of two to four sentences, each about one finding that is there, is not, or may be."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        text, regions, answers = "", [], []
        for _ in range(draw.randint(2, 4)):
            answer = draw.choice(list(ASSERTIONS))
            frame, finding = draw.choice(ASSERTIONS[answer]), draw.choice(FINDINGS)
            at = len(text) + frame.index("{}")
            text += frame.format(finding) + " "
            regions.append(Region("label", at, at + len(finding), COARSE))
            answers.append(answer)
        found.append(Asked(text.strip(), tuple(regions), tuple(answers)))
    return found


Guess = Callable[[Asked], list[str]]
"""An answer to each region of a text."""


def most_frequent(train: Sequence[Asked]) -> Guess:
    """The answer that was given most often."""
    counts = Counter(answer for one in train for answer in one.answers)
    usual = min(counts, key=lambda key: (-counts[key], key))
    return lambda asked: [usual] * len(asked.regions)


def by_string(train: Sequence[Asked]) -> Guess:
    """What was answered most often about the same string; else the most frequent answer."""
    usual, counts = most_frequent(train), dict[str, Counter[str]]()
    for one in train:
        for region, answer in zip(one.regions, one.answers, strict=True):
            counts.setdefault(_string(one, region), Counter())[answer] += 1

    def guess(asked: Asked) -> list[str]:
        known = [counts.get(_string(asked, region)) for region in asked.regions]
        return [
            min(own, key=lambda key: (-own[key], key)) if own else other
            for own, other in zip(known, usual(asked), strict=True)
        ]

    return guess


def _string(asked: Asked, region: Region) -> str:
    return asked.text[region.start : region.end].lower()


BASELINES = {"most frequent": most_frequent, "by string": by_string}


def asked_sets(found: Mapping[str, SpanDataset]) -> list[AskedSet]:
    """Sets of marked texts as answers, and the generated one."""
    sets = [coarse(name, own.train, own.test, own.labels) for name, own in found.items()]
    return [*sets, AskedSet("assertions", tuple(ASSERTIONS), generated(400, 1), generated(300, 2))]
