"""Labelling projects replayed with real heads: through the real queue, and stage by stage.

`QueueReplay`: batches are planned, Label Studio's rule hands tasks out. A simulated annotator takes `next_place`, the
learner refits and the queue is planned anew when `backend/rules/queue_due.py` would: when half of the batch is used, or
the labels have grown by a tenth and by 8 at least. A replay has no clock, so QUEUE_SECONDS do not count. Every plan is
a point of the curve. `random` is Label Studio's own random sampling, without a queue: any unlabelled task. Through the
queue a random batch is no longer random, the least confident of it go first: that is `queued_random`.

`follow`: what the heads answer to every text of a set after few and after many labels. One trajectory costs some
fifteen refits; any number of streams of test-then-train rows is then drawn from it at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.rules.queue_due import QueueFacts, places_hunted, why_plan
from backend.settings.settings import Settings
from model.acquisition.batch import QueueEntry, plan_batch
from model.acquisition.hunt_signs import find_words, hint_likeness
from model.acquisition.rare_classes import ClassHunt
from model.acquisition.strategies import Pool, choose, confidences
from model.decoding.answers import AnswerRules, decide
from model.decoding.evaluate_answers import measure
from model.features.long_texts import LabelAwarePooling
from model.head.fit import fit_head
from model.head.head_config import HeadConfig
from model.interfaces import Embedder
from model.numerics.arrays import Floats
from model.simulation.dataset import Dataset
from model.simulation.replay import Replay, ReplayPlan, Tell, encode_ahead, shuffled
from model.versions.live_model import LiveModel
from tests.support.next_place import next_place

Row = dict[str, Any]

WITHOUT_QUEUE, QUEUED = "random", "queued_random"

SEARCH_GROWTH = 1.5
"""Growth in labels after which the head's choices are searched for again. The product does at a tenth, which would take
most of the bench's time; between searches both repeat them."""


HUNTING = "hunting"
EXAMPLES, ORDERED = 5, 20
"""Of each class, that somebody wants to see; and that an order wants."""

EQUAL_LABELS = (32, 64, 128, 256, 400, 600)
"""Numbers of labels at which accuracies are compared."""


@dataclass(frozen=True)
class Course:
    """One replay: who chooses, from how many rows, up to how many labels; with several annotators Label Studio hands
    out any of the batch. `hunt_share`: of the places for scarce classes; 0 hunts nothing. `order`: the class that alone
    is hunted, of which one member is known, and by what: its name's words, likeness to that member, or ""."""

    strategy: str
    seed: int
    pool: int = 4000
    most: int = 1000
    annotators: int = 1
    hunt_share: float = 0.0
    order: tuple[int, str] | None = None


