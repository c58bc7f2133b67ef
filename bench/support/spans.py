"""Spans in the bench of learning: what shall be reached, and other recipes on the same texts.

Each recipe is fitted to the texts that the learner is fitted to, and asked for the same test texts; all read words as
the learner does.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backend.simulate.span_files import read_span_files
from model.numerics.float16 import widen
from model.simulation.replay import Row, shuffled
from model.simulation.span_dataset import SpanDataset, make_span_dataset
from model.span import ScoredSpan, SpanDocument
from model.spans.chain.tags import TagSet, WordSpan
from model.spans.features.feature_space import SCALE_TEXTS, StateScale
from model.spans.features.hand_features import hand_features
from model.spans.features.reading import ReadText, SpanReader
from model.spans.quality import f1_by_novelty, measure
from model.spans.string_memory import MemoryBuilder, occurrences
from model.spans.words import apart, to_characters, word_spans

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
    return 0.08 if count >= 64 and name.partition(",")[0] not in OTHER_SOURCES else 0.12


def shortfalls(name: str, count: int, f1: float, saved: float, ece: float) -> list[str]:
    """What falls short of the goals, and by how much; empty when nothing."""
    goal, error = GOALS.get(name, {}).get(count), ece_goal(name, count)
    missed = []
    if goal is not None and f1 < goal - 5e-4:
        missed.append(f"F1 -{goal - f1:.3f}")
    if (count == 0 or count >= 16) and saved < -5e-4:
        missed.append(f"saved {saved:.3f}")
    if error is not None and ece > error + 5e-4:
        missed.append(f"ECE +{ece - error:.3f}")
    return missed


POOL, TEST = 1000, 500
"""Texts of a set to learn from and to measure on: the first ones."""

COUNTS = "0,4,8,16,32,64,128,256,512,1000"
TUNED_COUNTS = (64, 256, 1000)
"""Texts with which a fine-tune is tried, too."""

MEASURES = (
    *("f1", "macro_f1", "saved", "ece", "f1_seen", "f1_unseen", "refit_seconds", "cold_seconds"),
    *("finetune_cpu_seconds", "peak_mib"),
)

HEADING = """# Learning curves of spans

Written by `python -m bench.learning --spans --out DIR`: medians over the seeds; the first 1,000 texts of a set are the
pool, the first 500 of its test file are measured. `f1` counts exact spans with the right label, of the spans shown when
F1 is the aim; `f1_seen` and `f1_unseen` those whose string was marked so among the labelled texts, and the others.
`saved` is the share of the annotator's edits that the spans shown to annotators spare (negative: worse than an empty
page), `ece` their calibration error. `refit_seconds`: of the refit that the last text brings; `cold_seconds`: of the
last one from nothing (0: none on the way).

`understudy, fine-tuned`: a fine-tune by the product's own process on just these texts, served if the gate lets it
through (else the head alone); `whatever the gate says`: the same, served in any case; `finetune_cpu_seconds`: of all of
it, held-out parts included.

