"""From stored annotations to labelled texts with spans: whoever and however many annotated them.

Pure. A ground truth wins. Otherwise everybody's answer is an example whose weight is its share, by the reliability that
shared tasks show: a chain that is fitted to all of them believes a disputed span as far as people do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from backend.labelstudio.records import ExampleRecord, SpanRow
from backend.record_json import Overlap
from backend.rules.annotator_agreement import measure_overlap
from model.span import Span, SpanSample, sorted_spans
from model.spec import Control

SHARED_TASKS = 3
"""Tasks that a person has to share with others before anything is said of them."""

PRIOR_TASKS = 4.0
"""Tasks for which the mean agreement of all people counts in a person's reliability."""

LEAST_RELIABLE, MOST_RELIABLE = 0.05, 0.95

Truth = frozenset[Span]


@dataclass(frozen=True)
class SpanConsensus:
    """`samples`: by task id, several of one task where people disagree. `quarantined`: label -> spans that have it and
    are not learned; `disagreement`: task -> 1 - F1 between its people, tasks with several only; `agreement`: label ->
    F1 between people, `overlap`: how far they agree on a text; `answers`: annotator -> tasks; `reliability`: annotator
    -> agreement expected with what is right.
    """

    samples: list[SpanSample] = field(default_factory=list)
    quarantined: dict[str, int] = field(default_factory=dict)
    disagreement: dict[int, float] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)
    reliability: dict[int, float] = field(default_factory=dict)
    overlap: Overlap | None = None


@dataclass(frozen=True)
class _Answer:
    record: ExampleRecord
    spans: Truth
    removed: tuple[Span, ...]


class SpanTally:
    """How far each annotator agrees with the others of a task, over any number of portions of whole tasks."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._tasks: Counter[int] = Counter()
        self._figures: dict[int, float] = {}

    def add(self, by_task: Mapping[int, Sequence[ExampleRecord]]) -> None:
        """A portion."""
        self.add_answers(_answer_all(self._control, by_task, Counter()).values())

    def add_answers(self, tasks: Iterable[Sequence[_Answer]]) -> None:
        """F1 with a ground truth, or with the others of a task where they are at least two: of two people nobody can
        tell which is wrong."""
        for answers in tasks:
            sure = [one for one in answers if one.record.ground_truth]
            for one in answers:
                others = [other for other in (sure or answers) if other is not one]
                person = one.record.annotator
                if person is not None and one not in sure and len(others) >= (1 if sure else 2):
                    self._tasks[person] += 1
                    figure = _mean([_f1(one.spans, other.spans) for other in others])
                    self._figures[person] = self._figures.get(person, 0.0) + figure

    def reliability(self) -> dict[int, float]:
        """Annotator -> mean F1 with what is right, as far as that can be told; pulled to the mean of all."""
        enough = {person: count for person, count in sorted(self._tasks.items()) if count >= SHARED_TASKS}
        if not enough:
            return {}
        mean = sum(self._figures[person] for person in enough) / sum(enough.values())
        return {
            person: (self._figures[person] + PRIOR_TASKS * mean) / (count + PRIOR_TASKS)
            for person, count in enough.items()
        }


def reach_span_consensus(
    control: Control, by_task: Mapping[int, Sequence[ExampleRecord]], reliability: Mapping[int, float] | None = None
) -> SpanConsensus:
    """What these annotations say of one control. `reliability`: of its annotators, where more is known than these."""
    quarantined: Counter[str] = Counter()
    answers = _answer_all(control, by_task, quarantined)
    shared = {task: mine for task, mine in answers.items() if len(mine) > 1}
    if reliability is None:
        tally = SpanTally(control)
        tally.add_answers(shared.values())
        reliability = tally.reliability()
    samples = [sample for task, mine in answers.items() for sample in _samples(control, task, mine, reliability)]
    people = Counter(one.record.annotator for mine in answers.values() for one in mine)
    return SpanConsensus(
        samples=samples,
        quarantined=dict(quarantined),
        disagreement={task: 1 - _agreement([one.spans for one in mine]) for task, mine in shared.items()},
        agreement=_by_label(shared),
        answers={person: count for person, count in sorted(_named(people).items())},
        reliability=dict(reliability),
        overlap=measure_overlap(
            [[(one.record.annotator, one.spans) for one in mine] for mine in shared.values()],
            lambda one, other: _agreement([one, other]),
        ),
    )


def majority(samples: Sequence[SpanSample]) -> tuple[Span, ...]:
    """The spans that at least half of the weight of one task's samples has."""
    whole = sum(sample.weight for sample in samples)
    shares: Counter[Span] = Counter()
    for sample in samples:
        for span in sample.spans:
            shares[span] += sample.weight  # type: ignore[assignment]
    return sorted_spans(span for span, share in shares.items() if share >= whole / 2)


