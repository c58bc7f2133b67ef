"""From stored annotations to training samples: one target per task and control, whoever and however many labelled it.

Pure. Ground truths win; otherwise every annotator counts alike and disagreement becomes a soft target. Labels that the
config does not have (any more) are quarantined: counted and kept in the store, not learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.labelstudio.records import ExampleRecord
from model.spec import Control, Kind, Sample, TaskSpec


@dataclass(frozen=True)
class Consensus:
    """`samples`: control -> its samples, by task id. `quarantined`: control -> label -> annotations that hold it."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    quarantined: dict[str, dict[str, int]] = field(default_factory=dict)

    def counts(self) -> dict[str, dict[str, int]]:
        """Control -> label -> samples whose heaviest label it is (for sets: that hold it)."""
        counted = {}
        for name, samples in self.samples.items():
            labels = Counter(key for sample in samples for key in _main_labels(sample))
            counted[name] = dict(sorted(labels.items()))
        return counted


def reach_consensus(spec: TaskSpec, records: Iterable[ExampleRecord]) -> Consensus:
    """What can be learned from these annotations under this spec."""
    by_task: dict[int, list[ExampleRecord]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    samples: dict[str, list[Sample]] = {control.name: [] for control in spec.controls}
    quarantined: dict[str, Counter[str]] = {control.name: Counter() for control in spec.controls}
    for task in sorted(by_task):
        for control in spec.controls:
            sample = _sample(control, task, by_task[task], quarantined[control.name])
            if sample is not None:
                samples[control.name].append(sample)
    return Consensus(samples, {name: dict(found) for name, found in quarantined.items() if found})


def _sample(control: Control, task: int, records: Sequence[ExampleRecord], quarantined: Counter[str]) -> Sample | None:
    readable = [r for r in records if control.name in r.targets and all(name in r.texts for name in control.inputs)]
    answers = []
    for record in readable:
        keys = label_keys(record.targets[control.name])
        known = [key for key in keys if control.options_field is not None or key in set(control.keys())]
        quarantined.update(key for key in keys if key not in known)
        if known:
            answers.append((record, known))
    sure = [answer for answer in answers if answer[0].ground_truth]
    counted = sure or answers
    if not counted:
        return None
    newest = max(counted, key=lambda answer: answer[0].version)[0]
    return Sample(
        task=task,
        text=control.text_of(newest.texts),
        target=_target(control.kind, [keys for _, keys in counted]),
        ground_truth=bool(sure),
        annotations=tuple(record.annotation for record, _ in counted),
    )


def label_keys(target: Any) -> list[str]:
    """The label keys of a stored target: paths joined, stars as digits."""
    if isinstance(target, int):
        return [str(target)]
    return ["/".join(path) for path in target]


def _target(kind: Kind, answers: Sequence[Sequence[str]]) -> Mapping[str, float]:
    """For sets the share of annotators who chose each label; else a distribution."""
    shares: Counter[str] = Counter()
    for keys in answers:
        for key in keys:
            shares[key] += 1 / len(answers) if kind is Kind.MULTIPLE else 1 / len(answers) / len(keys)  # type: ignore[assignment]
    return dict(sorted(shares.items()))


def _main_labels(sample: Sample) -> list[str]:
    if max(sample.target.values(), default=0) <= 0:
        return []
    total = sum(sample.target.values())
    return [sample.top] if total <= 1 + 1e-9 else [key for key, share in sample.target.items() if share >= 0.5]
