"""Replays texts with marked spans through the real learner: what it would have known after n texts, for many n.

As `replay.py` does for choices: one curve belongs to one strategy and one seed, which shuffles the texts, and the
labels of a curve are nested.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from model.acquisition import strategies as acquisition
from model.acquisition.span_doubts import marked_pool, mean_state
from model.numerics.arrays import Floats
from model.questions.asked import AskedText
from model.questions.head import QuestionHead
from model.simulation.replay import CHUNK_TEXTS, POOL_USED, ReplayPlan, Row, Tell, Tuned, shuffled
from model.simulation.span_dataset import SpanDataset
from model.span import ScoredSpan, Span, SpanDocument, SpanSample, SpanSamples
from model.spans.features.reading import ReadText
from model.spans.head.fit import ALWAYS_COLD
from model.spans.head.head import CLICKS, F1, SpanHead, Suggestions
from model.spans.quality import f1_by_novelty, measure
from model.spec import Control, Input, Kind, Label, TaskSpec
from model.versions.live_model import LiveModel
from model.versions.span_answers import MarkHead, SpanTools, cold_span_heads, fit_span_heads

SPAN_STRATEGIES = ("random", "margin", "margin_clusters", "typiclust", "typical_first", "coreset", "badge")
"""Of all strategies; the others order texts as `margin` does: there is one number, the head's doubt in a text."""

PRIOR, NOTHING, HEAD = "transfer prior", "no prior", "span head"
STARTING, TAUGHT, ANSWERS = "starting weights", "base model's head", "question head"
"""What answers: before any label the prior, if it belongs to the encoder, of questions what is known of any or the base
model's own head; and then the head."""

WARM_UP_TEXTS = 4

CONTROL, INPUT, QUESTION = "label", "text", "question"


def spec_of(data: SpanDataset) -> TaskSpec:
    """A project with one control that marks one text, or the answers to a question about it."""
    labels = tuple(Label((name,), data.words.get(name, name)) for name in data.labels)
    read = (INPUT, QUESTION) if data.asks else (INPUT,)
    control = Control(CONTROL, Kind.SPANS, read, labels, "Labels")
    return TaskSpec(tuple(Input(name, "Text", f"${name}") for name in read), (), spans=(control,))


class SpanTrainer(Protocol):
    """Fine-tunes when the policy says so."""

    def why_marked_due(self, texts: int, trained: int | None) -> str:
        """Why to fine-tune with so many texts, the last time being with `trained`; "" for not now."""
        ...

    def tune_marks(self, spec: TaskSpec, samples: SpanSamples, pool: Sequence[dict[str, str]], seed: int) -> Tuned:
        """One training and its verdict."""
        ...


Head = TypeVar("Head", SpanHead, QuestionHead)

TUNED, UNGATED = "fine-tuned", "fine-tuned, whatever the gate says"
"""Methods of the rows of a replay with a trainer: with what is published, and with what a training came to."""