def _answer_all(
    control: Control, by_task: Mapping[int, Sequence[ExampleRecord]], quarantined: Counter[str]
) -> dict[int, list[_Answer]]:
    """By task; those without an answer are missing."""
    known = None if control.options_field is not None else frozenset(control.keys())
    found = {task: _answers(control, by_task[task], known, quarantined) for task in sorted(by_task)}
    return {task: mine for task, mine in found.items() if mine}


def _answers(
    control: Control, records: Sequence[ExampleRecord], known: frozenset[str] | None, quarantined: Counter[str]
) -> list[_Answer]:
    """One answer a person: a ground truth if there is one, else the newest."""
    people: dict[tuple[str, int], ExampleRecord] = {}
    for record in records:
        if control.name not in record.spans or any(name not in record.texts for name in control.inputs):
            continue
        person = ("annotation", record.annotation) if record.annotator is None else ("person", record.annotator)
        if person not in people or _rank(record) > _rank(people[person]):
            people[person] = record
    found = []
    for record in sorted(people.values(), key=lambda one: one.annotation):
        rows = record.spans[control.name]
        length = len(record.texts[control.inputs[0]])
        usable = [row for row in rows if row[1] <= length and (known is None or row[2] in known)]
        quarantined.update(row[2] for row in rows if row not in usable)
        if usable or not rows:  # labels that the config has not say nothing
            found.append(_Answer(record, frozenset(_spans(usable)), _spans(record.removed.get(control.name, ()))))
    return found


def _rank(record: ExampleRecord) -> tuple[bool, str, int]:
    return record.ground_truth, record.version, record.annotation


def _spans(rows: Sequence[SpanRow]) -> tuple[Span, ...]:
    return sorted_spans(Span(*row) for row in rows)


def _samples(
    control: Control, task: int, answers: Sequence[_Answer], reliability: Mapping[int, float]
) -> list[SpanSample]:
    sure = [one for one in answers if one.record.ground_truth]
    counted = sure or answers
    content = control.text_of(max(counted, key=lambda one: one.record.version).record.texts)
    groups: dict[Truth, list[_Answer]] = {}
    for one in counted:
        if control.text_of(one.record.texts) == content:  # else it is of another state of the task
            groups.setdefault(one.spans, []).append(one)
    weights = {spans: sum(_weight(one, reliability) for one in mine) for spans, mine in groups.items()}
    whole = sum(weights.values())
    return [
        SpanSample(
            task,
            content[0],
            sorted_spans(spans),
            sorted_spans(span for one in mine for span in one.removed if span not in spans),
            weights[spans] / whole,
            bool(sure),
            tuple(one.record.annotation for one in mine),
            content[1] if control.question is not None else None,
        )
        for spans, mine in groups.items()
    ]


def _weight(one: _Answer, reliability: Mapping[int, float]) -> float:
    """The odds that this annotator is right; alike for all where nothing is known."""
    if one.record.annotator is None or not reliability:
        return 1.0
    known = reliability.get(one.record.annotator, sum(reliability.values()) / len(reliability))
    right = min(max(known, LEAST_RELIABLE), MOST_RELIABLE)
    return right / (1 - right)


def _by_label(shared: Mapping[int, Sequence[_Answer]]) -> dict[str, float]:
    """Label -> F1 between people over all pairs of answers to a task."""
    hits: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for answers in shared.values():
        for one, other in combinations(answers, 2):
            hits.update(span.label for span in one.spans & other.spans)
            given.update(span.label for span in (*one.spans, *other.spans))
    return {label: 2 * hits[label] / count for label, count in sorted(given.items())}


def _agreement(answers: Sequence[Truth]) -> float:
    return _mean([_f1(one, other) for one, other in combinations(answers, 2)])


def _f1(one: Truth, other: Truth) -> float:
    """1 where both have nothing."""
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


def _mean(figures: Sequence[float]) -> float:
    return sum(figures) / len(figures)


def _named(people: Counter[int | None]) -> dict[int, int]:
    return {person: count for person, count in people.items() if person is not None}
