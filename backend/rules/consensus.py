"""From stored annotations to training samples: one target per task and control, whoever and however many labelled it.

Pure. Ground truths win. Otherwise everybody counts by the reliability that shared tasks show
(`backend/rules/annotator_agreement.py`), or alike where these are too few; disagreement becomes a soft target.
Answered with nothing is an answer like any other. Labels that the config does not have (any more) are quarantined:
counted and kept in the store, not learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from backend.labelstudio.records import ExampleRecord
from backend.record_json import Disputed, Overlap, Summary
from backend.rules.annotator_agreement import (
    Answer,
    AnswerTally,
    Weighing,
    measure_disagreement,
    overlap_of,
)
from backend.rules.region_consensus import RegionTally, reach_region_consensus
from backend.rules.relation_consensus import reach_relation_consensus
from backend.rules.span_consensus import SpanTally, reach_span_consensus
from model.labels import key_of
from model.region import RegionSample, RelationSample
from model.span import SpanSample
from model.spec import NONE, Control, Kind, Sample, TaskSpec
from model.visibility import is_conditional, visible_controls

MOST_DISPUTED = 20
"""Tasks named in a summary."""


@dataclass(frozen=True)
class Consensus:
    """`spec`: the spec that the samples are of; it says which taxonomies are answered with sets, as people do.
    `samples`: control -> its samples, by task id. `quarantined`: control -> label -> annotations that hold it.

    `disagreement`: control -> task -> score in [0, 1], tasks with several people's answers only. `answers`: control ->
    annotator -> tasks answered. `reliability`: control -> annotator -> share of right answers expected; without enough
    overlap a control is missing."""

    spec: TaskSpec = field(default_factory=lambda: TaskSpec((), ()))
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    quarantined: dict[str, dict[str, int]] = field(default_factory=dict)
    disagreement: dict[str, dict[int, float]] = field(default_factory=dict)
    answers: dict[str, dict[int, int]] = field(default_factory=dict)
    reliability: dict[str, dict[int, float]] = field(default_factory=dict)
    spans: dict[str, list[SpanSample]] = field(default_factory=dict)
    """Control that marks text -> its samples, by task id."""
    agreement: dict[str, dict[str, float]] = field(default_factory=dict)
    """Control that marks text -> label -> F1 between people, where tasks are shared."""
    overlap: dict[str, Overlap] = field(default_factory=dict)
    """Control -> how far its people agree, where tasks are shared."""
    regions: dict[str, list[RegionSample]] = field(default_factory=dict)
    """Question about regions -> its samples, by task."""
    relations: list[RelationSample] = field(default_factory=list)
    """Of each text with two regions or more, by task."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Control -> label -> samples whose heaviest label it is (for sets: that hold it); NONE for none of these."""
        counted = {}
        for name, samples in self.samples.items():
            multilabel = self.spec.control(name).multilabel
            labels = Counter(key for sample in samples for key in _main_labels(sample, multilabel))
            counted[name] = dict(sorted(labels.items()))
        for name, marked in self.spans.items():
            counted[name] = dict(sorted(Counter(span.label for sample in marked for span in sample.spans).items()))
        for name, asked in self.regions.items():
            found = Counter(key for one in asked for key, share in one.target.items() if share >= 0.5)
            counted[name] = dict(sorted(found.items()))
        return counted

    def sizes(self) -> dict[str, int]:
        """Control -> tasks with an answer."""
        texts = {name: len({sample.task for sample in marked}) for name, marked in self.spans.items()}
        asked = {name: len({sample.task for sample in samples}) for name, samples in self.regions.items()}
        return {**{name: len(samples) for name, samples in self.samples.items()}, **texts, **asked}

    def describe_annotators(self) -> Summary:
        """JSON for the admin: `annotators` and the most disputed `disagreements` of the controls with overlap; of those
        that mark text also the `agreement` on each label (F1 between people); of all of them the `overlap`."""
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
            **({"agreement": self.agreement} if self.agreement else {}),
            **({"overlap": self.overlap} if self.overlap else {}),
        }


