"""Which labels overlap which in what annotators drew, and how labels are dealt out to layers so that none overlap.

A chain over words gives each word one tag, so that spans of one chain never overlap, and it is the better the more of
the labels it knows. So one chain learns all of them, and of spans that overlap the outer ones; what it leaves out is
learned by further chains, of as many labels each as do not overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from model.span import Span

INSIDE, SAME, CROSSES = "inside", "same", "crosses"
"""How two spans overlap: the first lies within the second, both are of the same characters, or each has some of its
own."""

FEWEST, SHARE = 2, 0.02
"""Texts in which labels must overlap in one way until that is no slip: two, and a fiftieth of the texts that have the
rarer label."""

MOST_PAIRS = 4_000
"""Overlapping pairs of one text that are looked at."""

MOST_LAYERS = 8
"""Of inner spans. With more, labels that overlap share one, and the longest span of them is learned."""


class Relation(NamedTuple):
    """A way in which spans of two labels overlap. Of SAME and CROSSES the labels are sorted."""

    kind: str
    first: str
    second: str


class Layer(NamedTuple):
    """What one chain learns: spans of these labels, the longest where some overlap. Where a span of `yielding` labels
    overlaps one of others it is left out. `depth` 1: the longest of what that leaves."""

    labels: tuple[str, ...]
    yielding: tuple[str, ...] = ()
    depth: int = 0


def relate(one: Span, other: Span) -> Relation | None:
    """How two spans overlap; None where they do not."""
    if not one.overlaps(other):
        return None
    if (one.start, one.end) == (other.start, other.end):
        return Relation(SAME, *sorted((one.label, other.label)))
    if other.start <= one.start and one.end <= other.end:
        return Relation(INSIDE, one.label, other.label)
    if one.start <= other.start and other.end <= one.end:
        return Relation(INSIDE, other.label, one.label)
    return Relation(CROSSES, *sorted((one.label, other.label)))


def relations(spans: Iterable[Span]) -> set[Relation]:
    """All ways in which spans of a text overlap."""
    found, looked, ordered = set[Relation](), 0, sorted(set(spans))
    for place, one in enumerate(ordered):
        for other in ordered[place + 1 :]:
            if other.start >= one.end or looked >= MOST_PAIRS:
                break
            looked += 1
            found |= {own for own in (relate(one, other),) if own is not None}
    return found


def find_overlaps(texts: Sequence[Collection[Span]]) -> frozenset[Relation]:
    """The ways in which labels overlap in these texts, slips left out."""
    counts: Counter[Relation] = Counter()
    for spans in texts:
        counts.update(relations(spans))
    if not counts:
        return frozenset()
    often = Counter(label for spans in texts for label in {span.label for span in spans})
    return frozenset(
        own for own, count in counts.items() if count >= max(FEWEST, SHARE * min(often[own.first], often[own.second]))
    )


def plan_layers(labels: Sequence[str], overlaps: Collection[Relation]) -> tuple[Layer, ...]:
    """First all labels together, the outer spans where some overlap; then, in as few layers as can be, all spans of the
    labels that the first leaves out somewhere; then what labels that overlap themselves have within. One layer where
    nothing overlaps."""
    others = [own for own in overlaps if own.first != own.second and {own.first, own.second} <= set(labels)]
    yielding = _yielding(others)
    itself = {own.first for own in overlaps if own.first == own.second}
    left = [label for label in labels if label in yielding]
    inner = [Layer(group) for group in _group(left, others)]
    deeper = [Layer(group, depth=1) for group in _group([own for own in labels if own in itself], others)]
    return (Layer(tuple(labels), tuple(left)), *inner, *deeper)


def _yielding(others: Sequence[Relation]) -> set[str]:
    """The labels whose spans lie within others; of two that are drawn on the same characters or that cross one, that
    which overlaps more labels."""
    found = {own.first for own in others if own.kind == INSIDE}
    degree = Counter(label for own in others for label in (own.first, own.second))
    for _, first, second in sorted(own for own in others if own.kind != INSIDE):
        if found.isdisjoint((first, second)):
            found.add(first if degree[first] > degree[second] else second)
    return found


def _group(labels: Sequence[str], others: Sequence[Relation]) -> list[tuple[str, ...]]:
    """Labels that do not overlap together, in few groups."""
    apart: dict[str, set[str]] = {label: set() for label in labels}
    for _, first, second in others:
        if first in apart and second in apart:
            apart[first].add(second)
            apart[second].add(first)
    order = sorted(labels, key=lambda label: -len(apart[label]))
    groups = _deal_out(order, apart)
    return [tuple(label for label in labels if label in group) for group in groups]


def _deal_out(order: Sequence[str], apart: Mapping[str, Collection[str]]) -> list[set[str]]:
    """Each label to the first group that has none which it overlaps (greedy colouring)."""
    groups: list[set[str]] = []
    for label in order:
        free = [group for group in groups if group.isdisjoint(apart[label])]
        if not free and len(groups) >= MOST_LAYERS:
            free = [min(groups, key=lambda group: len(group & set(apart[label])))]
        if not free:
            free = [set()]
            groups += free
        free[0].add(label)
    return groups
