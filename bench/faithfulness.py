"""Do the words that an explanation names really decide? Occlusion and gradients against true ablation.

    python -m bench.faithfulness [--labels 128] [--messages 24] [--joined 6] [--seed 0] [--json]
    python -m bench.faithfulness --spans [--sets wikigold,snips] [--labels 128] [--messages 60] [--cache DIR]

A head is fitted on sample messages as the learner does it; messages of the test split are explained by each method and
really changed. `comprehensive`: what the answer's probability loses when the heaviest fifth of the words is removed
(more is better). `sufficient`: what it loses when only these are kept (less is better). `agreement`: Spearman between
the summed weights of random halves of the words and what removing them does to the log-odds. `joined`: rows for texts
of four messages, which are first narrowed down to passages.

`--spans`: of spans that a head of so many texts shows in test texts, how far the log-odds of the span (by its chain,
exactly) fall when what is named is taken out of the words: the heaviest group, the three heaviest features; beside
another group and three other features of the same words, drawn evenly. `nearest`: how often the three nearest annotated
spans have the label that is right there; `chance`: the share of that label among annotated spans. Spans that are wrong
as shown are measured as well, but for `nearest`.

The gradients are those of the `transformers` model of the same weights; the head, which is numpy, is differentiated by
central differences on its pooled inputs (its TF-IDF part, which has no gradient, is left out).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backend.settings.settings import load_settings
from backend.simulate.trainer import Workplace
from bench.support.report import command, show
from bench.support.spans import find_span_sets
from bench.support.texts import DATA, choice_control, read_split
from model.encoder.encoder import Encoder, find_base_model
from model.explain.explanation import label_log_odds
from model.explain.feature_words import FREQUENCY, group_of
from model.explain.mark_contrast import CAPITALISED, LABEL_NAME, MEANING, ORDER, Contrast, ScoredText
from model.explain.nearest_spans import MarkedText, SpanIndex, span_vector
from model.explain.occlusion import MOST_WORDS, LogOdds, Piece, cut, narrow, pieces_of, weigh
from model.head.fit import fit_head
from model.numerics.arrays import Floats
from model.simulation.replay import shuffled
from model.simulation.span_dataset import SpanDataset
from model.simulation.span_replay import spec_of
from model.span import SpanSample
from model.spans.chain.crf import Features
from model.spans.chain.span_probabilities import label_probabilities
from model.spans.chain.tags import WordSpan
from model.spans.features.hand_features import NAMES, HandFeatures, feature_matrix
from model.spans.head.head import SpanHead
from model.spans.words import to_words
from model.spec import Control, Sample, Text
from model.versions.span_answers import SpanTools, fit_span_heads

STEP = 1e-3
MOST_TOKENS = 256


class Gradients:
    """Attributions for one head over one encoder."""

    def __init__(self, directory: Path, head: Any, depth: int) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self._head, self._depth = head, depth
        self._tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        self._model = AutoModel.from_pretrained(directory, local_files_only=True).eval().requires_grad_(False)

    def weigh(self, text: Text, words: Sequence[Piece], label: int, *, steps: int) -> Floats:
        """Per word, the sum over its tokens of gradient x (input - baseline), the gradient averaged over `steps`.

        One step: gradient x input at the text itself. More: from the padding token's vector to it (Sundararajan, Taly
        and Yan, 2017)."""
        encoded = self._tokenizer(
            text[0], return_tensors="pt", return_offsets_mapping=True, truncation=True, max_length=MOST_TOKENS
        )
        offsets = encoded.pop("offset_mapping")[0].tolist()
        embed = self._model.get_input_embeddings()
        target = embed(encoded["input_ids"])
        baseline = embed(torch.full_like(encoded["input_ids"], self._tokenizer.pad_token_id))
        points = [(step + 0.5) / steps for step in range(steps)] if steps > 1 else [1.0]
        total = sum(self._gradient(text, baseline + at * (target - baseline), encoded, label) for at in points)
        moved = target - baseline if steps > 1 else target
        tokens = (total / len(points) * moved[0]).sum(-1).numpy()
        return np.array(
            [
                sum(tokens[i] for i, (start, end) in enumerate(offsets) if start < word.end and word.start < end)
                for word in words
            ]
        )

    def _gradient(self, text: Text, inputs: torch.Tensor, encoded: Any, label: int) -> torch.Tensor:
        inputs = inputs.detach().requires_grad_(True)
        more = {name: value for name, value in encoded.items() if name != "input_ids"}
        output = self._model(inputs_embeds=inputs, output_hidden_states=True, **more)
        pooled = torch.stack([layer[0].mean(0) for layer in output.hidden_states[-self._depth :]])
        slope = torch.tensor(self._slope(text, pooled.detach().numpy(), label), dtype=torch.float32)
        (gradient,) = torch.autograd.grad((pooled * slope).sum(), inputs)
        return gradient[0]

    def _slope(self, text: Text, pooled: Floats, label: int) -> Floats:
        """d log-odds / d pooled [depth, width]."""
        moves = np.eye(pooled.size).reshape(-1, *pooled.shape) * STEP
        points = np.concatenate([pooled + moves, pooled - moves])
        rows = np.clip(self._head.scores([text] * len(points), points)[:, label], 1e-9, 1 - 1e-9)
        ahead, behind = np.split(np.log(rows / (1 - rows)), 2)
        slope: Floats = ((ahead - behind) / (2 * STEP)).reshape(pooled.shape)
        return slope


SHARE = 0.2
"""Of the words, that are removed or kept: what the highlights of a message come to."""

RANDOM_SUBSETS = 30

Weigher = Callable[[Text, Sequence[Piece], LogOdds, int], Floats]


def whole(text: Text) -> list[Piece]:
    """Everything is read."""
    return [Piece(index, 0, len(part)) for index, part in enumerate(text)]


def two_sided(text: Text, words: Sequence[Piece], log_odds: LogOdds, label: int) -> Floats:
    """What is shipped."""
    if len(words) <= MOST_WORDS:
        return weigh(text, words, whole(text), log_odds)[:, 0]
    kept, inside = narrow(text, words, log_odds)
    found = dict(zip(inside, weigh(text, inside, kept, log_odds)[:, 0], strict=True))
    return np.array([found.get(word, 0.0) for word in words])


def leave_one_out(text: Text, words: Sequence[Piece], log_odds: LogOdds, label: int) -> Floats:
    """What is lost without each word, in the whole text."""
    rows = log_odds([text, *(cut(text, whole(text), word) for word in words)])[:, 0]
    return rows[0] - rows[1:]


def random_words(text: Text, words: Sequence[Piece], log_odds: LogOdds, label: int) -> Floats:
    """The floor."""
    return np.random.default_rng(len(text[0])).random(len(words))


def measure(text: Text, weights: Floats, words: Sequence[Piece], log_odds: LogOdds, seed: int) -> dict[str, float]:
    """The three measures of one explanation."""
    count = max(1, round(SHARE * len(words)))
    top = set(np.argsort(-weights, kind="stable")[:count].tolist())
    halves = np.random.default_rng(seed).random((RANDOM_SUBSETS, len(words))) < 0.5
    without = [_without(text, [word for word, gone in zip(words, half, strict=True) if gone]) for half in halves]
    named = [word for index, word in enumerate(words) if index in top]
    rows = log_odds([text, _without(text, named), cut(text, named), *without])[:, 0]
    probability = 1 / (1 + np.exp(-rows))
    return {
        "comprehensive": probability[0] - probability[1],
        "sufficient": probability[0] - probability[2],
        "agreement": _spearman(halves @ weights, rows[0] - rows[3:]),
    }


def _without(text: Text, gone: Sequence[Piece]) -> Text:
    start, parts = 0, []
    for word in gone:
        parts.append(text[0][start : word.start])
        start = word.end
    return ("".join([*parts, text[0][start:]]),)


def _spearman(first: Floats, second: Floats) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic) if np.ptp(first) and np.ptp(second) else 0.0


def compare(
    texts: Sequence[Text], methods: dict[str, Weigher], control: Control, head: Any, encoder: Encoder, seed: int
) -> list[dict[str, Any]]:
    """One row a method: means of the measures, median CPU milliseconds of one explanation."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for text in texts:
        words = pieces_of(text)
        label = int(head.scores([text], encoder.embed([text]))[0].argmax())

        def log_odds(asked: Sequence[Text], label: int = label) -> Floats:
            rows = head.scores(asked, encoder.embed(asked))
            return label_log_odds(control, head.labels, rows, [head.labels[label]])

        for name, method in methods.items():
            began = time.process_time()
            weights = method(text, words, log_odds, label)
            spent = (time.process_time() - began) * 1000
            found[name].append({**measure(text, weights, words, log_odds, seed), "ms": spent, "words": len(words)})
    return [
        {
            "method": name,
            "n": len(rows),
            "words": round(float(np.mean([row["words"] for row in rows]))),
            **{key: round(float(np.mean([row[key] for row in rows])), 3) for key in list(rows[0])[:3]},
            "cpu_ms": round(float(np.median([row["ms"] for row in rows]))),
        }
        for name, rows in found.items()
        if rows
    ]


