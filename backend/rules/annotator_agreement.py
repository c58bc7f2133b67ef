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
    import numpy as np
    from numpy.typing import NDArray

    from model.evidence.dawid_skene import Estimate, Votes
    from model.evidence.row import EvidenceRow
    from model.numerics.arrays import Floats

Said = TypeVar("Said")

DAYS_KEPT = 60
"""Days with labels that are told, the last ones."""

PAUSE_SECONDS = 600.0
"""Who has not answered for so long was away: the gap is no working time."""

LEAST_ANSWERS = 5
"""Answers of one sitting from which a pace is told: of fewer the first text's reading is most of it."""

NEGLIGIBLE_SHARE = 0.005
"""Shares below are dropped from a target."""


@dataclass(frozen=True)
class Answer:
    """One annotator's answer to one task, known labels only. A blank one is NONE, or of sets no label."""

    record: ExampleRecord
    keys: tuple[str, ...]

    @property
    def annotator(self) -> int | None:
        """The annotator; None when Label Studio names none."""
        return self.record.annotator


Answers = Mapping[int, Sequence[Answer]]
"""Task -> its answers, one a person, by annotation id."""

Row = tuple[int, int, int, float]
"""Item, person, class, share."""


class VoteTable:
    """Votes over the tasks of `shared`, in their order. For sets every (task, label) is an item with the answers no and
    yes, and a person has one confusion matrix over all labels.

    Ground truths are no votes: they say what the item is. Unnamed people cannot be told apart and vote as one."""

    def __init__(self, is_set: bool, shared: Answers) -> None:
        self.is_set = is_set
        self.answers = {task: shared[task] for task in sorted(shared)}
        self.labels = sorted({key for found in self.answers.values() for answer in found for key in answer.keys})
        self._column = {label: index for index, label in enumerate(self.labels)}
        people = {answer.annotator for found in self.answers.values() for answer in found}
        self.people = sorted(people, key=lambda who: (who is None, who or 0))
        self._person = {who: index for index, who in enumerate(self.people)}
        self._kind: NDArray[np.intp] | None = None  # sets: the kind of each (task, label)

    def votes(self) -> Votes:
        """Long form; an item a task, or a label of a task (items with the same answers once, with their number)."""
        import numpy as np

        from model.evidence.dawid_skene import Votes

        if self.is_set:
            return self._set_votes()
        rows = [row for item, found in enumerate(self.answers.values()) for row in self._rows(item, found)]
        items, who, given, shares = np.array(rows, dtype=float).reshape(len(rows), 4).T
        known = np.array([self._known(found) for found in self.answers.values()])
        whole = [column.astype(np.int64) for column in (items, who, given)]
        once, group = np.ones(len(known)), np.zeros_like(known)
        return Votes(whole[0], whole[1], whole[2], shares, known, group, once, len(self.people), len(self.labels))

    def _rows(self, item: int, found: Sequence[Answer]) -> list[Row]:
        return [
            (item, self._person[answer.annotator], self._column[key], 1 / len(answer.keys))
            for answer in found
            if not answer.record.ground_truth
            for key in answer.keys
        ]

    def _known(self, found: Sequence[Answer]) -> int:
        """The class that the ground truth gives to a task, -1 without one (or with two that differ)."""
        keys = _truth(found)
        return self._column[keys[0]] if keys is not None and len(keys) == 1 else -1

    def _set_votes(self) -> Votes:
        """Nearly all (task, label) items are alike: nobody set that label. Each kind is given once."""
        import numpy as np

        from model.evidence.dawid_skene import Votes

        said, known, person = self._matrix()
        labels = np.broadcast_to(np.arange(len(self.labels)), known.shape)
        table = np.concatenate([labels[..., None], known[..., None], said], axis=2).reshape(known.size, -1)
        kinds, kind, times = np.unique(table, axis=0, return_inverse=True, return_counts=True)
        self._kind = kind.reshape(-1)
        items, slots = np.nonzero(kinds[:, 2:] >= 0)
        given, group, truth = kinds[items, slots + 2], kinds[:, 0], kinds[:, 1]
        shares, people = np.ones(len(items)), len(self.people)
        return Votes(items, person[slots], given, shares, truth, group, times.astype(float), people, 2)

    def _matrix(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(said [tasks, labels, slots], known [tasks, labels], person of each slot): 1 yes, 0 no, -1 nothing said.
        A person has one slot; the unnamed as many as there are in any task."""
        import numpy as np

        named = [who for who in self.people if who is not None]
        unnamed = max(sum(answer.annotator is None for answer in found) for found in self.answers.values())
        said = np.full((len(self.answers), len(self.labels), len(named) + unnamed), -1)
        known = np.full(said.shape[:2], -1)
        for item, found in enumerate(self.answers.values()):
            spare = len(named)
            for answer in found:
                slot = spare if answer.annotator is None else self._person[answer.annotator]
                spare += answer.annotator is None
                if not answer.record.ground_truth:
                    said[item, :, slot] = 0
                    said[item, [self._column[key] for key in answer.keys], slot] = 1
            if (keys := _truth(found)) is not None:
                known[item] = 0
                known[item, [self._column[key] for key in keys]] = 1
        return said, known, np.array([*range(len(named)), *[len(named)] * unnamed])

    def read_targets(self, found: Estimate) -> dict[int, dict[str, float]]:
        """Task -> label -> share. Labels that no annotator gave get nothing."""
        targets = {}
        for (task, answers), row in zip(self.answers.items(), self._posterior(found), strict=True):
            labels = sorted({key for answer in answers for key in answer.keys})
            shares = {label: float(row[self._column[label]]) for label in labels}
            targets[task] = (
                {k: v for k, v in shares.items() if v > NEGLIGIBLE_SHARE} if self.is_set else _normalise(shares)
            )
        return targets

    def _posterior(self, found: Estimate) -> Floats:
        """[tasks, labels]: a distribution, or for sets the probability of each label."""
        if self._kind is not None:
            return found.posterior[self._kind, 1].reshape(len(self.answers), len(self.labels))
        return found.posterior

    def read_reliability(self, found: Estimate) -> dict[int, float]:
        """Named person -> share of right answers; for sets F1, since most labels are unset in most tasks and anybody
        would be right about most of them."""
        values = self._f1(found) if self.is_set else [float(value) for value in found.accuracy]
        return {who: round(value, 4) for who, value in zip(self.people, values, strict=True) if who is not None}

    def _f1(self, found: Estimate) -> list[float]:
        hits, total = [0.0] * len(self.people), [0.0] * len(self.people)
        for answers, truth in zip(self.answers.values(), self._posterior(found), strict=True):
            expected = float(truth.sum())
            for answer in (answer for answer in answers if not answer.record.ground_truth):
                person = self._person[answer.annotator]
                hits[person] += 2 * sum(float(truth[self._column[key]]) for key in answer.keys)
                total[person] += len(answer.keys) + expected
        return [hit / all_ if all_ else 0.0 for hit, all_ in zip(hits, total, strict=True)]


def _truth(found: Sequence[Answer]) -> tuple[str, ...] | None:
    """What the ground truth says, which may be nothing; None without one, or with two that differ."""
    sure = {answer.keys for answer in found if answer.record.ground_truth}
    return next(iter(sure)) if len(sure) == 1 else None


def _normalise(shares: Mapping[str, float]) -> dict[str, float]:
    top = max(shares.values(), default=0.0)
    kept = {label: share for label, share in shares.items() if share > NEGLIGIBLE_SHARE * top}
    total = sum(kept.values())
    return {label: share / total for label, share in kept.items()} if total else {}


MIN_SHARED = 20
"""Tasks that somebody must share with others (or with a ground truth) before reliability is believed: with 10, single
simulated projects came out up to 40 points worse than the plain vote."""

MIN_PEOPLE = 3

LEAST_TASK_WEIGHT = 0.1
"""Least weight of a task that only one person has answered, however unreliable."""


@dataclass(frozen=True)
class Weighing:
    """`targets`: task -> label -> share, of the tasks with several answers. `weights`: task -> weight, of the others.
    `reliability`: annotator -> share of right answers expected (sets: F1)."""

    targets: Mapping[int, Mapping[str, float]]
    weights: Mapping[int, float]
    reliability: Mapping[int, float]


EQUAL_WEIGHTS = Weighing({}, {}, {})
"""All annotators count alike."""


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


def weigh_answers(control: Control, answers: Answers) -> Weighing:
    """Targets and weights by reliability; EQUAL_WEIGHTS without enough overlap.

    Ratings always count alike: a star more or less is taste rather than error, and their spread is what is learned."""
    shared = {task: found for task, found in answers.items() if len(found) > 1}
    steady = find_reliable_annotators(shared)
    if control.kind is Kind.RATING or not steady:
        return EQUAL_WEIGHTS
    from model.evidence.dawid_skene import estimate

    table = VoteTable(control.multilabel, shared)
    if not table.labels:
        return EQUAL_WEIGHTS  # of sets that everybody left empty
    found = estimate(table.votes())
    if found is None:
        return EQUAL_WEIGHTS
    reliability = {who: value for who, value in table.read_reliability(found).items() if who in steady}
    worth = _annotator_weights(reliability, 0.0 if table.is_set else 1 / max(2, len(table.labels)))
    weights = {
        task: worth[mine[0].annotator]
        for task, mine in answers.items()
        if len(mine) == 1 and mine[0].annotator in worth and not mine[0].record.ground_truth
    }
    return Weighing(table.read_targets(found), weights, reliability)


def find_reliable_annotators(shared: Answers) -> set[int]:
    """Annotators who share MIN_SHARED tasks or more (own ground truths aside); none when the overlap is too small."""
    judged = Counter(
        answer.annotator
        for found in shared.values()
        for answer in found
        if answer.annotator is not None and not answer.record.ground_truth
    )
    steady = {who for who, count in judged.items() if who is not None and count >= MIN_SHARED}
    proven = sum(any(answer.record.ground_truth for answer in found) for found in shared.values())
    return steady if len(steady) >= MIN_PEOPLE or proven >= MIN_SHARED else set()


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
