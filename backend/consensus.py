"""From stored annotations to training samples: one target per task and control, whoever and however many labelled it.

Pure. Ground truths win. Otherwise everybody counts by the reliability that shared tasks show (`backend/overlap.py`), or
alike where these are too few; disagreement becomes a soft target. Labels that the config does not have (any more) are
quarantined: counted and kept in the store, not learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from backend.labelstudio.records import ExampleRecord
from backend.overlap import Weighing, measure_disagreement, weigh_answers
from backend.votes import Answer
from model.label_key import key_of
from model.spec import Control, Kind, Sample, TaskSpec
from model.visibility import is_conditional, visible_controls

MOST_DISPUTED = 20
"""Tasks named in a summary."""


@dataclass(frozen=True)
class Consensus:
    """`samples`: control -> its samples, by task id. `quarantined`: control -> label -> annotations that hold it.

    `disagreement`: control -> task -> score in [0, 1], tasks with several people's answers only. `answers`: control ->
    annotator -> tasks answered. `reliability`: control -> annotator -> share of right answers expected; without enough
    overlap a control is missing."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    quarantined: dict[str, dict[str, int]] = field(default_factory=dict)
    disagreement: dict[str, dict[int, float]] = field(default_factory=dict)
    answers: dict[str, dict[int, int]] = field(default_factory=dict)
    reliability: dict[str, dict[int, float]] = field(default_factory=dict)

    def counts(self) -> dict[str, dict[str, int]]:
        """Control -> label -> samples whose heaviest label it is (for sets: that hold it)."""
        counted = {}
        for name, samples in self.samples.items():
            labels = Counter(key for sample in samples for key in _main_labels(sample))
            counted[name] = dict(sorted(labels.items()))
        return counted

    def describe_annotators(self) -> dict[str, Any]:
        """JSON for the admin: `annotators` and the most disputed `disagreements` of the controls with overlap."""
        overlapping = [name for name, scores in self.disagreement.items() if scores]
        return {
            "annotators": {
                name: {
                    str(person): {"reliability": self.reliability.get(name, {}).get(person), "labels": count}
                    for person, count in self.answers[name].items()
                }
                for name in overlapping
            },
            "disagreements": {name: _most_disputed(self.disagreement[name]) for name in overlapping},
        }


def reach_consensus(spec: TaskSpec, records: Iterable[ExampleRecord]) -> Consensus:
    """What can be learned from these annotations under this spec."""
    by_task: dict[int, list[ExampleRecord]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(_as_asked(spec, record))
    reached = Consensus()
    for control in spec.controls:
        _reach(reached, control, by_task)
    return reached


def _as_asked(spec: TaskSpec, record: ExampleRecord) -> ExampleRecord:
    """Without answers to questions that the page hides beside the others: conditions may be newer than annotations."""
    if not is_conditional(spec):
        return record
    paths = {
        name: [(str(target),)] if isinstance(target, int) else [tuple(path) for path in target]
        for name, target in record.targets.items()
    }
    shown = visible_controls(spec, paths, doubtful=True)
    return replace(record, targets={name: target for name, target in record.targets.items() if name in shown})


def _reach(reached: Consensus, control: Control, by_task: Mapping[int, Sequence[ExampleRecord]]) -> None:
    quarantined: Counter[str] = Counter()
    known = None if control.options_field is not None else frozenset(control.keys())
    found = {task: _answers(control, by_task[task], known, quarantined) for task in sorted(by_task)}
    answers = {task: mine for task, mine in found.items() if mine}
    weighing = weigh_answers(control, answers)
    name = control.name
    reached.samples[name] = [_sample(control, task, mine, weighing) for task, mine in answers.items()]
    reached.disagreement[name] = {
        task: measure_disagreement(control, mine) for task, mine in answers.items() if len(mine) > 1
    }
    people = Counter(a.annotator for mine in answers.values() for a in mine if a.annotator is not None)
    reached.answers[name] = dict(sorted(people.items()))
    if weighing.reliability:
        reached.reliability[name] = dict(weighing.reliability)
    if quarantined:
        reached.quarantined[name] = dict(quarantined)


def _answers(
    control: Control, records: Sequence[ExampleRecord], known: frozenset[str] | None, quarantined: Counter[str]
) -> list[Answer]:
    """One answer a person: a ground truth if there is one, else the newest. Unnamed annotators each count as one."""
    people: dict[tuple[str, int], Answer] = {}
    for record in records:
        if control.name not in record.targets or not all(name in record.texts for name in control.inputs):
            continue
        keys = label_keys(record.targets[control.name])
        usable = tuple(dict.fromkeys(key for key in keys if known is None or key in known))
        quarantined.update(key for key in keys if key not in usable)
        if not usable:
            continue
        person = ("annotation", record.annotation) if record.annotator is None else ("person", record.annotator)
        answer = Answer(record, usable)
        if person not in people or _rank(answer) > _rank(people[person]):
            people[person] = answer
    return sorted(people.values(), key=lambda answer: answer.record.annotation)


def _rank(answer: Answer) -> tuple[bool, str, int]:
    return answer.record.ground_truth, answer.record.version, answer.record.annotation


def _sample(control: Control, task: int, answers: Sequence[Answer], weighing: Weighing) -> Sample:
    sure = [answer for answer in answers if answer.record.ground_truth]
    counted = sure or answers
    newest = max(counted, key=lambda answer: answer.record.version).record if len(counted) > 1 else counted[0].record
    target = None if sure else weighing.targets.get(task)
    return Sample(
        task=task,
        text=control.text_of(newest.texts),
        target=target or _shares(control.kind, [answer.keys for answer in counted]),
        weight=1.0 if sure else weighing.weights.get(task, 1.0),
        ground_truth=bool(sure),
        annotations=tuple(answer.record.annotation for answer in counted),
    )


def label_keys(target: Any) -> list[str]:
    """The label keys of a stored target: paths joined, stars as digits."""
    if isinstance(target, int):
        return [str(target)]
    return [key_of(path) for path in target]


def _shares(kind: Kind, answers: Sequence[Sequence[str]]) -> Mapping[str, float]:
    """For sets the share of annotators who chose each label; else a distribution."""
    shares: dict[str, float] = {}
    for keys in answers:
        for key in keys:
            share = 1 / len(answers) if kind is Kind.MULTIPLE else 1 / len(answers) / len(keys)
            shares[key] = shares.get(key, 0.0) + share
    return dict(sorted(shares.items()))


def _most_disputed(scores: Mapping[int, float]) -> list[dict[str, Any]]:
    disputed = sorted((task for task, score in scores.items() if score > 0), key=lambda task: (-scores[task], task))
    return [{"task": task, "score": scores[task]} for task in disputed[:MOST_DISPUTED]]


def _main_labels(sample: Sample) -> list[str]:
    if max(sample.target.values(), default=0) <= 0:
        return []
    total = sum(sample.target.values())
    return [sample.top] if total <= 1 + 1e-9 else [key for key, share in sample.target.items() if share >= 0.5]