class MarkReplay(ABC, Generic[Head]):
    """One curve, row by row. With a `trainer` of what is published; `ungated`: a second row a count, of what a training
    came to."""

    def __init__(
        self,
        data: SpanDataset,
        plan: ReplayPlan,
        tools: SpanTools,
        tell: Tell = lambda _: None,
        trainer: SpanTrainer | None = None,
        *,
        ungated: bool = False,
    ) -> None:
        self.data, self.plan, self.tools, self.tell = data, plan, tools, tell
        self.trainer, self.ungated = trainer, ungated
        self.trained: int | None = None
        self.live: LiveModel | None = None
        self.spec = spec_of(data)
        order = shuffled(data.train, plan.seed)
        self.candidates = order[: max(plan.pool, *plan.counts)]
        self.pool = [document_of(one) for one in order[: min(plan.pool, POOL_USED)]]
        self.chosen: list[int] = []
        self.head: Head = self.of_kind(cold_span_heads(self.spec, tools)[CONTROL])
        self._features: Floats | None = None

    @staticmethod
    @abstractmethod
    def of_kind(head: MarkHead) -> Head:
        """The head, which is one of this kind of control."""

    @abstractmethod
    def read(self, documents: Sequence[SpanDocument]) -> list[ReadText]:
        """The texts as words."""

    @abstractmethod
    def look(self, documents: Sequence[SpanDocument]) -> tuple[list[Suggestions], list[ReadText]]:
        """What the head alone says of each, and what it is compared with others by."""

    @abstractmethod
    def method(self, count: int) -> str:
        """What answers with so many labels, without a fine-tune."""

    @property
    def documents(self) -> list[SpanDocument]:
        """What is labelled by now, in that order."""
        return [self.candidates[place] for place in self.chosen]

    @property
    def unseen(self) -> float:
        """The share of the labels that nobody has marked yet, where that says what to look at."""
        return 0.0

    def rows(self) -> Iterator[Row]:
        """One row per count of texts: the measures on the test texts, and what it took."""
        self._encode()
        self.fit(self.candidates[:WARM_UP_TEXTS])  # untimed and unused: libraries load
        for count in self.plan.counts:
            self._grow(count)
            took = self._refit()
            if self.trainer is None:
                yield {**self._measure(count), **took, "finetune_seconds": None, "finetune": ""}
            else:
                yield from self._tuned_rows(count, took)

    def _samples(self, documents: Sequence[SpanDocument]) -> list[SpanSample]:
        return [SpanSample(number, one.text, one.spans, question=one.question) for number, one in enumerate(documents)]

    def fit(self, documents: Sequence[SpanDocument], previous: Head | None = None) -> Head:
        """The head of these texts, gone on from `previous` where that is enough."""
        samples = self._samples(documents)
        before = {CONTROL: previous} if previous is not None else None
        return self.of_kind(fit_span_heads(self.spec, {CONTROL: samples}, self.pool, self.tools, before)[CONTROL])

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
        if not self.ungated:
            yield {**self._measure(count, self.live), **told}
            return
        for method, model in ((TUNED, self.live), (UNGATED, ungated)):
            if method == TUNED or model is not None:
                yield {**self._measure(count, model), **told, "method": method}

    def suggest(self, documents: Sequence[SpanDocument], aim: str, model: LiveModel | None) -> list[Suggestions]:
        """What the head shows as it is, with what a fine-tuned model adds to it."""
        own = LiveModel(
            "replay",
            self.spec,
            {},
            self.tools.reader.encoder,
            model.finetuned if model is not None else None,
            model.tuned if model is not None else None,
            span_heads={CONTROL: self.head},
            tools=replace(self.tools, aim=aim),
        )
        pairs = [(one.text, one.question or "") for one in documents]
        return [found for _, found in own.look(CONTROL, pairs)]

    def _encode(self) -> None:
        last = self.plan.counts[-1] if self.plan.strategy == "random" else len(self.candidates)
        pool = self.candidates[: max(last, len(self.pool))]
        for what, own in (("the pool", pool), ("the test texts", list(self.data.test))):
            for start in range(0, len(own), CHUNK_TEXTS):
                self.tell(f"encoding {what}: {start}/{len(own)}")
                self.read(own[start : start + CHUNK_TEXTS])

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
            found, read = self.look(self.candidates[start : start + CHUNK_TEXTS])
            doubts += [own.uncertainty for own in found]
            states += [mean_state(text) for text in read] if self._features is None else []
        if self._features is None:
            self._features = np.stack(states)
        return marked_pool(doubts, self._features, np.array(self.chosen, dtype=int), self.unseen)

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

    def _measure(self, count: int, model: LiveModel | None = None) -> Row:
        self.tell(f"measuring {count} texts")
        tests = list(self.data.test)
        best, shown = ([own.spans for own in self.suggest(tests, aim, model)] for aim in (F1, CLICKS))
        found, spared = measure(best, _wanted(tests, best)), measure(shown, _wanted(tests, shown))
        seen, unseen = f1_by_novelty(best, tests, self.documents)
        measures = {
            **{"f1": found.f1, "macro_f1": found.macro_f1, "saved": spared.saved, "ece": spared.ece},
            **{"f1_seen": seen, "f1_unseen": unseen},
        }
        tuned = model is not None and model.is_blend(CONTROL)
        return {
            "strategy": self.plan.strategy,
            "n": count,
            "seed": self.plan.seed,
            **{name: round(value, 6) for name, value in measures.items()},
            "method": f"{self.method(count)} + fine-tune" if tuned else self.method(count),
            "classes": len(self.data.labels),
            "classes_seen": len({span.label for document in self.documents for span in document.spans}),
            "words": sum(len(text.bounds) for text in self.read(self.documents)),
            "test_rows": len(self.data.test),
        }


class SpanReplay(MarkReplay[SpanHead]):
    """Of texts with marked spans."""

    @staticmethod
    def of_kind(head: MarkHead) -> SpanHead:
        assert isinstance(head, SpanHead)
        return head

    def read(self, documents: Sequence[SpanDocument]) -> list[ReadText]:
        return self.tools.reader.read([one.text for one in documents])

    def look(self, documents: Sequence[SpanDocument]) -> tuple[list[Suggestions], list[ReadText]]:
        read = self.read(documents)
        return self.head.spans(read, self.tools.aim), read

    def method(self, count: int) -> str:
        return HEAD if count else PRIOR if self.head.prior is not None else NOTHING

    @property
    def unseen(self) -> float:
        return self.head.unseen(self.data.labels)


class QuestionReplay(MarkReplay[QuestionHead]):
    """Of questions about passages."""

    @staticmethod
    def of_kind(head: MarkHead) -> QuestionHead:
        assert isinstance(head, QuestionHead)
        return head

    def read(self, documents: Sequence[SpanDocument]) -> list[ReadText]:
        return [own.passage for own in self._read_pairs(documents)]

    def look(self, documents: Sequence[SpanDocument]) -> tuple[list[Suggestions], list[ReadText]]:
        read = self._read_pairs(documents)
        return self.head.spans(read, self.tools.aim), [own.question for own in read]

    def method(self, count: int) -> str:
        taught = self.tools.questions.is_taught
        return ANSWERS if count else TAUGHT if taught else STARTING

    def _read_pairs(self, documents: Sequence[SpanDocument]) -> list[AskedText]:
        return self.tools.questions.read([(one.text, one.question or "") for one in documents])


def replay_of(
    data: SpanDataset,
    plan: ReplayPlan,
    tools: SpanTools,
    tell: Tell = lambda _: None,
    trainer: SpanTrainer | None = None,
) -> SpanReplay | QuestionReplay:
    """The replay of data of their kind."""
    return (QuestionReplay if data.asks else SpanReplay)(data, plan, tools, tell, trainer)


def document_of(one: SpanDocument) -> dict[str, str]:
    """What is read of it."""
    return {INPUT: one.text} if one.question is None else {INPUT: one.text, QUESTION: one.question}


def _wanted(tests: Sequence[SpanDocument], shown: Sequence[Sequence[ScoredSpan]]) -> list[Collection[Span]]:
    """What is right: all spans; of the answers to a question one for each label, that which is shown if it is one."""
    found: list[Collection[Span]] = []
    for one, own in zip(tests, shown, strict=True):
        if one.question is None:
            found.append(one.spans)
            continue
        hits = {span.span.label: span.span for span in own if span.span in one.spans}
        first = {span.label: span for span in reversed(one.spans)}
        found.append(tuple({**first, **hits}.values()))
    return found
