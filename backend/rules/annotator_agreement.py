"""Annotators: how far they disagree, how reliable each is, the target that follows, and how much each does.

Pure. Reliability needs overlap: without it, or with two people and no ground truth between them (nobody can tell which
of the two is wrong), everybody counts alike. Decision 0004.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, TypeVar

from backend.labelstudio.records import ExampleRecord
from backend.record_json import Activity, Overlap, Pace, WithModel
from model.spec import NONE, Control, Kind

if TYPE_CHECKING:
    from model.evidence.annotators.vote_log import Jury, VoteLog
    from model.evidence.row import EvidenceRow

Said = TypeVar("Said")

DAYS_KEPT = 60
"""Days with labels that are told, the last ones."""

PAUSE_SECONDS = 600.0
"""Who has not answered for so long was away: the gap is no working time."""

LEAST_ANSWERS = 5
"""Answers of one sitting from which a pace is told: of fewer the first text's reading is most of it."""


@dataclass(frozen=True)
class Answer:
    """One annotator's answer to one task, known labels only. A blank one is NONE, or of sets no label."""

    record: ExampleRecord
    keys: tuple[str, ...]

    @property
    def annotator(self) -> int | None:
        """The annotator; None when Label Studio names none."""
        return self.record.annotator

    def vote(self) -> tuple[int | None, tuple[str, ...], bool]:
        """Without texts."""
        return self.record.annotator, self.keys, self.record.ground_truth


Answers = Mapping[int, Sequence[Answer]]
"""Task -> its answers, one a person, by annotation id."""

MIN_SHARED = 20
"""Tasks that somebody must share with others (or with a ground truth) before reliability is believed: with 10, single
simulated projects came out up to 40 points worse than the plain vote."""

MIN_PEOPLE = 3

SLIP_SHARE = 0.01
"""Share of a taxonomy's answers that may hold several paths by mistake."""

LEAST_TASK_WEIGHT = 0.1
"""Least weight of a task that only one person has answered, however unreliable."""


@dataclass(frozen=True)
class Weighing:
    """How far each annotator is believed. `reliability`: annotator -> share of right answers expected (sets: F1);
    `worth`: annotator -> weight of a task that only they have answered. Nothing: all count alike."""

    reliability: Mapping[int, float]
    worth: Mapping[int | None, float]
    _jury: Jury | None = None

    def weight(self, answers: Sequence[Answer]) -> float:
        """Of a task."""
        alone = len(answers) == 1 and not answers[0].record.ground_truth
        return self.worth.get(answers[0].annotator, 1.0) if alone else 1.0

    def targets(self, answers: Answers) -> Mapping[int, Mapping[str, float]]:
        """Task -> label -> share, of tasks with several answers; of none where all count alike."""
        if self._jury is None:
            return {}
        shared = {task: found for task, found in answers.items() if len(found) > 1}
        return self._jury.targets({task: [answer.vote() for answer in found] for task, found in shared.items()})


EQUAL_WEIGHTS = Weighing({}, {})
"""All annotators count alike."""


class AnswerTally:
    """What all answers to one control say together: of its annotators, and whether they answer with sets. Added in any
    number of portions; in memory are counts by annotator, and the combinations of answers to shared tasks."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._judged: Counter[int] = Counter()
        self._answers = self._sets = self._proven = 0
        self._log: VoteLog | None = None

    def add(self, answers: Answers) -> None:
        """A portion, of whole tasks."""
        for found in answers.values():
            self._answers += len(found)
            self._sets += sum(len(answer.keys) > 1 for answer in found)
            if len(found) > 1:
                self._add_shared(found)

    def _add_shared(self, found: Sequence[Answer]) -> None:
        named = (answer for answer in found if not answer.record.ground_truth)
        self._judged.update(answer.annotator for answer in named if answer.annotator is not None)
        self._proven += any(answer.record.ground_truth for answer in found)
        if self._control.kind is Kind.RATING:
            return
        if self._log is None:
            from model.evidence.annotators.vote_log import VoteLog

            self._log = VoteLog()
        self._log.add([answer.vote() for answer in found])

    def takes_several(self) -> bool:
        """Whether people answer this taxonomy with sets of paths; a slip in hundreds of single paths is none."""
        if self._control.kind is not Kind.TAXONOMY or self._control.most == 1:
            return False
        return self._sets >= max(1.0, SLIP_SHARE * self._answers)

    def reliable_annotators(self) -> set[int]:
        """Who shares MIN_SHARED tasks or more (own ground truths aside); nobody when the overlap is too small."""
        steady = {who for who, count in self._judged.items() if count >= MIN_SHARED}
        return steady if len(steady) >= MIN_PEOPLE or self._proven >= MIN_SHARED else set()

    def weigh(self, multilabel: bool) -> Weighing:
        """By reliability; EQUAL_WEIGHTS without enough overlap. `multilabel`: answers are sets.

        Ratings always count alike: a star more or less is taste rather than error, and their spread is learned."""
        steady = self.reliable_annotators()
        jury = self._log.judge(multilabel) if self._log is not None and steady else None
        if jury is None:
            return EQUAL_WEIGHTS
        reliability = {who: value for who, value in jury.reliability().items() if who in steady}
        worth = _annotator_weights(reliability, 0.0 if multilabel else 1 / max(2, len(jury.labels)))
        return Weighing(reliability, worth, jury)


def measure_disagreement(control: Control, answers: Sequence[Answer]) -> float:
    """Mean distance over all pairs of answers, in [0, 1]: 0 when all agree, 1 when no two have anything in common.

    The chance that two of these people differ (what Fleiss' kappa starts from): readable, and unlike the entropy it
    does not depend on how many labels there are. Sets: Jaccard distance; ratings: stars apart over the most.
    Something and nothing have nothing in common."""
    apart = _stars_apart if control.kind is Kind.RATING else _sets_apart
    distances = [apart(control, one.keys, other.keys) for one, other in combinations(answers, 2)]
    return round(sum(distances) / len(distances), 4) if distances else 0.0


def _stars_apart(control: Control, one: Sequence[str], other: Sequence[str]) -> float:
    if NONE in (one[0], other[0]):
        return float(one[0] != other[0])
    return min(1.0, abs(int(one[0]) - int(other[0])) / max(1, len(control.labels) - 1))


def _sets_apart(_: Control, one: Sequence[str], other: Sequence[str]) -> float:
    held = len(set(one) | set(other))
    return 1 - len(set(one) & set(other)) / held if held else 0.0


MOST_PAIRS = 50
"""Pairs of annotators that are told of a control."""


def measure_overlap(
    shared: Iterable[Sequence[tuple[int | None, Said]]], agree: Callable[[Said, Said], float]
) -> Overlap | None:
    """`shared`: of each task its people's answers; `agree`: how far two agree, from 0 to 1. None without such tasks."""
    means: list[float] = []
    pairs: dict[tuple[int, int], list[float]] = {}
    for found in shared:
        values = []
        for (one, mine), (other, theirs) in combinations(found, 2):
            values.append(agree(mine, theirs))
            if one is not None and other is not None and one != other:
                pairs.setdefault((min(one, other), max(one, other)), []).append(values[-1])
        if values:
            means.append(sum(values) / len(values))
    if not means:
        return None
    most = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_PAIRS]
    return {
        "tasks": len(means),
        "agreement": round(sum(means) / len(means), 4),
        "kappa": None,
        "pairs": [
            {"people": people, "tasks": len(values), "agreement": round(sum(values) / len(values), 4)}
            for people, values in most
        ],
    }


