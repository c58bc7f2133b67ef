"""One labelling project replayed through the real queue: batches are planned, Label Studio's rule hands tasks out.

A simulated annotator takes `next_place`, the learner refits and the queue is planned anew when
`backend/rules/queue_due.py` would: when half of the batch is used, or the labels have grown by a tenth and by 8 at
least. A replay has no clock, so QUEUE_SECONDS do not count. Every plan is a point of the curve.

`random` is Label Studio's own random sampling, without a queue: any unlabelled task. Through the queue a random batch
is no longer random, the least confident of it go first: that is `queued_random`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.rules.queue_due import QueueFacts, why_plan
from backend.settings.settings import Settings
from model.acquisition.batch import QueueEntry, next_place, plan_batch
from model.acquisition.strategies import confidences
from model.decoding.evaluate_answers import measure
from model.head.fit import fit_head
from model.interfaces import Embedder
from model.simulation.dataset import Dataset
from model.simulation.replay import Replay, ReplayPlan, Tell
from model.versions.live_model import LiveModel

Row = dict[str, Any]

WITHOUT_QUEUE, QUEUED = "random", "queued_random"

SEARCH_GROWTH = 1.5
"""Growth in labels after which the head's choices are searched for again. The product does at a tenth, which would take
most of the bench's time; between searches both repeat them."""


@dataclass(frozen=True)
class Course:
    """One replay: who chooses, from how many rows, up to how many labels; with several annotators Label Studio hands
    out any of the batch."""

    strategy: str
    seed: int
    pool: int = 4000
    most: int = 1000
    annotators: int = 1


class QueueReplay(Replay):
    """The curve of one course."""

    def __init__(
        self, data: Dataset, course: Course, base: Embedder, policy: Settings, tell: Tell = lambda _: None
    ) -> None:
        super().__init__(data, ReplayPlan((course.pool,), course.strategy, course.seed, course.pool), base, tell=tell)
        self.course, self.policy = course, policy
        self.roles: Counter[str] = Counter()
        self._generator = np.random.default_rng(course.seed)

    def points(self) -> Iterator[Row]:
        """One row per plan, until `course.most` labels or nothing is left; the caller may stop sooner."""
        while True:
            self._learn()
            yield self._point()
            left = min(self.course.most, len(self.candidates)) - len(self.chosen)
            if left <= 0:
                return
            self._annotate(self._plan_queue(), left)

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
        return float(found.get("micro_f1", found["accuracy"]))

    def _learn(self) -> None:
        searched = self.model.configs[self.control.name].searched if self.model else 0
        self._refit(repeat=0 < len(self.chosen) <= SEARCH_GROWTH * searched)

    def _point(self) -> Row:
        found = self._measure(len(self.chosen), 0.0)
        kept = ("strategy", "n", "seed", "macro_f1", "ece", "classes_seen")
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
        )

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
            if self._is_due(before, len(places)):
                return

    def _is_due(self, before: int, size: int) -> bool:
        facts = QueueFacts(
            now=1e6,
            live=(0, len(self.chosen)),
            answers=len(self.chosen),
            known=len(self.candidates),
            planned_at=0.0,
            planned_live=(0, before),
            planned_answers=before,
            planned_known=len(self.candidates),
            size=size,
            open=len(self.candidates) - before,
        )
        return bool(why_plan(self.policy, facts))
