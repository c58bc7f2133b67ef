"""What annotators agree on, task by task."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from backend.rules.consensus import Consensus
from model.region import RegionSample, RelationSample
from model.span import SpanSample
from model.spec import Sample


@dataclass
class Agreed:
    """A task's part of a consensus: by control, and its relations."""

    samples: dict[str, Sample] = field(default_factory=dict)
    spans: dict[str, list[SpanSample]] = field(default_factory=dict)
    regions: dict[str, list[RegionSample]] = field(default_factory=dict)
    relations: list[RelationSample] = field(default_factory=list)


def by_task(consensus: Consensus) -> dict[int, Agreed]:
    """Task -> its part."""
    found: dict[int, Agreed] = defaultdict(Agreed)
    for name, samples in consensus.samples.items():
        for sample in samples:
            found[sample.task].samples[name] = replace(sample, text=())  # rows have the task's own
    for name, marked in consensus.spans.items():
        for one in marked:
            found[one.task].spans.setdefault(name, []).append(one)
    for name, asked in consensus.regions.items():
        for region in asked:
            found[region.task].regions.setdefault(name, []).append(region)
    for relation in consensus.relations:
        found[relation.task].relations.append(relation)
    return dict(found)