`goals`: what falls short of the goals of F1 (where there are some), of no lost edits (before any label and from 16
texts on), or of calibration (.08 from 64 texts on, .12 below and where test texts come from other sources). Seconds are
wall time on whatever else the machine did; MiB is the process's high-water mark so far.
"""

Shown = list[list[ScoredSpan]]


def find_span_sets(data: Path, names: Sequence[str]) -> dict[str, SpanDataset]:
    """The sets in a folder, or the one file."""
    if data.is_file():
        found = {data.stem: read_span_files(data).data}
    else:
        folders = sorted(path.parent for path in data.glob("*/train.jsonl"))
        wanted = [folder for folder in folders if not names or folder.name in names]
        found = {own.name: read_span_files(own / "train.jsonl", own / "test.jsonl").data for own in wanted}
    return {name: make_span_dataset(own.train[:POOL], own.test[:TEST], name) for name, own in found.items()}


@dataclass(frozen=True)
class Recipe:
    """One fit: the texts that are labelled and those asked for, as `reader` reads them. `last` reads the last layer,
    scaled on the texts of `pool`."""

    labels: tuple[str, ...]
    documents: Sequence[SpanDocument]
    test: Sequence[SpanDocument]
    pool: Sequence[SpanDocument]
    reader: SpanReader
    base_model: Path
    seed: int

    def read(self, documents: Sequence[SpanDocument]) -> list[ReadText]:
        """From the cache."""
        return self.reader.read([document.text for document in documents])

    @property
    def last(self) -> SpanReader:
        return SpanReader(self.reader.encoder, None, self.reader.cache, depths=(1.0,))


Method = Callable[[Recipe], tuple[Shown, float]]
"""What is shown of each test text, and the seconds of the fit."""


@dataclass(frozen=True)
class SpanPeer:
    """A method as rows call it, and how it answers."""

    method: str
    answer: Method


def peer_row(peer: SpanPeer, data: SpanDataset, reader: SpanReader, base_model: Path, count: int, seed: int) -> Row:
    """What it makes of the texts that the learner has at this count and seed."""
    documents = shuffled(data.train, seed)[:count]
    pool = data.train[:SCALE_TEXTS]
    shown, seconds = peer.answer(Recipe(data.labels, documents, data.test, pool, reader, base_model, seed))
    found = measure(shown, [document.spans for document in data.test])
    seen, unseen = f1_by_novelty(shown, data.test, documents)
    figures = {"f1": found.f1, "macro_f1": found.macro_f1, "saved": found.saved, "ece": found.ece}
    figures |= {"f1_seen": seen, "f1_unseen": unseen}
    about: Row = {"strategy": "random", "n": count, "seed": seed}
    rounded = {name: round(value, 6) for name, value in figures.items()}
    return about | rounded | {"method": peer.method, "refit_seconds": round(seconds, 4), "test_rows": len(data.test)}


def string_memory(task: Recipe) -> tuple[Shown, float]:
    """Strings that were marked more often than not are marked again."""
    began = time.perf_counter()
    builder = MemoryBuilder()
    for text, document in zip(task.read(task.documents), task.documents, strict=True):
        builder.learn(_folded(text), apart(word_spans(text.bounds, document.spans)))
    memory = builder.memory()
    seconds = time.perf_counter() - began
    shown: Shown = []
    for text in task.read(task.test):
        words, own, end = _folded(text), list[ScoredSpan](), -1
        for first, last in occurrences(words, memory.marked, memory.lengths):
            key = tuple(words[first : last + 1])
            label, count = Counter(memory.marked[key]).most_common(1)[0]
            score = count / (sum(memory.marked[key].values()) + memory.unmarked.get(key, 0) + 0.5)
            if first > end and score > 0.5:
                own.append(_scored(text, WordSpan(first, last, label), score))
                end = last
        shown.append(own)
    return shown, seconds


def _folded(text: ReadText) -> list[str]:
    return [word.lower() for word in text.words]


def hand_crf(task: Recipe) -> tuple[Shown, float]:
    """crfsuite on the same hand features."""
    import pycrfsuite

    texts = task.read(task.documents)
    began = time.perf_counter()
    trainer = pycrfsuite.Trainer(verbose=False, algorithm="lbfgs")
    trainer.set_params({"c1": 0.05, "c2": 0.05, "max_iterations": 60, "feature.possible_transitions": True})
    for text, document in zip(texts, task.documents, strict=True):
        if text.bounds:
            trainer.append(_strings(text), _tag_names(text, document))
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        path = f"{scratch}/model.crfsuite"
        trainer.train(path)
        seconds = time.perf_counter() - began
        tagger = pycrfsuite.Tagger()
        tagger.open(path)
        shown = [_from_names(text, tagger.tag(_strings(text))) for text in task.read(task.test)]
    return shown, seconds


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


def last_layer(task: Recipe) -> tuple[Shown, float]:
    """Logistic regression on each word's state of the last layer: what reusing a classifier's embedding would give."""
    from sklearn.linear_model import LogisticRegression

    tags, last = TagSet(task.labels), task.last
    texts = last.read([document.text for document in task.documents])
    scale = StateScale.measure(last.read([own.text for own in task.pool]), last.width)
    gold = _gold(tags, texts, task.documents)
    began = time.perf_counter()
    inputs = _scaled(texts, scale)
    if len(set(gold.tolist())) < 2:
        return [[] for _ in task.test], time.perf_counter() - began
    model = LogisticRegression(C=1.0, max_iter=60, tol=1e-3)
    with np.errstate(all="ignore"):
        model.fit(inputs, gold)
    seconds = time.perf_counter() - began
    test = last.read([document.text for document in task.test])
    found = np.split(model.predict_proba(_scaled(test, scale)), np.cumsum([len(own.bounds) for own in test])[:-1])
    return [_decode(text, tags, model.classes_, own) for text, own in zip(test, found, strict=True)], seconds


EPOCHS, BATCH, RATE = 10, 8, 1e-3


def humansignal(task: Recipe) -> tuple[Shown, float]:
    """label_studio_ml/examples/huggingface_ner on the learner's encoder: all parameters, ten epochs of batches of 8 at
    1e-3, a word is its first piece, texts without a span are left out, neighbours of one label are one span."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(task.seed)
    tags, texts = TagSet(task.labels), task.read(task.documents)
    used = [place for place, own in enumerate(task.documents) if own.spans and texts[place].bounds]
    offline = {"local_files_only": True, "trust_remote_code": False}
    tokenizer: Any = AutoTokenizer.from_pretrained(task.base_model, **offline)
    model: Any = AutoModelForTokenClassification.from_pretrained(task.base_model, num_labels=tags.size, **offline)
    began, steps = time.perf_counter(), EPOCHS * -(-len(used) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / max(1, steps))
    generator = np.random.default_rng(task.seed)
    model.train()
    for _ in range(EPOCHS):
        order = generator.permutation(used)
        for start in range(0, len(order), BATCH):
            batch = [texts[place] for place in order[start : start + BATCH]]
            tokens, firsts = _first_pieces(tokenizer, batch)
            gold = _gold(tags, batch, [task.documents[place] for place in order[start : start + BATCH]])
            logits = model(**tokens).logits[firsts[:, 0], firsts[:, 1]]
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor(gold)[firsts[:, 2]])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            falling.step()
    seconds = time.perf_counter() - began
    model.eval()
    with torch.inference_mode():
        return [_merged(text, tags, model, tokenizer) for text in task.read(task.test)], seconds