NAMED = 3
"""Hand features that are taken out, and nearest spans that are looked at."""

Cells = Collection[tuple[int, int]]
"""(word, kind) of hand features."""


def without(
    own: ScoredText, words: Sequence[int], group: str = "", cells: Cells = (), span: WordSpan | None = None
) -> float:
    """Log-odds of `span` by its chain when a group of features, or some features, are taken out of these words."""
    features, rows = own.features, list(words)
    dense, offset, table = features.dense.copy(), features.offset, own.table.copy()
    if group in (MEANING, CAPITALISED):
        dense[rows] = 0
    if group == LABEL_NAME and offset is not None:
        offset = offset.copy()
        offset[rows] = 0
    for column, name in enumerate(NAMES):
        if group_of(name) == group:
            table[rows, column] = 0
    for word, column in cells:
        table[word, column] = 0
    hand = feature_matrix(HandFeatures(table[table > 0], np.cumsum((table > 0).sum(1))), own.head.space.known)
    changed = Features(features.lengths, dense, features.gate, hand, offset)
    assert span is not None
    lattice, tags = own.head.chain.lattice(changed), own.head.chain.tags
    said = float(label_probabilities(lattice, tags, span.first, span.last)[tags.labels.index(span.label)])
    said = min(max(said, 1e-6), 1 - 1e-6)
    return float(np.log(said) - np.log1p(-said))


