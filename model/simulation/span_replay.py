"""Replays texts with marked spans through the real learner: what it would have known after n texts, for many n.

As `replay.py` does for choices: one curve belongs to one strategy and one seed, which shuffles the texts, and the
labels of a curve are nested.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from model.acquisition import strategies as acquisition
from model.acquisition.span_doubts import marked_pool, mean_state
from model.numerics.arrays import Floats
from model.simulation.replay import CHUNK_TEXTS, POOL_USED, ReplayPlan, Row, Tell, Tuned, shuffled
from model.simulation.span_dataset import SpanDataset
from model.span import SpanDocument, SpanSample, SpanSamples
from model.spans.head.fit import ALWAYS_COLD
from model.spans.head.head import CLICKS, F1, SpanHead
from model.spans.quality import f1_by_novelty, measure
from model.spec import Control, Input, Kind, Label, TaskSpec
from model.versions.live_model import LiveModel
from model.versions.span_answers import MarkHead, SpanAnswerer, SpanTools, cold_span_heads, fit_span_heads

SPAN_STRATEGIES = ("random", "margin", "margin_clusters", "typiclust", "typical_first", "coreset", "badge")
"""Of all strategies; the others order texts as `margin` does: there is one number, the head's doubt in a text."""

PRIOR, NOTHING, HEAD = "transfer prior", "no prior", "span head"
"""What answers: before any label the prior, if it belongs to the encoder, and then the head."""

WARM_UP_TEXTS = 4

CONTROL, INPUT = "label", "text"


def spec_of(data: SpanDataset) -> TaskSpec:
    """A project with one control that marks one text."""
    labels = tuple(Label((name,), data.words.get(name, name)) for name in data.labels)
    control = Control(CONTROL, Kind.SPANS, (INPUT,), labels, "Labels")
    return TaskSpec((Input(INPUT, "Text", f"${INPUT}"),), (), spans=(control,))


def _marking(head: MarkHead) -> SpanHead:
    """The head of a control that asks nothing."""
    assert isinstance(head, SpanHead)
    return head


class SpanTrainer(Protocol):
    """Fine-tunes when the policy says so."""

    def why_marked_due(self, texts: int, trained: int | None) -> str:
        """Why to fine-tune with so many texts, the last time being with `trained`; "" for not now."""
        ...

    def tune_marks(self, spec: TaskSpec, samples: SpanSamples, pool: Sequence[dict[str, str]], seed: int) -> Tuned:
        """One training and its verdict."""
        ...


TUNED, UNGATED = "fine-tuned", "fine-tuned, whatever the gate says"
"""Methods of the rows of a replay with a trainer: with what is published, and with what a training came to."""