@dataclass(frozen=True)
class Known:
    """What all annotations say together, for a consensus on some of them. `spec`: says which taxonomies are answered
    with sets. `weighing`: control -> how far each annotator is believed; `reliability`: the same of controls that mark
    text."""

    spec: TaskSpec
    weighing: Mapping[str, Weighing]
    reliability: Mapping[str, Mapping[int, float]]


class Tally:
    """All annotations, added in any number of portions of whole tasks: what is in memory grows with the annotators, the
    labels and the combinations of answers, and not with the tasks."""

    def __init__(self, spec: TaskSpec) -> None:
        self._spec = spec
        self._controls = [(control, AnswerTally(control)) for control in spec.controls]
        self._spans = [(control, SpanTally(control)) for control in spec.spans]
        self._regions = [(control, RegionTally(control)) for control in spec.regions]

    @property
    def of_shared(self) -> bool:
        """Whether tasks that several people have answered say all; trees need the others, too."""
        return not any(control.kind is Kind.TAXONOMY for control in (*self._spec.controls, *self._spec.regions))

    def add(self, records: Iterable[ExampleRecord]) -> None:
        """A portion."""
        by_task = _group(self._spec, records)
        for control, answers in self._controls:
            answers.add(_answers_of(control, by_task, Counter()))
        for _, spans in self._spans:
            spans.add(by_task)
        for _, regions in self._regions:
            regions.add(by_task)

    def finish(self) -> Known:
        """Of all that was added."""
        controls = tuple(replace(control, several=answers.takes_several()) for control, answers in self._controls)
        regions = tuple(replace(control, several=tally.takes_several()) for control, tally in self._regions)
        return Known(
            replace(self._spec, controls=controls, regions=regions),
            {
                control.name: answers.weigh(control.multilabel)
                for control, (_, answers) in zip(controls, self._controls, strict=True)
            },
            {control.name: tally.reliability() for control, tally in self._spans},
        )


def reach_consensus(spec: TaskSpec, records: Iterable[ExampleRecord], known: Known | None = None) -> Consensus:
    """What can be learned from these annotations under this spec. `known`: what more annotations than these say, of
    which these are whole tasks."""
    by_task = _group(spec, records)
    reached = Consensus()
    controls = tuple(_reach(reached, control, by_task, known) for control in spec.controls)
    for control in spec.spans:
        _reach_spans(reached, control, by_task, known)
    regions = tuple(_reach_regions(reached, control, by_task, known) for control in spec.regions)
    relations = [] if spec.relations is None else reach_relation_consensus(spec, by_task)
    return replace(reached, spec=replace(spec, controls=controls, regions=regions), relations=relations)


