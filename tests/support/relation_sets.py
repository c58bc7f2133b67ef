"""Texts with related regions, for the bench: generated notes in which most pairs are not related, and baselines."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from model.region import Region, Relation
from model.regions.pair_features import FARTHEST, NEIGHBOURS
from model.regions.relation_head import class_of, relation_of

CONTROL = "label"
"""What marks the regions of all sets."""


@dataclass(frozen=True)
class Related:
    """A text with its regions, in its order, and their relations."""

    text: str
    regions: tuple[Region, ...]
    relations: tuple[Relation, ...]


@dataclass(frozen=True)
class RelatedSet:
    """Texts to learn from, in any order, and to measure on."""

    name: str
    train: Sequence[Related]
    test: Sequence[Related]

    def labels(self) -> tuple[str, ...]:
        """Of regions."""
        return tuple(sorted({region.label for one in (*self.train, *self.test) for region in one.regions}))


PEOPLE = ("Ada Moor", "Bo Lind", "Cleo Brand", "Dan Falk", "Eva Roth", "Finn Bey", "Gus Weld", "Ina Sorg", "Kit Hale")
FIRMS = ("Norton Ltd", "Selby Works", "Aldon Group", "Merrow Bank", "Tarn Foods", "Wick Steel")
TOWNS = ("Upton", "Garth", "Kelso", "Hexham", "Dunbar", "Alnwick", "Morpeth")
FRAMES = (
    ("{P} runs {F}.", ("F<P:leads",)),
    ("{F} is led by {P}.", ("F<P:leads",)),
    ("{P} left {F} years ago.", ()),
    ("{P} of {F} lives in {T}.", ("F<P:works_for", "P>T:lives_in")),
    ("{P} flew to {T} to see {F}.", ()),
    ("{F}, based in {T}, hired {P}.", ("F>T:based_in", "F<P:works_for")),
    ("{F} opened nothing in {T}.", ()),
    ("{P} married {Q} in {T}.", ("P=Q:married",)),
    ("{P} and {Q} met in {T}.", ()),
    ("{P}, born in {T}, both founded and leads {F}.", ("P>T:born_in", "F<P:founded+leads")),
)
"""Sentences, and what is related in them: source, direction, target, and labels."""


def generated(count: int, seed: int) -> list[Related]:
    """Notes of two to four sentences."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        text, regions, relations = "", list[Region](), list[Relation]()
        for frame, ties in draw.sample(FRAMES, draw.randint(2, 4)):
            text, own = _fill(text, frame, draw)
            relations += [_tie(tie, own) for tie in ties]
            regions += own.values()
        found.append(Related(text.strip(), tuple(sorted(regions, key=place)), tuple(relations)))
    return found


def generated_set() -> RelatedSet:
    """Notes to learn from and to measure on."""
    return RelatedSet("notes", generated(400, 1), generated(200, 2))


def place(region: Region) -> tuple[int, int, str, str]:
    """By which regions are in the order of a text."""
    return region.start, region.end, region.control, region.label


def _fill(text: str, frame: str, draw: random.Random) -> tuple[str, dict[str, Region]]:
    pools = {"P": PEOPLE, "Q": PEOPLE, "F": FIRMS, "T": TOWNS}
    labels = {"P": "PERSON", "Q": "PERSON", "F": "FIRM", "T": "TOWN"}
    own: dict[str, Region] = {}
    at = 0
    while (found := frame.find("{", at)) >= 0:
        slot, words = frame[found + 1], draw.choice(pools[frame[found + 1]])
        text += frame[at:found]
        own[slot] = Region(CONTROL, len(text), len(text) + len(words), labels[slot])
        text, at = text + words, found + 3
    return text + frame[at:] + " ", own


def _tie(tie: str, own: dict[str, Region]) -> Relation:
    ends, labels = tie.split(":")
    one, other = own[ends[0]], own[ends[2]]
    source, target = (other, one) if ends[1] == "<" else (one, other)
    return Relation(source, target, tuple(labels.split("+")), ends[1] == "=")


Guess = Callable[[str, Sequence[Region]], list[Relation]]
"""The relations between these regions of a text."""


def pairs_of(regions: Sequence[Region]) -> Iterator[tuple[Region, Region]]:
    """Those that the learner looks at, about: near enough in the text, by characters."""
    ordered = sorted(set(regions), key=place)
    for at, one in enumerate(ordered):
        for other in ordered[at + 1 : at + 1 + NEIGHBOURS]:
            if other.start - one.end <= 6 * FARTHEST:
                yield one, other


def _classes(train: Sequence[Related]) -> dict[tuple[str, str], Counter[str]]:
    """Labels of a pair, in the order of the text -> what was drawn between such, "" for nothing."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for text in train:
        drawn = {frozenset((tie.source, tie.target)): tie for tie in text.relations}
        for one, other in pairs_of(text.regions):
            tie = drawn.get(frozenset((one, other)))
            counts = found.setdefault((one.label, other.label), Counter())
            counts[class_of(tie, one) if tie is not None else ""] += 1
    return found


def _usual(counts: Counter[str], blank: bool) -> str:
    own = counts if blank else Counter({name: count for name, count in counts.items() if name})
    return min(own, key=lambda name: (-own[name], name), default="")


def by_nearest(train: Sequence[Related]) -> Guess:
    """Between labels that were ever related what they were most often, from each first to its nearest second."""
    usual = {labels: _usual(counts, blank=False) for labels, counts in _classes(train).items()}

    def guess(_: str, regions: Sequence[Region]) -> list[Relation]:
        found, taken = [], set[tuple[Region, str]]()
        for one, other in pairs_of(regions):
            name = usual.get((one.label, other.label), "")
            if name and (one, other.label) not in taken:
                taken.add((one, other.label))
                found.append(relation_of(name, one, other))
        return found

    return guess


def by_majority(train: Sequence[Related]) -> Guess:
    """What pairs of these labels were most often, which may be nothing."""
    usual = {labels: _usual(counts, blank=True) for labels, counts in _classes(train).items()}

    def guess(_: str, regions: Sequence[Region]) -> list[Relation]:
        named = ((one, other, usual.get((one.label, other.label), "")) for one, other in pairs_of(regions))
        return [relation_of(name, one, other) for one, other, name in named if name]

    return guess


def by_strings(train: Sequence[Related]) -> Guess:
    """What was drawn most often between the same two strings."""
    known: dict[tuple[str, str], Counter[str]] = {}
    for text in train:
        drawn = {frozenset((tie.source, tie.target)): tie for tie in text.relations}
        for one, other in pairs_of(text.regions):
            tie = drawn.get(frozenset((one, other)))
            counts = known.setdefault((_string(text.text, one), _string(text.text, other)), Counter())
            counts[class_of(tie, one) if tie is not None else ""] += 1

    def guess(text: str, regions: Sequence[Region]) -> list[Relation]:
        found = []
        for one, other in pairs_of(regions):
            counts = known.get((_string(text, one), _string(text, other)))
            if counts and (name := _usual(counts, blank=True)):
                found.append(relation_of(name, one, other))
        return found

    return guess


def _string(text: str, region: Region) -> str:
    return text[region.start : region.end].lower()


BASELINES = {"nearest": by_nearest, "majority": by_majority, "by string": by_strings}
