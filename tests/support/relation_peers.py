"""Relations in the bench of accuracy: the learner's head, and what plainer rules would draw, between the regions that
are right and between those that are suggested."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from statistics import median

from model.region import Region, Relation
from model.regions.relation_fit import RelationExample, fit_relation_head
from model.regions.relation_head import RelationHead
from model.span import Span
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import ReadText, SpanReader
from model.spans.head.fit import Basis, SpanExample
from model.spans.head.fit_layers import fit_layered_head
from tests.support.relation_sets import BASELINES, CONTROL, Related, RelatedSet

Row = dict[str, float | str]

Drawn = list[list[Relation]]
"""What is drawn in each text."""


def rows_of(data: RelatedSet, reader: SpanReader, counts: Sequence[int], seeds: int) -> Iterator[Row]:
    """A row per number of texts, kind of regions and method: medians over the seeds."""
    for count in counts:
        runs = [_measured(data, reader, count, seed) for seed in range(seeds)]
        for case in runs[0]:
            own = [run[case] for run in runs]
            middle = {name: round(median(one[name] for one in own), 3) for name in own[0]}
            yield {"set": data.name, "texts": count, "regions": case[0], "by": case[1], **middle}


def _measured(data: RelatedSet, reader: SpanReader, count: int, seed: int) -> dict[tuple[str, str], dict[str, float]]:
    train = random.Random(seed).sample(list(data.train), min(count, len(data.train)))
    read, asked = reader.read([one.text for one in train]), reader.read([one.text for one in data.test])
    began = time.process_time()
    head = _fit(train, read, reader)
    spent = time.process_time() - began
    kinds = {
        "drawn": [dict.fromkeys(one.regions, 1.0) for one in data.test],
        "suggested": _suggest(data, train, read, asked, reader),
    }
    found = {}
    for kind, regions in kinds.items():
        for name, draw in _methods(head, train).items():
            drawn = [draw(text, own) for text, own in zip(asked, regions, strict=True)]
            own_time = {"cpu_s": spent if name == "shown" else 0.0}
            found[kind, name] = {**compare(drawn, [one.relations for one in data.test]), **own_time}
    return found


def _fit(train: Sequence[Related], read: Sequence[ReadText], reader: SpanReader) -> RelationHead:
    examples = [
        RelationExample(text, one.regions, dict.fromkeys(one.relations, 1.0))
        for text, one in zip(read, train, strict=True)
    ]
    return fit_relation_head(examples, StateScale.measure(read, reader.width))


def _methods(
    head: RelationHead, train: Sequence[Related]
) -> dict[str, Callable[[ReadText, Mapping[Region, float]], list[Relation]]]:
    """`shown`: what annotators see; `likeliest`: whatever is likelier than none, however unsure."""
    likeliest = replace(head, threshold=0.0)
    found = {
        "shown": lambda text, own: [one.relation for one in head.relations(text, list(own), own)],
        "likeliest": lambda text, own: [one.relation for one in likeliest.relations(text, list(own))],
    }
    for name, make in BASELINES.items():
        found[name] = (lambda guess: lambda text, own: guess(text.text, list(own)))(make(train))
    return found


def _suggest(
    data: RelatedSet, train: Sequence[Related], read: Sequence[ReadText], asked: Sequence[ReadText], reader: SpanReader
) -> list[dict[Region, float]]:
    """Regions as the learner suggests them, of the same texts, with their scores."""
    labels = data.labels()
    scale = StateScale.measure(read[:64], reader.width)
    basis = Basis(labels, reader.name_vectors(labels), scale, reader.prior)
    examples = [
        SpanExample(text, tuple(Span(own.start, own.end, own.label) for own in one.regions))
        for text, one in zip(read, train, strict=True)
    ]
    shown = fit_layered_head(basis, examples).spans(asked)
    return [{Region(CONTROL, one.start, one.end, one.label): one.score for one in own.spans} for own in shown]


def compare(drawn: Drawn, truths: Sequence[Sequence[Relation]]) -> dict[str, float]:
    """`f1`: both ends, direction and all labels; `directed`: whatever the labels; `pairs`: whatever the direction, too.
    `saved`: the right ones less the wrong ones, by all that there are to draw."""
    said, wanted = [set(own) for own in drawn], [set(own) for own in truths]
    hits, count, whole = _hits(said, wanted), sum(map(len, said)), sum(map(len, wanted))
    return {
        "f1": _f1(said, wanted),
        "directed": _f1([_directed(own) for own in said], [_directed(own) for own in wanted]),
        "pairs": _f1([_pairs(own) for own in said], [_pairs(own) for own in wanted]),
        "precision": hits / max(1, count),
        "recall": hits / max(1, whole),
        "saved": (2 * hits - count) / max(1, whole),
    }


def _directed(own: set[Relation]) -> set[Relation]:
    return {replace(one, labels=()) for one in own}


def _pairs(own: set[Relation]) -> set[frozenset[Region]]:
    return {frozenset((one.source, one.target)) for one in own}


def _hits(said: Sequence[AbstractSet[object]], wanted: Sequence[AbstractSet[object]]) -> int:
    return sum(len(own & truth) for own, truth in zip(said, wanted, strict=True))


def _f1(said: Sequence[AbstractSet[object]], wanted: Sequence[AbstractSet[object]]) -> float:
    count = sum(map(len, said)) + sum(map(len, wanted))
    return 2 * _hits(said, wanted) / max(1, count)