def _group(spec: TaskSpec, records: Iterable[ExampleRecord]) -> dict[int, list[ExampleRecord]]:
    by_task: dict[int, list[ExampleRecord]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(_as_asked(spec, record))
    return by_task


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


def _reach(
    reached: Consensus, control: Control, by_task: Mapping[int, Sequence[ExampleRecord]], known: Known | None
) -> Control:
    """Adds what is known of this control, and gives it back as it is answered."""
    quarantined: Counter[str] = Counter()
    name, answers = control.name, _answers_of(control, by_task, quarantined)
    if known is None:
        tally = AnswerTally(control)
        tally.add(answers)
        control = replace(control, several=tally.takes_several())
        weighing = tally.weigh(control.multilabel)
    else:
        control, weighing = known.spec.control(name), known.weighing[name]
    if not control.multilabel:
        answers = {task: [a if a.keys else replace(a, keys=(NONE,)) for a in mine] for task, mine in answers.items()}
    targets = weighing.targets(answers)
    reached.samples[name] = [
        _sample(control, task, mine, targets.get(task), weighing.weight(mine)) for task, mine in answers.items()
    ]
    reached.disagreement[name] = {
        task: measure_disagreement(control, mine) for task, mine in answers.items() if len(mine) > 1
    }
    people = Counter(a.annotator for mine in answers.values() for a in mine if a.annotator is not None)
    reached.answers[name] = dict(sorted(people.items()))
    if weighing.reliability:
        reached.reliability[name] = dict(weighing.reliability)
    if (overlap := overlap_of(control, answers)) is not None:
        reached.overlap[name] = overlap
    if quarantined:
        reached.quarantined[name] = dict(quarantined)
    return control


def _reach_spans(
    reached: Consensus, control: Control, by_task: Mapping[int, Sequence[ExampleRecord]], known: Known | None
) -> None:
    """Adds what is known of a control that marks text."""
    name = control.name
    found = reach_span_consensus(control, by_task, None if known is None else known.reliability[name])
    reached.spans[name] = found.samples
    reached.disagreement[name] = found.disagreement
    reached.answers[name] = found.answers
    if found.agreement:
        reached.agreement[name] = found.agreement
    if found.overlap is not None:
        reached.overlap[name] = found.overlap
    if found.reliability:
        reached.reliability[name] = found.reliability
    if found.quarantined:
        reached.quarantined[name] = found.quarantined


def _reach_regions(
    reached: Consensus, control: Control, by_task: Mapping[int, Sequence[ExampleRecord]], known: Known | None
) -> Control:
    """Adds what is known of a question about regions, and gives it back as it is answered."""
    several = None if known is None else known.spec.control(control.name).several
    found = reach_region_consensus(control, by_task, several)
    reached.regions[control.name] = found.samples
    if found.quarantined:
        reached.quarantined[control.name] = found.quarantined
    return replace(control, several=found.several)


def _answers_of(
    control: Control, by_task: Mapping[int, Sequence[ExampleRecord]], quarantined: Counter[str]
) -> dict[int, list[Answer]]:
    """By task; those without an answer are missing."""
    known = None if control.options_field is not None else frozenset(control.keys())
    found = {task: _answers(control, by_task[task], known, quarantined) for task in sorted(by_task)}
    return {task: mine for task, mine in found.items() if mine}


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
        if not usable and (keys or control.required):
            continue  # unknown labels say nothing, and a question that must be answered was not
        person = ("annotation", record.annotation) if record.annotator is None else ("person", record.annotator)
        answer = Answer(record, usable)
        if person not in people or _rank(answer) > _rank(people[person]):
            people[person] = answer
    return sorted(people.values(), key=lambda answer: answer.record.annotation)


def _rank(answer: Answer) -> tuple[bool, str, int]:
    return answer.record.ground_truth, answer.record.version, answer.record.annotation


def _sample(
    control: Control, task: int, answers: Sequence[Answer], weighed: Mapping[str, float] | None, weight: float
) -> Sample:
    sure = [answer for answer in answers if answer.record.ground_truth]
    counted = sure or answers
    newest = max(counted, key=lambda answer: answer.record.version).record if len(counted) > 1 else counted[0].record
    target = None if sure else weighed
    if target is None or not (target or control.multilabel):
        target = _shares(control.multilabel, [answer.keys for answer in counted])
    return Sample(
        task=task,
        text=control.text_of(newest.texts),
        target=target,
        weight=1.0 if sure else weight,
        ground_truth=bool(sure),
        annotations=tuple(answer.record.annotation for answer in counted),
    )


def label_keys(target: Sequence[Sequence[str]] | int) -> list[str]:
    """The label keys of a stored target: paths joined, stars as digits."""
    if isinstance(target, int):
        return [str(target)]
    return [key_of(path) for path in target]


def _shares(multilabel: bool, answers: Sequence[Sequence[str]]) -> Mapping[str, float]:
    """For sets the share of annotators who chose each label; else a distribution."""
    shares: dict[str, float] = {}
    for keys in answers:
        for key in keys:
            share = 1 / len(answers) if multilabel else 1 / len(answers) / len(keys)
            shares[key] = shares.get(key, 0.0) + share
    return dict(sorted(shares.items()))


def _most_disputed(scores: Mapping[int, float]) -> list[Disputed]:
    disputed = sorted((task for task, score in scores.items() if score > 0), key=lambda task: (-scores[task], task))
    return [{"task": task, "score": scores[task]} for task in disputed[:MOST_DISPUTED]]


def _main_labels(sample: Sample, multilabel: bool) -> list[str]:
    if not sample.target:
        return [NONE] if multilabel else []
    held = [key for key, share in sample.target.items() if share >= 0.5] if multilabel else []
    blank = 1 - sum(sample.target.values())  # at least so many set nothing
    return held or [NONE if blank >= sample.target[sample.top] else sample.top]