def measure_span(own: ScoredText, span: WordSpan, random: np.random.Generator) -> dict[str, float]:
    """What taking out the named and others costs."""
    words = list(range(span.first, span.last + 1))
    found: Contrast = own.contrast(span, None)
    before = without(own, words, span=span)
    groups = [name for name in found.groups if name not in (ORDER, FREQUENCY, CAPITALISED)]
    named = max(groups, key=lambda name: found.groups[name])
    others = [name for name in groups if name != named]
    row = {"group": before - without(own, words, named, span=span)}
    if others:
        row["other group"] = before - without(own, words, str(random.choice(others)), span=span)
    heavy = [(one.word, NAMES.index(one.name)) for one in found.features if one.score > 0 and one.word in words]
    known = own.head.space.known
    there = [
        (word, column)
        for word in words
        for column in np.flatnonzero(own.table[word] > 0).tolist()
        if group_of(NAMES[column]) != FREQUENCY and own.table[word, column] in known
    ]
    heavy, rest = heavy[:NAMED], [cell for cell in there if cell not in heavy[:NAMED]]
    if len(heavy) == NAMED and len(rest) >= NAMED:
        drawn = [rest[place] for place in random.choice(len(rest), NAMED, replace=False)]
        row["features"] = before - without(own, words, cells=heavy, span=span)
        row["other features"] = before - without(own, words, cells=drawn, span=span)
    return row


