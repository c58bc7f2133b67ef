"""Spans: ours beside string memory, a CRF on hand features and a softmax on the last layer, against the goals.

    python -m bench.spans [--data DIR] [--sets wikigold,snips] [--labels 0,4,8,16,64,256,1000]
                            [--seeds 11,12,13] [--methods understudy] [--results R.jsonl] [--json]
    python -m bench.spans --report R.jsonl

DIR holds a folder a set with train.jsonl and test.jsonl. Every row is appended to --results as soon as it is measured;
rows that are there are not measured again. The pool is the first 1,000 texts of train.jsonl, the test the first 500 of
test.jsonl. F1 is that of the spans shown when F1 is the aim; saved edits and ECE are of those shown to annotators. F1
of seen strings counts spans whose text (in lower case) was marked with the same label among the labelled texts.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.learning import read_results
from bench.support.report import command, numbers, show
from model.encoder.encoder import Encoder, find_base_model
from model.features.cache import FeatureCache
from model.numerics.float16 import widen
from model.span import ScoredSpan, Span, SpanDocument
from model.spans.chain.tags import TagSet, WordSpan
from model.spans.documents import read_documents
from model.spans.features.feature_space import StateScale
from model.spans.features.hand_features import hand_features
from model.spans.features.reading import ReadText, SpanReader, TokenEncoder
from model.spans.head.fit import ALWAYS_COLD, SpanExample, fit_span_head
from model.spans.head.head import CLICKS, F1
from model.spans.head.learner import SpanLearner
from model.spans.quality import f1_of, measure
from model.spans.string_memory import MemoryBuilder, occurrences
from model.spans.transfer.prior import read_prior
from model.spans.words import apart, to_characters, word_spans
from tests.support.rig import ROOT

GOALS: dict[str, dict[int, float | None]] = {
    "wikigold": {0: 0.645, 8: 0.660, 16: 0.675, 64: 0.710, 256: 0.770, 1000: 0.790},
    "wnut17": {0: None, 8: 0.155, 16: 0.205, 64: 0.270, 256: 0.355, 1000: 0.335},
    "bc5cdr": {0: 0.255, 8: 0.570, 16: 0.615, 64: 0.660, 256: 0.720, 1000: 0.755},
    "snips": {0: None, 8: 0.215, 16: 0.380, 64: 0.575, 256: 0.765, 1000: 0.890},
}

OTHER_SOURCES = ("wnut17",)
"""Sets whose test texts come from other sources than what is labelled: calibration cannot know them."""


def ece_goal(name: str, count: int) -> float | None:
    """Largest calibration error of shown spans; None where nothing is asked (before any label)."""
    if count == 0:
        return None
    return 0.08 if count >= 64 and name not in OTHER_SOURCES else 0.12


def shortfalls(name: str, count: int, f1: float, saved: float, ece: float) -> list[str]:
    """What falls short of the goals, and by how much; empty when nothing."""
    goal, error = GOALS.get(name, {}).get(count), ece_goal(name, count)
    missed = []
    if goal is not None and f1 < goal - 5e-4:
        missed.append(f"F1 -{goal - f1:.3f}")
    least = 0.0 if count in (0, *range(16, 1 << 20)) else None
    if least is not None and saved < least - 5e-4:
        missed.append(f"saved {saved:.3f}")
    if error is not None and ece > error + 5e-4:
        missed.append(f"ECE +{ece - error:.3f}")
    return missed


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

POOL, TEST = 1000, 500
COUNTS, SEEDS = "0,4,8,16,32,64,128,256,512,1000", "11,12,13"
MEASURES = ("f1", "macro_f1", "saved", "ece", "f1_seen", "f1_unseen", "seconds", "warm_seconds")

Row = dict[str, Any]


def rows_of(bench: Bench, counts: Sequence[int], seed: int, methods: Sequence[str], done: set[Any]) -> Iterator[Row]:
    """Of one set and seed, what is not done. Samples are nested, and the same for every method."""
    order = np.random.default_rng(seed).permutation(len(bench.pool))
    for count in counts:
        documents = [bench.pool[place] for place in order[:count]]
        for method in methods:
            if (bench.name, method, count, seed) in done or (count == 0 and method != "understudy"):
                continue
            answer = METHODS[method](bench, documents)
            about = {"set": bench.name, "method": method, "n": count, "seed": seed}
            yield about | figures(answer, bench.test, documents)


def figures(answer: Answer, test: Sequence[SpanDocument], documents: Sequence[SpanDocument]) -> Row:
    """Of one answer."""
    drawn = [document.spans for document in test]
    best, shown = measure(answer.f1, drawn), measure(answer.clicks, drawn)
    seen, unseen = by_novelty(answer, test, documents)
    found: Row = {
        "f1": best.f1,
        "macro_f1": best.macro_f1,
        "saved": shown.saved,
        "ece": shown.ece,
        "f1_seen": seen,
        "f1_unseen": unseen,
        "seconds": answer.seconds,
    }
    if answer.warm_seconds is not None:
        found["warm_seconds"] = answer.warm_seconds
    return {name: round(float(value), 4) for name, value in found.items()}


def by_novelty(answer: Answer, test: Sequence[SpanDocument], documents: Sequence[SpanDocument]) -> tuple[float, float]:
    """F1 of spans whose string was marked so before, and of the others."""
    known = {(label_text(document.text, span)) for document in documents for span in document.spans}
    counts = {True: [0, 0, 0], False: [0, 0, 0]}
    for document, own in zip(test, answer.f1, strict=True):
        spans, drawn = {scored.span for scored in own}, set(document.spans)
        for place, group in enumerate((spans & drawn, spans, drawn)):
            for span in group:
                counts[label_text(document.text, span) in known][place] += 1
    return f1_of(*counts[True]), f1_of(*counts[False])


def label_text(text: str, span: Span) -> tuple[str, str]:
    """A string and its label."""
    return text[span.start : span.end].lower(), span.label


def summarise(rows: Sequence[Row]) -> list[Row]:
    """Medians over the seeds, with the goals and what falls short of them."""
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["method"], row["n"]), []).append(row)
    table = []
    for (name, method, count), group in sorted(groups.items(), key=lambda item: _place(item[0])):
        median = {
            measure_name: round(statistics.median(row[measure_name] for row in group if measure_name in row), 3)
            for measure_name in MEASURES
            if any(measure_name in row for row in group)
        }
        line: Row = {"set": name, "n": count, "method": method, "seeds": len(group), **median}
        if method == "understudy":
            goal = GOALS.get(name, {}).get(count)
            line["goal"] = "" if goal is None else goal
            missed = shortfalls(name, count, median["f1"], median["saved"], median["ece"])
            line["short of it"] = ", ".join(missed) or ("-" if goal is not None or ece_goal(name, count) else "")
        table.append(line)
    return table


def _place(key: tuple[str, str, int]) -> tuple[int, int, int]:
    name, method, count = key
    return list(GOALS).index(name) if name in GOALS else len(GOALS), count, list(METHODS).index(method)


def run(args: Any) -> list[Row]:
    """All rows, those measured before included."""
    rows = read_results(args.results)
    done = {(row["set"], row["method"], row["n"], row["seed"]) for row in rows}
    counts, seeds = map(numbers, (args.labels, args.seeds))
    methods = args.methods.split(",")
    encoder = Encoder(find_base_model())
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        cache = FeatureCache(args.cache or Path(scratch) / "words", 4000)
        for name in args.sets.split(","):
            pool, test = (read_documents(args.data / name / f"{part}.jsonl") for part in ("train", "test"))
            bench = Bench.open(name, pool[:POOL], test[:TEST], encoder, cache)
            for seed in seeds:
                for row in rows_of(bench, counts, seed, methods, done):
                    rows.append(row)
                    if args.results:
                        with args.results.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(row) + "\n")
    return rows


def main() -> None:
    """The table on the terminal."""
    parser = command(__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "ner")
    parser.add_argument("--sets", default=",".join(GOALS))
    parser.add_argument("--labels", default=COUNTS)
    parser.add_argument("--seeds", default=SEEDS)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--results", type=Path, help="rows so far, appended to")
    parser.add_argument("--report", type=Path, help="only print the table of these rows")
    parser.add_argument("--cache", type=Path, help="keep what the encoder said here")
    args = parser.parse_args()
    rows = read_results(args.report) if args.report else run(args)
    show("spans: medians over the seeds", summarise(rows), args.json)


if __name__ == "__main__":
    main()