class SpanReplay:
    """One curve, row by row; with a `trainer` of what a fine-tune comes to, two rows a count."""

    def __init__(
        self,
        data: SpanDataset,
        plan: ReplayPlan,
        tools: SpanTools,
        tell: Tell = lambda _: None,
        trainer: SpanTrainer | None = None,
    ) -> None:
        self.data, self.plan, self.tools, self.tell = data, plan, tools, tell
        self.trainer = trainer
        self.trained: int | None = None
        self.live: LiveModel | None = None
        self.spec = spec_of(data)
        order = shuffled(data.train, plan.seed)
        self.candidates = order[: max(plan.pool, *plan.counts)]
        self.pool = [{INPUT: one.text} for one in order[: min(plan.pool, POOL_USED)]]
        self.chosen: list[int] = []
        self.head = _marking(cold_span_heads(self.spec, tools)[CONTROL])
        self._features: Floats | None = None

    @property
    def documents(self) -> list[SpanDocument]:
        """What is labelled by now, in that order."""
        return [self.candidates[place] for place in self.chosen]

    def rows(self) -> Iterator[Row]:
        """One row per count of texts: the measures on the test texts, and what it took."""
        self._encode()
        self.fit(self.candidates[:WARM_UP_TEXTS])  # untimed and unused: libraries load
        for count in self.plan.counts:
            self._grow(count)
            took = self._refit()
            if self.trainer is None:
                yield {**self._measure(count, self._answerer()), **took, "finetune_seconds": None, "finetune": ""}
            else:
                yield from self._tuned_rows(count, took)

    def _samples(self, documents: Sequence[SpanDocument]) -> list[SpanSample]:
        return [SpanSample(number, one.text, one.spans) for number, one in enumerate(documents)]

    def fit(self, documents: Sequence[SpanDocument], previous: SpanHead | None = None) -> SpanHead:
        """The head of these texts, gone on from `previous` where that is enough."""
        samples = self._samples(documents)
        before = {CONTROL: previous} if previous is not None else None
        return _marking(fit_span_heads(self.spec, {CONTROL: samples}, self.pool, self.tools, before)[CONTROL])

    def _tuned_rows(self, count: int, took: Row) -> Iterator[Row]:
        """A training on the texts so far, if it is due: what the gate makes of it, and what it would have been."""
        assert self.trainer is not None
        told: Row = {**took, "finetune_seconds": None, "finetune_cpu_seconds": None, "finetune": ""}
        ungated = None
        if self.trainer.why_marked_due(count, self.trained):
            samples = {CONTROL: self._samples(self.documents)}
            found = self.trainer.tune_marks(self.spec, samples, self.pool, self.plan.seed)
            self.trained = count
            told |= {"finetune_seconds": round(found.seconds, 3), "finetune_cpu_seconds": round(found.cpu_seconds, 3)}
            told["finetune"] = found.reason
            self.live = found.model or (None if found.outdone else self.live)
            ungated = found.model or found.refused
        for method, model in ((TUNED, self.live), (UNGATED, ungated)):
            if method == TUNED or model is not None:
                yield {**self._measure(count, self._answerer(model)), **told, "method": method}

    def _answerer(self, model: LiveModel | None = None) -> SpanAnswerer:
        """The head as it is, with what a fine-tuned model adds to it."""
        own = SpanAnswerer(self.head, self.tools)
        return own if model is None else replace(model.answerer(CONTROL), head=self.head, tools=self.tools)

    def _encode(self) -> None:
        pool = [document[INPUT] for document in self.pool]
        last = self.plan.counts[-1] if self.plan.strategy == "random" else len(self.candidates)
        texts = list(dict.fromkeys([*pool, *(one.text for one in self.candidates[:last])]))
        for what, own in (("the pool", texts), ("the test texts", [one.text for one in self.data.test])):
            for start in range(0, len(own), CHUNK_TEXTS):
                self.tell(f"encoding {what}: {start}/{len(own)}")
                self.tools.reader.read(own[start : start + CHUNK_TEXTS])

    def _grow(self, count: int) -> None:
        """Choose texts until there are `count`, batch by batch, by what the head so far says."""
        if self.plan.strategy == "random":
            self.chosen = list(range(count))
            return
        while len(self.chosen) < count:
            if self.head.details.texts != len(self.chosen):
                self.head = self.fit(self.documents, self.head)
            self.tell(f"choosing {len(self.chosen)}/{count}")
            wanted = min(self.plan.batch - len(self.chosen) % self.plan.batch, count - len(self.chosen))
            seed = self.plan.seed * 1_000_003 + len(self.chosen)
            self.chosen += acquisition.choose(self.plan.strategy, self._view(), wanted, seed).tolist()

    def _view(self) -> acquisition.Pool:
        """The candidates as the present head sees them, as the queue does."""
        doubts, states = [], []
        for start in range(0, len(self.candidates), CHUNK_TEXTS):
            read = self.tools.reader.read([one.text for one in self.candidates[start : start + CHUNK_TEXTS]])
            doubts += [own.uncertainty for own in self.head.spans(read, self.tools.aim)]
            states += [mean_state(text) for text in read] if self._features is None else []
        if self._features is None:
            self._features = np.stack(states)
        unseen = self.head.unseen(self.data.labels)
        return marked_pool(doubts, self._features, np.array(self.chosen, dtype=int), unseen)

    def _refit(self) -> Row:
        """The head on all texts, as the learner comes to it: from the head that knew all but the last of them. What
        that refit took, and what the last one from nothing did."""
        documents, cold = self.documents, None
        if len(documents) > ALWAYS_COLD:
            began = time.perf_counter()
            self.head = self.fit(documents[:-1], self.head)
            cold = time.perf_counter() - began if self.head.details.cold == len(documents) - 1 else None
        began = time.perf_counter()
        self.head = self.fit(documents, self.head)
        seconds = time.perf_counter() - began
        if self.head.details.cold == len(documents):
            cold = seconds
        return {"refit_seconds": round(seconds, 4), "cold_seconds": None if cold is None else round(cold, 4)}

    def _measure(self, count: int, answerer: SpanAnswerer) -> Row:
        self.tell(f"measuring {count} texts")
        read, drawn = self.tools.reader.read([one.text for one in self.data.test]), [o.spans for o in self.data.test]
        aimed = (replace(answerer, tools=replace(self.tools, aim=aim)) for aim in (F1, CLICKS))
        best, shown = ([own.spans for own in one.suggest(read)] for one in aimed)
        found, spared = measure(best, drawn), measure(shown, drawn)
        seen, unseen = f1_by_novelty(best, self.data.test, self.documents)
        measures = {
            **{"f1": found.f1, "macro_f1": found.macro_f1, "saved": spared.saved, "ece": spared.ece},
            **{"f1_seen": seen, "f1_unseen": unseen},
        }
        words = self.tools.reader.read([one.text for one in self.documents])
        return {
            "strategy": self.plan.strategy,
            "n": count,
            "seed": self.plan.seed,
            **{name: round(value, 6) for name, value in measures.items()},
            "method": HEAD if count else PRIOR if self.head.prior is not None else NOTHING,
            "classes": len(self.data.labels),
            "classes_seen": len({span.label for document in self.documents for span in document.spans}),
            "words": sum(len(text.bounds) for text in words),
            "test_rows": len(self.data.test),
        }