def span_row(data: SpanDataset, tools: SpanTools, labels: int, texts: int, seed: int) -> dict[str, Any]:
    """Means over the spans that are shown in test texts."""
    documents, test = shuffled(data.train, seed)[:labels], data.test[:texts]
    spec, control = spec_of(data), spec_of(data).spans[0]
    samples = [SpanSample(number, one.text, one.spans) for number, one in enumerate(documents, start=1)]
    head = fit_span_heads(spec, {control.name: samples}, [], tools)[control.name]
    assert isinstance(head, SpanHead)
    marked = [MarkedText(one.task, one.text, one.spans) for one in samples]
    began = time.process_time()
    index = SpanIndex.of_spans(tools.reader, head.space.scale, marked)
    seconds = time.process_time() - began
    often = Counter(span.label for _, span in index.spans)
    random, rows = np.random.default_rng(seed), list[dict[str, float]]()
    read = tools.reader.read([one.text for one in test])
    for document, text, own in zip(test, read, head.spans(read), strict=True):
        scored = ScoredText(replace(head, inner=()), text)
        for one in own.spans:
            mark = to_words(text.bounds, one.span)
            if mark is None or one.label not in head.labels:
                continue
            row = measure_span(scored, mark, random)
            if one.span in document.spans:
                near = index.nearest(span_vector(text, one.span, head.space.scale), NAMED, 0, (one.label, ""))
                row["nearest"] = float(np.mean([other.span.label == one.label for other in near]))
                row["chance"] = often[one.label] / max(1, len(index.spans))
            rows.append(row)
    names = ("group", "other group", "features", "other features", "nearest", "chance")
    means = {name: [row[name] for row in rows if name in row] for name in names}
    figures = {name: round(float(np.mean(own)), 2) if own else None for name, own in means.items()}
    return {"n": len(rows), **figures, "index_seconds": round(seconds, 3)}


def run_spans(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row a set."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Workplace(load_settings(), Path(scratch), args.cache or Path(scratch) / "features", 1)
        sets = find_span_sets(DATA / "ner", args.sets.split(",") if args.sets else ())
        for name, data in sets.items():
            yield {"set": name} | span_row(data, place.span_tools(), args.labels, args.messages, args.seed)
        place.close()


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--labels", type=int, default=128)
    parser.add_argument("--messages", type=int, default=24)
    parser.add_argument("--spans", action="store_true", help="of marked text")
    parser.add_argument("--sets", default="", help="with --spans; default: all")
    parser.add_argument("--cache", type=Path, help="with --spans: where read texts are kept for the next run")
    parser.add_argument("--joined", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.spans:
        show("faithfulness, marked text", list(run_spans(args)), args.json)
        return
    train, test = read_split("train", args.seed), read_split("test", args.seed)
    names = sorted({label for _, label in train})
    control = choice_control(names)
    encoder = Encoder(find_base_model())
    samples = [Sample(i, (text,), {label: 1.0}) for i, (text, label) in enumerate(train[: args.labels])]
    head = fit_head(control, samples, [], encoder, seed=args.seed)
    gradients = Gradients(encoder.directory, head, encoder.depth)
    occlusions: dict[str, Weigher] = {
        "random words": random_words,
        "leave one out": leave_one_out,
        "two-sided occlusion": two_sided,
    }
    methods: dict[str, Weigher] = {
        **occlusions,
        "gradient x input": lambda text, words, _, label: gradients.weigh(text, words, label, steps=1),
        "integrated gradients": lambda text, words, _, label: gradients.weigh(text, words, label, steps=8),
    }
    short = [(text,) for text, _ in test if 5 <= len(pieces_of((text,))) <= MOST_WORDS][: args.messages]
    show("faithfulness, single messages", compare(short, methods, control, head, encoder, args.seed), args.json)
    joined = [(" ".join(text for text, _ in test[4 * index : 4 * index + 4]),) for index in range(args.joined)]
    joined = [text for text in joined if len(pieces_of(text)) > MOST_WORDS]
    show("faithfulness, joined messages", compare(joined, occlusions, control, head, encoder, args.seed), args.json)


if __name__ == "__main__":
    main()
