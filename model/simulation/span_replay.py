"""Replays texts with marked spans through the span learner: what it would have known after n texts, for many n.

As `replay.py` does for choices: one curve belongs to one strategy and one seed, which shuffles the texts, and the
labels of a curve are nested.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from model.simulation.replay import CHUNK_TEXTS, ReplayPlan, Row, Tell, shuffled
from model.simulation.span_dataset import SpanDataset
from model.span import ScoredSpan, SpanDocument
from model.spans.features.feature_space import SCALE_TEXTS
from model.spans.features.reading import SpanReader
from model.spans.head.fit import ALWAYS_COLD
from model.spans.head.head import CLICKS, F1, Suggestions
from model.spans.head.learner import SpanLearner
from model.spans.quality import f1_by_novelty, measure

RANDOM, UNCERTAINTY = "random", "uncertainty"
SPAN_STRATEGIES = (RANDOM, UNCERTAINTY)
"""How the next texts are chosen: by chance, or where the head doubts most for the length of a text."""

PRIOR, NOTHING, HEAD = "transfer prior", "no prior", "span head"
"""What answers: before any label the prior, if it belongs to the encoder, and then the head."""

WARM_UP_TEXTS = 4


def open_learner(data: SpanDataset, reader: SpanReader) -> SpanLearner:
    """For the labels of a set. Features get their scale from its first texts, whatever the seed, as a project's do."""
    return SpanLearner.open(reader, data.labels, [one.text for one in data.train[:SCALE_TEXTS]])


class SpanReplay:
    """One curve, row by row."""

    def __init__(self, data: SpanDataset, plan: ReplayPlan, learner: SpanLearner, tell: Tell = lambda _: None) -> None:
        self.data, self.plan, self.learner, self.tell = data, plan, learner, tell
        self.candidates = shuffled(data.train, plan.seed)[: max(plan.pool, *plan.counts)]
        self.chosen: list[int] = []
        self.head = learner.cold()

    @property
    def documents(self) -> list[SpanDocument]:
        """What is labelled by now, in that order."""
        return [self.candidates[place] for place in self.chosen]

    def rows(self) -> Iterator[Row]:
        """One row per count of texts: the measures on the test texts, and what it took."""
        self._encode()
        self.learner.fit(self.candidates[:WARM_UP_TEXTS])  # untimed and unused: libraries load
        for count in self.plan.counts:
            self._grow(count)
            took = self._refit()
            yield {**self._measure(count), **took, "finetune_seconds": None, "finetune": ""}

    def _encode(self) -> None:
        used = self.candidates[: self.plan.counts[-1]] if self.plan.strategy == RANDOM else self.candidates
        for what, documents in (("the pool", used), ("the test texts", self.data.test)):
            texts = [document.text for document in documents]
            for start in range(0, len(texts), CHUNK_TEXTS):
                self.tell(f"encoding {what}: {start}/{len(texts)}")
                self.learner.embed(texts[start : start + CHUNK_TEXTS])

    def _grow(self, count: int) -> None:
        """Choose texts until there are `count`, batch by batch, by what the head so far says."""
        if self.plan.strategy == RANDOM:
            self.chosen = list(range(count))
            return
        texts = [document.text for document in self.candidates]
        while len(self.chosen) < count:
            if self.chosen and self.head.details.texts != len(self.chosen):
                self.head = self.learner.fit(self.documents, self.head)
            self.tell(f"choosing {len(self.chosen)}/{count}")
            wanted = min(self.plan.batch - len(self.chosen) % self.plan.batch, count - len(self.chosen))
            self.chosen += most_uncertain(self.learner.spans(self.head, texts), self.chosen, wanted)

    def _refit(self) -> Row:
        """The head on all texts, as the learner comes to it: from the head that knew all but the last of them. What
        that refit took, and what the last one from nothing did."""
        documents, cold = self.documents, None
        if len(documents) > ALWAYS_COLD:
            began = time.perf_counter()
            self.head = self.learner.fit(documents[:-1], self.head)
            cold = time.perf_counter() - began if self.head.details.cold == len(documents) - 1 else None
        began = time.perf_counter()
        self.head = self.learner.fit(documents, self.head)
        seconds = time.perf_counter() - began
        if self.head.details.cold == len(documents):
            cold = seconds
        return {"refit_seconds": round(seconds, 4), "cold_seconds": None if cold is None else round(cold, 4)}

    def _measure(self, count: int) -> Row:
        self.tell(f"measuring {count} texts")
        texts, drawn = [one.text for one in self.data.test], [one.spans for one in self.data.test]
        best, shown = (self._shown(texts, aim) for aim in (F1, CLICKS))
        found, spared = measure(best, drawn), measure(shown, drawn)
        seen, unseen = f1_by_novelty(best, self.data.test, self.documents)
        measures = {
            **{"f1": found.f1, "macro_f1": found.macro_f1, "saved": spared.saved, "ece": spared.ece},
            **{"f1_seen": seen, "f1_unseen": unseen},
        }
        return {
            "strategy": self.plan.strategy,
            "n": count,
            "seed": self.plan.seed,
            **{name: round(value, 6) for name, value in measures.items()},
            "method": HEAD if count else PRIOR if self.head.prior is not None else NOTHING,
            "classes": len(self.data.labels),
            "classes_seen": len({span.label for document in self.documents for span in document.spans}),
            "words": sum(len(text.bounds) for text in self.learner.embed([one.text for one in self.documents])),
            "test_rows": len(self.data.test),
        }

    def _shown(self, texts: Sequence[str], aim: str) -> list[tuple[ScoredSpan, ...]]:
        return [own.spans for own in self.learner.spans(self.head, texts, aim)]


def most_uncertain(suggestions: Sequence[Suggestions], chosen: Sequence[int], count: int) -> list[int]:
    """The texts not chosen yet of which the head doubts most; ties in their order."""
    doubts = np.array([own.uncertainty for own in suggestions])
    doubts[np.asarray(chosen, dtype=int)] = -1.0
    return [int(place) for place in np.argsort(-doubts, kind="stable")[:count]]