def _first_pieces(tokenizer: Any, texts: Sequence[ReadText]) -> tuple[Any, Any]:
    """A batch, and of every word that has a piece: its row, its first piece, its number among all words."""
    import torch

    tokens = tokenizer(
        [text.words for text in texts],
        is_split_into_words=True,
        padding=True,
        truncation=True,
        max_length=512,
        return_tensors="pt",
    )
    firsts, before = [], 0
    for row, text in enumerate(texts):
        words = tokens.word_ids(row)
        firsts += [
            (row, piece, before + word)
            for piece, word in enumerate(words)
            if word is not None and words[piece - 1] != word
        ]
        before += len(text.bounds)
    return tokens, torch.tensor(firsts).reshape(-1, 3)


def _merged(text: ReadText, tags: TagSet, model: Any, tokenizer: Any) -> list[ScoredSpan]:
    if not text.bounds:
        return []
    tokens, firsts = _first_pieces(tokenizer, [text])
    scores = model(**tokens).logits[0].softmax(-1).numpy()[firsts[:, 1]]
    found: list[tuple[WordSpan, list[float]]] = []
    for word, own in zip(firsts[:, 2].tolist(), scores, strict=True):
        tag = int(own.argmax())
        if tag == 0:
            continue
        label = tags.labels[(tag - 1) // 2]
        if found and found[-1][0][1:] == (word - 1, label):
            found[-1] = (found[-1][0]._replace(last=word), [*found[-1][1], float(own[tag])])
        else:
            found.append((WordSpan(word, word, label), [float(own[tag])]))
    return [_scored(text, mark, float(np.mean(own))) for mark, own in found]


def _gold(tags: TagSet, texts: Sequence[ReadText], documents: Sequence[SpanDocument]) -> Any:
    rows = zip(texts, documents, strict=True)
    return np.concatenate([tags.encode(len(t.bounds), apart(word_spans(t.bounds, d.spans))) for t, d in rows])


def _decode(text: ReadText, tags: TagSet, classes: Any, probabilities: Any) -> list[ScoredSpan]:
    """Each word's likeliest tag; one of going on where nothing was begun begins a span."""
    if not text.bounds:
        return []
    best, tops = classes[probabilities.argmax(1)], probabilities.max(1)
    legal = [int(tag) - (tags.kinds[tag] == 2) * (not _goes_on(best, word)) for word, tag in enumerate(best)]
    marks = tags.decode(legal)
    return [_scored(text, mark, float(np.mean(tops[mark.first : mark.last + 1]))) for mark in marks]


def _goes_on(tags: Sequence[int], word: int) -> bool:
    """Whether a tag of going on follows one of its own label."""
    return word > 0 and (tags[word - 1] + 1) // 2 == (tags[word] + 1) // 2


def _scaled(texts: Sequence[ReadText], scale: StateScale) -> Any:
    states = widen(np.concatenate([text.states for text in texts]))
    return (states - scale.mean) / scale.spread / np.float32(np.sqrt(states.shape[1])) * 4


def _scored(text: ReadText, mark: WordSpan, score: float) -> ScoredSpan:
    span = to_characters(text.bounds, mark)
    return ScoredSpan(span.start, span.end, span.label, score)


SPAN_PEERS = {
    "memory": SpanPeer("string memory", string_memory),
    "crf": SpanPeer("hand-feature CRF", hand_crf),
    "softmax": SpanPeer("last-layer softmax", last_layer),
    "humansignal": SpanPeer("HumanSignal fine-tune", humansignal),
}
