"""Ours and the peers as the bench of spans runs them: fitted to n texts, asked for the test texts."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.features.cache import FeatureCache
from model.numerics.float16 import widen
from model.spans.chain.tags import TagSet, WordSpan
from model.spans.features.feature_space import StateScale
from model.spans.features.hand_features import hand_features
from model.spans.features.reading import ReadText, SpanReader, TokenEncoder
from model.spans.head.fit import ALWAYS_COLD, SpanExample, fit_span_head
from model.spans.head.head import CLICKS, F1
from model.spans.head.learner import SpanLearner
from model.spans.span import ScoredSpan, SpanDocument
from model.spans.string_memory import MemoryBuilder, occurrences
from model.spans.transfer.prior import read_prior
from model.spans.words import apart, to_characters, word_spans

Shown = list[list[ScoredSpan]]

POOL_TEXTS = 600


@dataclass(frozen=True)
class Bench:
    """One set: the pool that is labelled, the test texts, and how both are read."""

    name: str
    pool: list[SpanDocument]
    test: list[SpanDocument]
    learner: SpanLearner
    last: SpanReader

    @classmethod
    def open(
        cls, name: str, pool: list[SpanDocument], test: list[SpanDocument], encoder: TokenEncoder, cache: FeatureCache
    ) -> Bench:
        """Reads what all methods need; the labels are those of the whole pool, as a labelling config names them."""
        labels = sorted({span.label for document in pool for span in document.spans})
        reader = SpanReader(encoder, read_prior(), cache)
        texts = [document.text for document in pool]
        learner = SpanLearner.open(reader, labels, texts[:POOL_TEXTS])
        reader.read([*texts, *(document.text for document in test)])
        return cls(name, pool, test, learner, SpanReader(encoder, None, cache, depths=(1.0,)))

    def read(self, documents: Sequence[SpanDocument]) -> list[ReadText]:
        """From the cache."""
        return self.learner.embed([document.text for document in documents])


@dataclass(frozen=True)
class Answer:
    """What a method shows: for the F1 figure, and for the annotator's clicks. Seconds are CPU time of one refit: from
    nothing, and warm from the head of one text less."""

    f1: Shown
    clicks: Shown
    seconds: float
    warm_seconds: float | None = None


Method = Callable[[Bench, Sequence[SpanDocument]], Answer]


def ours(bench: Bench, documents: Sequence[SpanDocument]) -> Answer:
    """The span head."""
    examples = [
        SpanExample(text, document.spans) for text, document in zip(bench.read(documents), documents, strict=True)
    ]
    began = time.process_time()
    head = fit_span_head(bench.learner.basis, examples)
    seconds = time.process_time() - began
    test = bench.read(bench.test)
    shown = {aim: [list(own.spans) for own in head.spans(test, aim)] for aim in (F1, CLICKS)}
    return Answer(shown[F1], shown[CLICKS], seconds, _warm(bench, examples))


def _warm(bench: Bench, examples: Sequence[SpanExample]) -> float | None:
    """Seconds of the refit that a further label brings; None where that is one from nothing."""
    if len(examples) <= ALWAYS_COLD:
        return None
    before = fit_span_head(bench.learner.basis, examples[:-1], calibrate=False)
    began = time.process_time()
    fit_span_head(bench.learner.basis, examples, before)
    return time.process_time() - began


def string_memory(bench: Bench, documents: Sequence[SpanDocument]) -> Answer:
    """Strings that were marked more often than not are marked again."""
    began = time.process_time()
    builder = MemoryBuilder()
    for text, document in zip(bench.read(documents), documents, strict=True):
        builder.learn(_folded(text), apart(word_spans(text.bounds, document.spans)))
    memory = builder.memory()
    seconds = time.process_time() - began
    shown: Shown = []
    for text in bench.read(bench.test):
        words, own, end = _folded(text), list[ScoredSpan](), -1
        for first, last in occurrences(words, memory.marked, memory.lengths):
            key = tuple(words[first : last + 1])
            label, count = Counter(memory.marked[key]).most_common(1)[0]
            score = count / (sum(memory.marked[key].values()) + memory.unmarked.get(key, 0) + 0.5)
            if first > end and score > 0.5:
                own.append(_scored(text, WordSpan(first, last, label), score))
                end = last
        shown.append(own)
    return Answer(shown, shown, seconds)


def _folded(text: ReadText) -> list[str]:
    return [word.lower() for word in text.words]


def hand_crf(bench: Bench, documents: Sequence[SpanDocument]) -> Answer:
    """crfsuite on the same hand features."""
    import pycrfsuite

    texts = bench.read(documents)
    began = time.process_time()
    trainer = pycrfsuite.Trainer(verbose=False, algorithm="lbfgs")
    trainer.set_params({"c1": 0.05, "c2": 0.05, "max_iterations": 60, "feature.possible_transitions": True})
    for text, document in zip(texts, documents, strict=True):
        if text.bounds:
            trainer.append(_strings(text), _tag_names(text, document))
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        path = f"{scratch}/model.crfsuite"
        trainer.train(path)
        seconds = time.process_time() - began
        tagger = pycrfsuite.Tagger()
        tagger.open(path)
        shown = [_from_names(text, tagger.tag(_strings(text))) for text in bench.read(bench.test)]
    return Answer(shown, shown, seconds)


def _strings(text: ReadText) -> list[list[str]]:
    features = hand_features([text])
    parts = np.split(features.codes, features.ends[:-1]) if len(features.ends) else []
    return [[str(code) for code in own] for own in parts]


def _tag_names(text: ReadText, document: SpanDocument) -> list[str]:
    names = ["O"] * len(text.bounds)
    for mark in apart(word_spans(text.bounds, document.spans)):
        names[mark.first] = f"B {mark.label}"
        names[mark.first + 1 : mark.last + 1] = [f"I {mark.label}"] * (mark.last - mark.first)
    return names


def _from_names(text: ReadText, names: Sequence[str]) -> list[ScoredSpan]:
    marks: list[WordSpan] = []
    for word, name in enumerate(names):
        kind, _, label = name.partition(" ")
        open_mark = marks[-1] if marks and marks[-1].last == word - 1 else None
        if kind == "I" and open_mark is not None and open_mark.label == label:
            marks[-1] = open_mark._replace(last=word)
        elif kind != "O":
            marks.append(WordSpan(word, word, label))
    return [_scored(text, mark, 1.0) for mark in marks]


def last_layer(bench: Bench, documents: Sequence[SpanDocument]) -> Answer:
    """Logistic regression on each word's state of the last layer: what reusing a classifier's embedding would give."""
    from sklearn.linear_model import LogisticRegression

    tags = TagSet(bench.learner.basis.labels)
    texts = bench.last.read([document.text for document in documents])
    scale = StateScale.measure(bench.last.read([own.text for own in bench.pool[:POOL_TEXTS]]), bench.last.width)
    rows = zip(texts, documents, strict=True)
    gold = np.concatenate([tags.encode(len(t.bounds), apart(word_spans(t.bounds, d.spans))) for t, d in rows])
    began = time.process_time()
    inputs = _scaled(texts, scale)
    if len(set(gold.tolist())) < 2:
        nothing: Shown = [[] for _ in bench.test]
        return Answer(nothing, nothing, time.process_time() - began)
    model = LogisticRegression(C=1.0, max_iter=60, tol=1e-3)
    with np.errstate(all="ignore"):
        model.fit(inputs, gold)
    seconds = time.process_time() - began
    shown: Shown = []
    test = bench.last.read([document.text for document in bench.test])
    probabilities = model.predict_proba(_scaled(test, scale))
    first = 0
    for text in test:
        own = probabilities[first : first + len(text.bounds)]
        first += len(own)
        best = model.classes_[own.argmax(1)] if len(own) else []
        legal = [int(tag) - (tags.kinds[tag] == 2) * (not _goes_on(best, word)) for word, tag in enumerate(best)]
        tops = own.max(1) if len(own) else []
        marks = tags.decode(legal)
        shown.append([_scored(text, mark, float(np.mean(tops[mark.first : mark.last + 1]))) for mark in marks])
    return Answer(shown, shown, seconds)


def _goes_on(tags: Sequence[int], word: int) -> bool:
    """Whether a tag of going on follows one of its own label."""
    return word > 0 and (tags[word - 1] + 1) // 2 == (tags[word] + 1) // 2


def _scaled(texts: Sequence[ReadText], scale: StateScale) -> Any:
    states = widen(np.concatenate([text.states for text in texts]))
    return (states - scale.mean) / scale.spread / np.float32(np.sqrt(states.shape[1])) * 4


def _scored(text: ReadText, mark: WordSpan, score: float) -> ScoredSpan:
    span = to_characters(text.bounds, mark)
    return ScoredSpan(span.start, span.end, span.label, score)


METHODS: dict[str, Method] = {
    "understudy": ours,
    "string memory": string_memory,
    "hand-feature CRF": hand_crf,
    "last-layer softmax": last_layer,
}
