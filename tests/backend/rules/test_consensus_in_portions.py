"""A consensus reached portion by portion is the one that is reached of everything at once, whatever is asked."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest

from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.task_spec import parse_label_config
from backend.rules.consensus import Consensus, Known, Tally, reach_consensus

CHOICES = "".join(f'<Choice value="{one}"/>' for one in "ABCD")
CONFIG = f"""<View><Text name="text" value="$text"/>
<Choices name="one" toName="text">{CHOICES}</Choices>
<Choices name="set" toName="text" choice="multiple">{CHOICES}</Choices>
<Taxonomy name="tree" toName="text">{CHOICES}</Taxonomy>
<Rating name="stars" toName="text"/>
<Labels name="label" toName="text"><Label value="PER"/><Label value="LOC"/></Labels>
<Taxonomy name="kind" toName="text" perRegion="true">{CHOICES}</Taxonomy></View>"""
SPEC = parse_label_config(CONFIG)
TEXT = "Ada met Bob in Rome and Cid in Oslo."
PLACES = ((0, 3, "PER"), (8, 11, "PER"), (15, 19, "LOC"), (24, 27, "PER"), (31, 35, "LOC"))


class Person:
    """Answers right with this chance."""

    def __init__(self, chance: random.Random, right: float, trees: int) -> None:
        self.chance, self.right, self.trees = chance, right, trees

    def path(self, truth: str) -> list[str]:
        return [truth if self.chance.random() < self.right else self.chance.choice("ABCD")]

    def targets(self, truth: str) -> dict[str, Any]:
        own = {"one": [self.path(truth)], "set": [self.path(truth), self.path("A")], "stars": self.chance.randint(1, 5)}
        own["tree"] = [self.path(truth) for _ in range(self.chance.randint(1, self.trees))]
        for name in ("one", "set", "tree"):
            if self.chance.random() < 0.05:
                own[name] = []
        return {name: target for name, target in own.items() if self.chance.random() < 0.9}

    def marks(self, truth: str) -> list[tuple[int, int, str]]:
        return [row for row in PLACES[: 2 + ord(truth) % 3] if self.chance.random() < self.right]


def project(seed: int, tasks: int) -> list[ExampleRecord]:
    """By task; some of one person, some of several, some of the unnamed, some ground truths."""
    chance = random.Random(seed)
    people = [Person(chance, right, 1 + seed % 3) for right in (0.95, 0.9, 0.7, 0.6, 0.3)]
    records: list[ExampleRecord] = []
    for task in range(1, tasks + 1):
        truth = chance.choice("ABCD")
        for place in chance.sample(range(len(people)), chance.choice((1, 1, 2, 3))):
            person, number = people[place], len(records) + 1
            marks = person.marks(truth)
            record = ExampleRecord(
                number,
                task,
                {"text": f"{TEXT} {task}", "text.page": f"{TEXT} {task}"},
                person.targets(truth),
                f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z",
                None if chance.random() < 0.02 else place + 1,
                chance.random() < 0.03,
                {"label": marks},
                answers={"kind": [("label", *row, [person.path(truth), *([["B"]] * (seed % 2))]) for row in marks]},
            )
            records.append(record)
    return records


def portions(records: Sequence[ExampleRecord], size: int) -> Iterator[list[ExampleRecord]]:
    tasks = [list(own) for _, own in groupby(records, key=lambda record: record.task)]
    for start in range(0, len(tasks), size):
        yield [record for own in tasks[start : start + size] for record in own]


def tallied(records: Sequence[ExampleRecord], size: int) -> Known:
    tally = Tally(SPEC)
    for portion in portions(records, size):
        tally.add(portion)
    return tally.finish()


def samples(found: Consensus) -> dict[str, list[Any]]:
    whole = {**found.samples, **found.spans, **found.regions}
    return {name: [replace(one, **rounded(one)) for one in own] for name, own in whole.items()}


def rounded(sample: Any) -> dict[str, Any]:
    changed = {"weight": round(sample.weight, 9)}
    if isinstance(target := getattr(sample, "target", None), dict):
        changed["target"] = {label: round(share, 9) for label, share in target.items()}
    return changed


@pytest.mark.parametrize(("seed", "tasks", "size"), [(0, 30, 1), (1, 150, 7), (2, 150, 40), (3, 200, 1000)])
def test_portions_change_nothing(seed: int, tasks: int, size: int) -> None:
    records = project(seed, tasks)
    whole, known = reach_consensus(SPEC, records), tallied(records, size)
    assert known.spec == whole.spec
    assert whole.spec.control("tree").several == (seed % 3 > 0) and whole.spec.control("kind").several == seed % 2
    joined: dict[str, list[Any]] = {}
    for portion in portions(records, size):
        for name, own in samples(reach_consensus(SPEC, portion, known)).items():
            joined.setdefault(name, []).extend(own)
    assert joined == samples(whole)
    if tasks > 100:
        assert set(whole.reliability) == {"one", "set", "tree", "label"}
        assert len({one.weight for one in whole.samples["one"]}) > 3
    reliability = {name: dict(own.reliability) for name, own in known.weighing.items() if own.reliability}
    assert {**reliability, **{name: own for name, own in known.reliability.items() if own}} == whole.reliability


def test_who_or_what_came_later_counts_like_everybody_else() -> None:
    records = project(1, 150)
    known = tallied(records, 50)
    late = [replace(record, task=999, annotator=40 + place) for place, record in enumerate(records[:2])]
    late = [replace(record, targets={"one": [[label]]}) for record, label in zip(late, "AB", strict=True)]
    (sample,) = reach_consensus(SPEC, late, known).samples["one"]
    assert sample.target == {"A": 0.5, "B": 0.5}


def test_memory_grows_with_what_is_said_and_not_with_how_often() -> None:
    """The log of votes has an entry for each combination of answers."""
    tally = Tally(SPEC)
    records = project(1, 100)
    sizes = []
    for turn in range(3):
        tally.add([replace(record, task=record.task + 1000 * turn) for record in records])
        sizes.append([len(own._log._times) for _, own in tally._controls if own._log is not None])
    assert sizes[0] == sizes[2] and len(sizes[0]) == 3