class QueueReplay(Replay):
    """The curve of one course."""

    def __init__(
        self, data: Dataset, course: Course, base: Embedder, policy: Settings, tell: Tell = lambda _: None
    ) -> None:
        super().__init__(data, ReplayPlan((course.pool,), course.strategy, course.seed, course.pool), base, tell=tell)
        self.course, self.policy = course, policy
        self.roles: Counter[str] = Counter()
        self.hunted: dict[int, int] = {}
        """Row -> the class that it was labelled for."""
        self._generator = np.random.default_rng(course.seed)
        keys = self.control.keys()
        self.members = np.array([[sample.target.get(key, 0.0) >= 0.5 for key in keys] for sample in self.candidates])
        if course.order is not None:
            self.chosen = [int(self.members[:, course.order[0]].argmax())]

    def points(self) -> Iterator[Row]:
        """One row per plan, until `course.most` labels or nothing is left; the caller may stop sooner."""
        while True:
            self._learn()
            yield self._point()
            left = min(self.course.most, len(self.candidates)) - len(self.chosen)
            if left <= 0:
                return
            self._annotate(self._plan_queue(), left)

    def follow_classes(self) -> Row:
        """`needed`: labels until every class that the pool has EXAMPLES of has them, None when they do not; accuracy
        and macro-F1 at EQUAL_LABELS; of hunted tasks their number, how many were hits, and how many were asked in vain
        for classes that the pool does not have."""
        points, there, random = list[Row](), self.members.sum(0) >= EXAMPLES, self.course.strategy == WITHOUT_QUEUE
        for point in self.points():
            points.append(point)
            if point["n"] >= EQUAL_LABELS[-1] and (random or labels_until(self.members[self.chosen][:, there])):
                break
        row: Row = {"needed": labels_until(self.members[self.chosen][:, there]), "labels": len(self.chosen)}
        counts = [point["n"] for point in points]
        for figure, count in product(("accuracy", "macro_f1", "ece"), EQUAL_LABELS):
            if count <= counts[-1]:
                row[f"{figure} {count}"] = float(np.interp(count, counts, [point[figure] for point in points]))
        absent = np.logical_not(self.members.any(axis=0, keepdims=True))[0]
        curve = [(point["n"], point["accuracy"]) for point in points]
        if (last := min(EQUAL_LABELS[-1], counts[-1])) >= EQUAL_LABELS[0]:
            whole = np.interp(np.arange(EQUAL_LABELS[0], last + 1), counts, [accuracy for _, accuracy in curve])
            row["accuracy mean"] = float(whole.mean())
        return {
            **row,
            "curve": curve,
            **self._outcomes(),
            "absent": sum(bool(absent[own]) for own in self.hunted.values()),
        }

    def follow_order(self) -> Row:
        """`needed`: labels until the class that is ordered has EXAMPLES, None where it has fewer after all."""
        assert self.course.order is not None
        own = [self.course.order[0]]
        for _ in self.points():
            if labels_until(self.members[self.chosen][:, own]):
                break
        needed = labels_until(self.members[self.chosen][:, own])
        return {"needed": needed, "labels": len(self.chosen), **self._outcomes()}

    def draw(self, draws: int) -> list[int]:
        """Labels until every class that the pool has EXAMPLES of has them, in so many random orders of the pool."""
        there = self.members.sum(0) >= EXAMPLES
        orders = [np.random.default_rng((self.course.seed, number)) for number in range(draws)]
        return [labels_until(own.permutation(self.members)[:, there]) or len(self.members) for own in orders]

    def rarest(self, count: int) -> list[int]:
        """Columns of the classes with the fewest members in the pool, of those with twice EXAMPLES."""
        sizes = self.members.sum(0)
        return [int(own) for own in np.argsort(sizes, kind="stable") if sizes[own] >= 2 * EXAMPLES][:count]

    def _outcomes(self) -> Row:
        hits = sum(bool(self.members[row, own]) for row, own in self.hunted.items())
        return {"hunted": len(self.hunted), "hits": hits}

    def whole(self) -> float:
        """Accuracy (of sets micro-F1) of the head that has learned from all rows of the pool."""
        self.tell("learning from all rows")
        samples = self.candidates[: self.course.pool]
        head = fit_head(self.control, samples, self.pool, self.base, seed=self.course.seed)
        texts = [sample.text for sample in self.data.test]
        live = LiveModel("v0", self.spec, {self.control.name: head}, self.base)
        scores = live.scores(self.control.name, texts)
        return self._accuracy(measure(self.control, head.rules, scores, self.data.test))

    @staticmethod
    def _accuracy(found: Row) -> float:
        """Of sets micro-F1, for which their threshold is chosen: how often a whole set is right rises and falls."""
        return float(found["micro_f1"] if "micro_f1" in found else found["accuracy"])

    def _learn(self) -> None:
        searched = self.model.configs[self.control.name].searched if self.model else 0
        self._refit(repeat=0 < len(self.chosen) <= SEARCH_GROWTH * searched)

    def _point(self) -> Row:
        found = self._measure(len(self.chosen), 0.0)
        kept = ("strategy", "n", "seed", "macro_f1", "ece", "log_loss", "classes_seen")
        return {**{key: found[key] for key in kept}, "accuracy": self._accuracy(found), "roles": dict(self.roles)}

    def _plan_queue(self) -> list[QueueEntry]:
        self.tell(f"planning with {len(self.chosen)} labels")
        pool = self._view()
        tasks = np.array([sample.task for sample in self.candidates], dtype=np.int64)
        return plan_batch(
            [pool],
            tasks,
            confidences(pool),
            project=self.course.seed,
            strategy="random" if self.course.strategy == QUEUED else self.course.strategy,
            size=self.policy.queue_size,
            blind_share=self.policy.queue_blind_share,
            explore_share=self.policy.queue_explore_share,
            seed=self.course.seed * 1_000_003 + len(self.chosen),
            hunts=self._hunts(pool),
            hunted=places_hunted(self.policy, self.course.hunt_share, len(self.chosen)),
        )

    def _hunts(self, pool: Pool) -> list[ClassHunt]:
        """One for every class, or for the one that is ordered, with what came of it so far."""
        labels = self.members[self.chosen].sum(0)
        asked = Counter(self.hunted.values())
        found = Counter(own for row, own in self.hunted.items() if self.members[row, own])
        if self.course.order is not None:
            own, by = self.course.order
            signs = self._signs(pool, own, by)
            return [ClassHunt(0, own, found[own], ORDERED, asked[own], found[own], signs)]
        return [ClassHunt(0, own, int(labels[own]), asked=asked[own], found=found[own]) for own in range(len(labels))]

    def _signs(self, pool: Pool, own: int, by: str) -> Callable[[], Floats] | None:
        if by not in ("words", "like"):
            return None
        words = self.control.labels[own].path[-1].replace("_", " ").split()
        texts, like = ["\n".join(sample.text) for sample in self.candidates], by == "like"
        found = hint_likeness(pool.features, pool.features[self.chosen[:1]]) if like else find_words(words, texts)
        return lambda: found

    def _annotate(self, places: list[QueueEntry], left: int) -> None:
        """Labels of what Label Studio hands out, until the queue is planned anew."""
        before, taken, solved = len(self.chosen), set[int](), Counter[int | None]({None: len(self.chosen)})
        anyhow = self.course.annotators > 1 or self.course.strategy == WITHOUT_QUEUE
        generator = self._generator if anyhow else None
        while len(taken) < left and (place := next_place(places, solved, taken, generator)) is not None:
            self.chosen.append(place.row)
            taken.add(place.task)
            solved[place.cluster] += 1
            self.roles[place.role] += 1
            if place.hunt is not None:
                self.hunted[place.row] = self.course.order[0] if self.course.order else place.hunt
            if is_due(self.policy, len(self.chosen), len(self.candidates), before, len(places)):
                return