def overlap_of(control: Control, answers: Answers) -> Overlap | None:
    """Of a control of choices or stars. Kappa is Fleiss': chance agrees as often as two labels drawn from all answers
    to the shared tasks are the same."""
    shared = [found for found in answers.values() if len(found) > 1]
    told = [[(answer.annotator, answer) for answer in found] for found in shared]
    overlap = measure_overlap(told, lambda one, other: 1 - measure_disagreement(control, (one, other)))
    if overlap is None or control.multilabel or control.kind is Kind.RATING:
        return overlap
    counts = Counter(key for found in shared for answer in found for key in answer.keys)
    chance = sum((count / counts.total()) ** 2 for count in counts.values()) if counts else 1.0
    kappa = (overlap["agreement"] - chance) / (1 - chance) if chance < 1 else None
    return {**overlap, "kappa": None if kappa is None else round(kappa, 4)}


def compare_with_model(
    rows: Iterable[EvidenceRow], records: Iterable[ExampleRecord]
) -> dict[str, dict[str, WithModel]]:
    """Control -> annotator -> how often the model had said what this person then answered."""
    rows = list(rows)
    wanted = {row.annotation for row in rows}
    people = {record.annotation: record.annotator for record in records if record.annotation in wanted}
    found: dict[str, dict[str, WithModel]] = {}
    for row in rows:
        if (person := people.get(row.annotation)) is not None:
            none: WithModel = {"n": 0, "right": 0, "blind": 0, "blind_right": 0}
            own = found.setdefault(row.control, {}).setdefault(str(person), none)
            own["n"] += 1
            own["right"] += row.correct
            own["blind"] += row.blind
            own["blind_right"] += row.blind and row.correct
    return found


def _annotator_weights(reliability: Mapping[int, float], chance: float) -> dict[int | None, float]:
    """Weight of a task that only this person answered: how much better than chance, relative to the best person."""
    above = {person: max(0.0, value - chance) for person, value in reliability.items()}
    best = max(above.values(), default=0.0)
    return {person: round(max(LEAST_TASK_WEIGHT, value / best), 4) if best else 1.0 for person, value in above.items()}


def count_activity(records: Iterable[ExampleRecord]) -> Activity:
    """Days are UTC's. An answer counts on the day of its last change, which is all that Label Studio's time stamp
    says."""
    days: Counter[str] = Counter()
    times: dict[str, list[float]] = {}
    for record in records:
        moment = _moment(record.updated_at)
        if not record.teaches or moment is None:
            continue
        days[moment.date().isoformat()] += 1
        if record.annotator is not None:
            times.setdefault(str(record.annotator), []).append(moment.timestamp())
    return {
        "days": dict(sorted(days.items())[-DAYS_KEPT:]),
        "people": {name: _pace(sorted(found)) for name, found in sorted(times.items())},
    }


def _pace(moments: Sequence[float]) -> Pace:
    """`moments`, ascending."""
    gaps = [late - early for early, late in pairwise(moments) if late - early <= PAUSE_SECONDS]
    pace: Pace = {"labels": len(moments), "last": moments[-1]}
    if len(gaps) + 1 >= LEAST_ANSWERS and (worked := sum(gaps)) > 0:
        pace["an_hour"] = round(3600 * len(gaps) / worked, 1)
    return pace


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
