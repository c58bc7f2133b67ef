"""From stored annotations to what is true of each marked region: whoever and however many answered.

Pure. Where a task has ground truths, these alone count. Each region that anybody marked is a sample: its target is the
shares of those who marked it, and its weight the share of them among all who marked the text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.regions.rows import Answered, region_of
from model.labels import key_of
from model.region import Region, RegionSample
from model.spec import NONE, Control, Kind

SLIP_SHARE = 0.01
"""Share of a taxonomy's answers that may hold several paths by mistake."""


@dataclass(frozen=True)
class RegionConsensus:
    """`several`: whether answers are sets; `samples` by task and place; `quarantined`: label -> answers that hold it
    and are not learned."""

    several: bool = False
    samples: list[RegionSample] = field(default_factory=list)
    quarantined: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Found:
    """A text as `people` have marked it: region -> answers of those who marked it."""

    task: int
    text: str
    people: int
    regions: Mapping[Region, Sequence[tuple[str, ...]]]


class RegionTally:
    """Whether a question about regions is answered with sets, over any number of portions of whole tasks; a slip in
    hundreds of single answers is none."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._answers = self._sets = 0

    def add(self, by_task: Mapping[int, Sequence[ExampleRecord]]) -> None:
        """A portion."""
        self.add_found(_find_regions(self._control, by_task, Counter()))

    def add_found(self, found: Iterable[_Found]) -> None:
        """The same of answers that are found already."""
        sizes = [len(keys) for one in found for given in one.regions.values() for keys in given]
        self._answers += len(sizes)
        self._sets += sum(size > 1 for size in sizes)

    def takes_several(self) -> bool:
        """Of a taxonomy alone."""
        return self._control.kind is Kind.TAXONOMY and self._sets >= max(1.0, SLIP_SHARE * self._answers)


def reach_region_consensus(
    control: Control, by_task: Mapping[int, Sequence[ExampleRecord]], several: bool | None = None
) -> RegionConsensus:
    """What these annotations say of one question about regions. `several`: whether it is answered with sets, where that
    is known of more annotations than these."""
    quarantined: Counter[str] = Counter()
    found = _find_regions(control, by_task, quarantined)
    if several is None:
        tally = RegionTally(control)
        tally.add_found(found)
        several = tally.takes_several()
    sets = several or control.kind is Kind.MULTIPLE
    samples = [
        RegionSample(one.task, one.text, region, _target(sets, given), len(given) / one.people)
        for one in found
        for region, given in sorted(one.regions.items(), key=lambda item: item[0])
        if region.end <= len(one.text)
    ]
    return RegionConsensus(several, samples, dict(quarantined))


def _find_regions(
    control: Control, by_task: Mapping[int, Sequence[ExampleRecord]], quarantined: Counter[str]
) -> list[_Found]:
    """By task."""
    known = None if control.tag == "TextArea" else frozenset(control.keys())
    found: list[_Found] = []
    for task in sorted(by_task):
        records = _counted(control, by_task[task])
        if not records:
            continue
        text = max(records, key=lambda one: one.version).texts[control.inputs[0]]
        same = [record for record in records if record.texts[control.inputs[0]] == text]
        regions: dict[Region, list[tuple[str, ...]]] = defaultdict(list)
        for record in same:
            for row in record.answers[control.name]:
                keys = _keys(row[4])
                usable = tuple(key for key in keys if known is None or key in known)
                quarantined.update(key for key in keys if key not in usable)
                if usable or not keys:  # labels that the config has not say nothing
                    regions[region_of(row)].append(usable)
        found.append(_Found(task, text, len(same), dict(regions)))
    return found


def _counted(control: Control, records: Sequence[ExampleRecord]) -> list[ExampleRecord]:
    """One a person, the newest; ground truths alone where there are some."""
    people: dict[tuple[str, int], ExampleRecord] = {}
    for record in sorted(records, key=lambda one: (one.ground_truth, one.version, one.annotation)):
        if control.name in record.answers and control.inputs[0] in record.texts:
            person = ("annotation", record.annotation) if record.annotator is None else ("person", record.annotator)
            people[person] = record
    sure = [record for record in people.values() if record.ground_truth]
    return sure or list(people.values())


def _keys(answer: Answered) -> list[str]:
    return [str(answer)] if isinstance(answer, int) else list(dict.fromkeys(key_of(path) for path in answer))


def _target(sets: bool, given: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """For sets the share of people who chose each label; else a distribution, NONE for who left it blank."""
    shares: dict[str, float] = {}
    for keys in given:
        for key in keys or (() if sets else (NONE,)):
            shares[key] = shares.get(key, 0.0) + (1 if sets else 1 / max(1, len(keys))) / len(given)
    return dict(sorted(shares.items()))