def labels_until(members: NDArray[np.bool_]) -> int | None:
    """How many of the rows, in their order, until each column has EXAMPLES of them; None where one has fewer."""
    complete = (np.cumsum(members, axis=0) >= EXAMPLES).all(1)
    return int(complete.argmax()) + 1 if complete.any() else None


def is_due(policy: Settings, answers: int, known: int, before: int, size: int) -> bool:
    """Whether the product would plan anew: of `known` texts `answers` are labelled by now, `before` were when `size`
    tasks were planned."""
    facts = QueueFacts(
        now=1e6,
        live=(0, answers),
        answers=answers,
        known=known,
        planned_at=0.0,
        planned_live=(0, before),
        planned_answers=before,
        planned_known=known,
        size=size,
        open=known - before,
    )
    return bool(why_plan(policy, facts))


STAGES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""Labels after which a head is fitted: it answers those that come until the next."""

POOL_ROWS = 4000
POOL_USED = 1000
BATCH = 64
BLIND, EXPLORED = 0.05, 0.05
"""Shares of an active order that are drawn at random, as the queue does by default."""


@dataclass(frozen=True)
class Trajectory:
    """After `counts[s]` labels row r (pool rows first, then test rows) is answered `answers[s, r]` with `confidences`,
    and `correct`. `order`: pool rows as they were labelled; `blind`, `explored`: which of these were drawn at random.
    `classes`: the true class of every row (-1 for sets and spans). `marks`, of texts with
    spans: see span_replays.py; then `answers` says how many are shown."""

    counts: NDArray[np.int64]
    order: NDArray[np.int64]
    blind: NDArray[np.bool_]
    explored: NDArray[np.bool_]
    confidences: NDArray[np.float32]
    correct: NDArray[np.bool_]
    answers: NDArray[np.int32]
    classes: NDArray[np.int32]
    pool: int
    marks: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def marked(self) -> bool:
        """Whether these are texts with spans."""
        return bool(self.marks.size)

    def save(self, path: Path) -> None:
        """Keep it for the next run."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> Trajectory:
        """Inverse of `save`."""
        with np.load(path, allow_pickle=False) as kept:
            facts: dict[str, Any] = {name: kept[name] if kept[name].ndim else int(kept[name]) for name in kept.files}
        return cls(**facts)


def open_rows(trajectory: Trajectory, stage: int) -> NDArray[np.int64]:
    """Rows without a label at this stage, test rows included."""
    taken = trajectory.order[: trajectory.counts[stage]]
    return np.setdiff1d(np.arange(trajectory.correct.shape[1]), taken)


