"""Test-then-train of what is said about regions: asked of those that people marked, so that a span that was not found
costs no answer about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from backend.labelstudio.span_answers import RELATIONS
from backend.rules.consensus import Consensus
from model.evidence.row import About
from model.region import RegionSample, Relation, RelationSample
from model.spec import NONE

if TYPE_CHECKING:
    from model.regions.region_head import RegionHead
    from model.regions.relation_head import RelationHead
    from model.versions.live_model import LiveModel
    from model.versions.span_answers import SpanTools

UNLABELLED = "-"
"""What a relation without a label counts as."""

Counts = tuple[int, int, int]


class RegionTests:
    """What a version would have said about the regions of one control, and between them, in texts it has not seen."""

    def __init__(self, champion: LiveModel, consensus: Consensus, control: str) -> None:
        self._model, self._heads = champion, champion.region_heads
        self._free = {one.name for one in champion.spec.regions if not one.labels}
        self._asked: dict[int, dict[str, list[RegionSample]]] = {}
        for name, samples in consensus.regions.items():
            for sample in samples:
                if sample.region.control == control:
                    self._asked.setdefault(sample.task, {}).setdefault(name, []).append(sample)
        self._related: dict[int, list[RelationSample]] = {}
        for one in consensus.relations:
            # Of several controls the first that has a region answers for the text: each relation is counted once.
            if min(one.regions).control == control:
                self._related.setdefault(one.task, []).append(one)

    def of(self, task: int) -> dict[str, About]:
        """By question, and RELATIONS; nothing of what the version has not learned yet."""
        found = {}
        for name, samples in self._asked.get(task, {}).items():
            head = self._heads.questions.get(name)
            if head is not None and head.weights is not None:
                found[name] = self._answers(name, head, samples)
        ties, related = self._heads.relations, self._related.get(task)
        if ties is not None and ties.weights is not None and related:
            found[RELATIONS] = self._relations(ties, related)
        return found

    def _answers(self, name: str, head: RegionHead, samples: Sequence[RegionSample]) -> About:
        from model.regions.region_features import RegionPlace
        from model.regions.region_head import choose

        read = self._tools.reader.read([sample.text for sample in samples])
        places = [RegionPlace(text, sample.region) for text, sample in zip(read, samples, strict=True)]
        said = [set(keys) for keys, _ in choose(head.probabilities(places), head.labels, head.several)]
        truths = [_truth(sample, head.several) for sample in samples]
        shown = [
            set(answer.chosen) == truth
            for answer, truth in zip(head.answers(places), truths, strict=True)
            if answer is not None
        ]
        right = sum(own == truth for own, truth in zip(said, truths, strict=True))
        labels = {} if name in self._free else _tally(zip(truths, said, strict=True))
        return About(len(samples), right, len(shown), sum(shown), labels)

    def _relations(self, head: RelationHead, samples: Sequence[RelationSample]) -> About:
        pairs = []
        read = self._tools.reader.read([sample.text for sample in samples])
        for text, sample in zip(read, samples, strict=True):
            shown = {one.relation for one in head.relations(text, sample.regions)}
            drawn = {_plain(one) for one, share in sample.relations.items() if share >= 0.5}
            pairs.append((drawn, {_plain(one) for one in shown}))
        hits = sum(len(drawn & shown) for drawn, shown in pairs)
        wanted, found = sum(len(drawn) for drawn, _ in pairs), sum(len(shown) for _, shown in pairs)
        labels: Counter[tuple[str, int]] = Counter()
        for drawn, shown in pairs:
            for at, own in enumerate((drawn, shown, drawn & shown)):
                labels.update((label, at) for one in own for label in one.labels or (UNLABELLED,))
        return About(wanted, hits, found, hits, _by_label(labels))

    @property
    def _tools(self) -> SpanTools:
        tools = self._model.tools
        assert tools is not None, "a version with heads for regions has what reads them"
        return tools


def _truth(sample: RegionSample, several: bool) -> set[str]:
    if several:
        return {key for key, share in sample.target.items() if share >= 0.5}
    return {max(sorted(sample.target), key=lambda key: sample.target[key], default=NONE)} - {NONE}


def _plain(one: Relation) -> Relation:
    """The same whichever order its labels have."""
    return Relation(one.source, one.target, tuple(sorted(one.labels)), one.both_ways)


def _tally(rows: Iterable[tuple[set[str], set[str]]]) -> Mapping[str, Counts]:
    """Label -> how often it is true, was said, and both."""
    labels: Counter[tuple[str, int]] = Counter()
    for truth, said in rows:
        for at, own in enumerate((truth, said, truth & said)):
            labels.update((label, at) for label in own)
    return _by_label(labels)


def _by_label(counts: Counter[tuple[str, int]]) -> Mapping[str, Counts]:
    names = sorted({label for label, _ in counts})
    return {name: (counts[name, 0], counts[name, 1], counts[name, 2]) for name in names}
