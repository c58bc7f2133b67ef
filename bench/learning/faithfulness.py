"""Do the words that an explanation names really decide? Occlusion and gradients against true ablation.

    python -m bench.learning.faithfulness [--labels 128] [--messages 24] [--joined 6] [--seed 0] [--json]

A head is fitted on sample messages as the learner does it; messages of the test split are explained by each method and
really changed. `comprehensive`: what the answer's probability loses when the heaviest fifth of the words is removed
(more is better). `sufficient`: what it loses when only these are kept (less is better). `agreement`: Spearman between
the summed weights of random halves of the words and what removing them does to the log-odds. `joined`: rows for texts
of four messages, which are first narrowed down to passages.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.learning.gradients import Gradients
from bench.learning.sample_messages import read_split
from bench.support.report import show
from model.encoder.encoder import Encoder, find_base_model
from model.explain.explanation import label_log_odds
from model.explain.occlusion import MOST_WORDS, Floats, LogOdds, Piece, cut, narrow, pieces_of, weigh
from model.head.fit import fit_head
from model.spec import Control, Kind, Label, Sample, Text

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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=128)
    parser.add_argument("--messages", type=int, default=24)
    parser.add_argument("--joined", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    train, test = read_split("train", args.seed), read_split("test", args.seed)
    names = sorted({label for _, label in train})
    control = Control("label", Kind.SINGLE, ("text",), tuple(Label((name,), name) for name in names))
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
