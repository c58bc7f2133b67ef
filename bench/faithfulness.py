"""Do the words that an explanation names really decide? Occlusion and gradients against true ablation.

    python -m bench.faithfulness [--labels 128] [--messages 24] [--joined 6] [--seed 0] [--json]

A head is fitted on sample messages as the learner does it; messages of the test split are explained by each method and
really changed. `comprehensive`: what the answer's probability loses when the heaviest fifth of the words is removed
(more is better). `sufficient`: what it loses when only these are kept (less is better). `agreement`: Spearman between
the summed weights of random halves of the words and what removing them does to the log-odds. `joined`: rows for texts
of four messages, which are first narrowed down to passages.

The gradients are those of the `transformers` model of the same weights; the head, which is numpy, is differentiated by
central differences on its pooled inputs (its TF-IDF part, which has no gradient, is left out).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.support.report import command, show
from bench.support.texts import choice_control, read_split
from model.encoder.encoder import Encoder, find_base_model
from model.explain.explanation import label_log_odds
from model.explain.occlusion import MOST_WORDS, LogOdds, Piece, cut, narrow, pieces_of, weigh
from model.head.fit import fit_head
from model.numerics.arrays import Floats
from model.spec import Control, Sample, Text

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


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--labels", type=int, default=128)
    parser.add_argument("--messages", type=int, default=24)
    parser.add_argument("--joined", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
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