def follow(
    data: Dataset, strategy: str, seed: int, base: Embedder, stages: Sequence[int] = STAGES, tell: Tell = print
) -> Trajectory:
    """One order of labelling, and what the heads said on its way."""
    rows = [sample for sample in shuffled(data.train, seed) if sample.labelled][:POOL_ROWS]
    counts = [count for count in stages if count <= len(rows) * 3 // 4]
    everything = [*rows, *data.test]
    texts = [sample.text for sample in everything]
    reader = LabelAwarePooling(base, data.control)
    encode_ahead(base, [part for text in texts for part in reader.parts_of(text)], tell, "all rows")
    features = reader.embed(texts)
    documents = [dict(zip(data.control.inputs, text, strict=True)) for text in texts[: min(len(rows), POOL_USED)]]
    queue, kept = Queue(len(rows), strategy, seed), []
    config: HeadConfig | None = None
    for count in counts:
        head = fit_head(
            data.control, [rows[i] for i in queue.order[:count]], documents, base, seed=seed, previous=config
        )
        config = head.config()
        scores = head.scores(texts, features)
        kept.append(_answers(data, head.rules, scores, everything))
        following = next((other for other in counts if other > count), count + BATCH)
        nobody = np.zeros(0, dtype=np.int64)
        pool = Pool(scores[: len(rows)], features[: len(rows), -1], nobody, data.multilabel, head.threshold)
        queue.grow(following, pool)
        tell(f"{strategy} seed {seed}: {count} labels, {kept[-1][1][len(rows) :].mean():.3f} right")
    return Trajectory(
        np.array(counts),
        np.array(queue.order),
        np.array(queue.blind),
        np.array(queue.explored),
        np.stack([stage[0] for stage in kept]),
        np.stack([stage[1] for stage in kept]),
        np.stack([stage[2] for stage in kept]),
        np.array([_class_of(data, sample) for sample in everything], dtype=np.int32),
        len(rows),
    )


class Queue:
    """Which row is labelled next: the strategy's, but for a blind and an explored share."""

    def __init__(self, rows: int, strategy: str, seed: int) -> None:
        self.strategy, self._random = strategy, np.random.default_rng(seed + 7919)
        share = self._random.random(rows)
        active = strategy != "random"
        self._aside = [
            list(np.flatnonzero((share < BLIND) & active)),
            list(np.flatnonzero((share >= BLIND) & (share < BLIND + EXPLORED) & active)),
        ]
        self._kept_out = {int(row) for rows in self._aside for row in rows}
        first = [row for row in range(rows) if row not in self._kept_out][: STAGES[0]]
        self.order: list[int] = first  # before the first head nobody can choose
        self.blind, self.explored = [False] * len(first), [False] * len(first)

    def grow(self, count: int, pool: Pool) -> None:
        """Choose until there are `count`, or nothing is left. `pool`: as it is seen now."""
        while len(self.order) < count:
            wanted = min(BATCH, count - len(self.order))
            gone = np.array(sorted({*self.order, *self._kept_out}), dtype=np.int64)
            chosen = choose(self.strategy, replace(pool, labelled=gone), wanted, len(self.order))
            if not len(chosen):
                return
            for row in chosen[:wanted]:
                self._take(int(row))

    def _take(self, row: int) -> None:
        for number, (share, rows) in enumerate(zip((BLIND, EXPLORED), self._aside, strict=True)):
            if rows and self._random.random() < share:
                self._note(int(rows.pop()), number == 0, number == 1)
        self._note(row, False, False)

    def _note(self, row: int, blind: bool, explored: bool) -> None:
        self.order.append(row)
        self.blind.append(blind)
        self.explored.append(explored)


def _answers(data: Dataset, rules: AnswerRules, scores: Floats, samples: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Confidence, correctness and the answer (a number for each distinct one) of every sample."""
    confidences, correct, answers = [], [], []
    numbers = {label: index for index, label in enumerate(rules.labels)}
    for row, sample in zip(scores, samples, strict=True):
        answer = decide(data.control, rules, row)
        chosen = answer.chosen if answer else ()
        confidences.append(answer.score if answer else 0.0)
        truth = {key for key, share in sample.target.items() if share >= 0.5}
        correct.append(set(chosen) == truth)
        several = data.control.multilabel
        answers.append(sum(1 << numbers[key] for key in chosen) if several else numbers[chosen[0]] if chosen else -1)
    return np.array(confidences, np.float32), np.array(correct), np.array(answers, np.int32)


def _class_of(data: Dataset, sample: Any) -> int:
    return -1 if data.multilabel else list(data.control.keys()).index(sample.top)
