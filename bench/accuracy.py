"""Accuracy of the heads on held-out rows: by number of labels, on a base model with a trained head, by format.

    python -m bench.accuracy [--labels 0,16,64,256] [--held-out 300] [--seed 0] [--json]
    python -m bench.accuracy --trained-head [--labels 0,8,16,32,64,128,256] [--taught 160] [--seeds 3] [--json]
    python -m bench.accuracy --few [--data DIR] [--labels 0,8,16,32,64] [--seeds 3] [--json]
    python -m bench.accuracy --formats [--sets banking77,agnews] [--train 200] [--held-out 200] [--seeds 3] [--json]
    python -m bench.accuracy --regions [--relations] [--public DIR] [--labels 16,64,256] [--seeds 3] [--json]
    python -m bench.accuracy --duplicates [--seeds 3] [--json]
    python -m bench.accuracy --fetch-encoder DIR
    python -m bench.accuracy --questions [--finetune] [--squad FILE | --sets snips,bc5cdr] [--labels 0,16,64,256]

The first: accuracy, macro-F1, log-loss and calibration error of heads that are fitted as the learner does it, on the
sample's train split; the test split is never fitted on.

`--trained-head`: the base model carries a logistic regression over MiniLM's first token, fitted on sample messages that
are not among the labels. `right` has it as it is, `wrong` with two of its eight labels exchanged, `none` without it.

`--fetch-encoder`: measures nothing, and writes the preset `multilingual` at 4 bits, for `understudy simulate
--base-model`.

`--few`: calibration error with few labels on many tasks made of the public sets, and its bar: the mean over the tasks.
Some of it is the measure's own: with 500 texts in 15 bins honest answers have about .04.

`--formats`: what bfloat16 and int8 cost on public sets. Heads are fitted on features of the format that serves them;
`accuracy` and `ece` (calibration error) are means over seeds, in points of the exact ones' after the slash, `flips` the
share of answers that change, `cosine` that of the features. `format`: what the encoder was read in, where int8 does not
suit it. Without bfloat16 in the hardware torch emulates it, so times say nothing then.

`--regions`: questions about marked regions, what is marked given. The labels of public sets are answers about one
coarse label; in `assertions`, generated notes, only the words around a region tell. Medians over the seeds; `labels`
counts texts, `shown` is the share of regions with a suggestion, `precision` of those the right ones, `saved` the right
less the wrong ones by all regions, `cpu_s` of the fit; beside it the accuracy of two baselines. `--public`: a folder
with sets of other people; which ones, and where they are from, tests/support/public_sets.py says.

`--regions --relations`: relations between regions, in generated notes and in the sets of `--public`; between the
regions that are right (`drawn`) and those that a head for spans, fitted on the same texts, shows (`suggested`). `by`:
what is `shown`, the `likeliest` without a threshold, and three baselines. `f1` asks for both ends, direction and all
labels, `directed` for no labels, `pairs` for no direction either; `saved`: right less wrong ones by all to be drawn.

`--duplicates`: labels carried over to texts that are there again. Half of a set is labelled; `natural` are duplicates
in the other half, `exact` and `near` copies made of the labelled ones, whose labels are 3 % wrong then. `agree`: what
the project has seen of that kind, on `seen` texts; `carried`: answers that /predict would carry over, `right` those
with the right label, `score` the mean one they have. Then a pool of random texts, a third of whose tasks are copies: of
the first 256 labels `copies` of labelled ones, and tasks whose text has a label, before and now. Last what it costs by
labels: `find us` of /predict a text (median; `key us` of it the keys), `table MB`, `learner s` of the learner after a
label, and `bytes` that one more label writes.

`--questions`: answers to questions about passages, beside a chain for entities, the best-matching sentence's longest
name, and a memory of strings. Asked is for what public sets mark in four texts together, or what FILE, in SQuAD's
format, asks (articles apart). `--finetune`: the head, and what a fine-tune by the real training process comes to with
the share that it earned, whatever the gate says; `gate` says that, `cpu_s` is of all its parts.
"""

from __future__ import annotations

import itertools
import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from backend.settings.settings import load_settings
from backend.simulate.trainer import Workplace
from bench.support.report import command, numbers, show
from bench.support.spans import find_span_sets
from bench.support.texts import DATA, choice_control, expect_sets, mixed_texts, read_split, write_multilingual
from model.encoder.encoder import Encoder, find_base_model
from model.features.cache import CachedEncoder, FeatureCache
from model.features.varied_cache import VariedCache
from model.head.fit import fit_head
from model.numerics.metrics import evaluate, expected_calibration_error
from model.pretrained_head import PretrainedHead
from model.regions.region_features import RegionPlace
from model.regions.region_fit import RegionExample, fit_region_head
from model.regions.region_head import choose
from model.simulation.replay import shuffled
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import SpanReader
from model.spans.transfer.prior import read_prior
from model.spec import Sample
from tests.support import duplicate_texts, few_labels, public_sets
from tests.support.question_peers import rows_of, tuned_row
from tests.support.question_sets import ask_about_labels, read_squad
from tests.support.region_sets import BASELINES, Asked, AskedSet, asked_sets
from tests.support.relation_peers import rows_of as relation_rows
from tests.support.relation_sets import generated_set
from tests.support.rig import read_rows

POOL = 300
Row = dict[str, Any]
Rows = Sequence[tuple[str, str]]


def by_labels(counts: Sequence[int], held_out: int, seed: int) -> Iterator[Row]:
    """A row per number of labels."""
    train, test = read_split("train", seed), read_split("test", seed)[:held_out]
    control, texts, targets = judged_on(train, test)
    with tempfile.TemporaryDirectory() as scratch:
        base = CachedEncoder(Encoder(find_base_model()), FeatureCache(Path(scratch), 64))
        for count in counts:
            samples = [Sample(i, (text,), {label: 1.0}) for i, (text, label) in enumerate(train[:count])]
            pool = [{"text": text} for text, _ in train[:POOL]]
            head = fit_head(control, samples, pool, base, seed=seed)
            found = evaluate(head.scores(texts, base.embed(texts)), targets)
            yield {"labels": count, **{name: round(float(value), 3) for name, value in found.items()}}


def judged_on(train: Rows, test: Rows) -> tuple[Any, list[tuple[str]], Any]:
    """(control, texts, targets) of the rows that heads are judged on."""
    names = sorted({label for _, label in train})
    targets = np.eye(len(names))[[names.index(label) for _, label in test]]
    return choice_control(names), [(text,) for text, _ in test], targets


def with_trained_head(counts: Sequence[int], held_out: int, taught: int, seeds: int) -> Iterator[Row]:
    """A row per number of labels: means over the seeds."""
    train, test = read_split("train", 0), read_split("test", 0)[:held_out]
    control, texts, targets = judged_on(train, test)
    names = [label.key for label in control.labels]
    with tempfile.TemporaryDirectory() as scratch:
        base = first_token_encoder(Path(scratch))
        right = teach(base, train[:taught], names)
        wrong = replace(right, labels=(names[1], names[0], *names[2:]))
        for count in counts:
            row: Row = {"labels": count}
            for case, base.taught in (("right", right), ("wrong", wrong), ("none", None)):
                found = []
                for seed in range(seeds):
                    order = np.random.default_rng(seed).permutation(len(train) - taught)[:count] + taught
                    samples = [Sample(int(i), (train[i][0],), {train[i][1]: 1.0}) for i in order]
                    head = fit_head(control, samples, [], base, seed=seed)
                    found.append(evaluate(head.scores(texts, base.embed(texts)), targets))
                row[f"{case}_accuracy"] = round(float(np.mean([item["accuracy"] for item in found])), 3)
                row[f"{case}_ece"] = round(float(np.mean([item["ece"] for item in found])), 3)
            yield row


def with_few_labels(data: Path, counts: Sequence[int], seeds: int) -> Iterator[Row]:
    """A row per task and number of labels."""
    with tempfile.TemporaryDirectory() as scratch:
        base = CachedEncoder(Encoder(find_base_model()), FeatureCache(Path(scratch), 512))
        expect_sets(list(data.glob("*/*.csv")), data)
        for name, task in few_labels.all_tasks(data):
            yield from few_labels.rows_of(name, task, base, counts, range(seeds))


def first_token_encoder(scratch: Path) -> CachedEncoder:
    """MiniLM pooled as a classifier reads it."""
    source, directory = find_base_model(), scratch / "model"
    (directory / "1_Pooling").mkdir(parents=True)
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (directory / name).symlink_to(source / name)
    return CachedEncoder(Encoder(directory), FeatureCache(scratch / "features", 64))


def teach(base: CachedEncoder, rows: Rows, names: Sequence[str]) -> PretrainedHead:
    """A head in the form of BERT's, trained on `rows`."""
    from sklearn.linear_model import LogisticRegression

    hidden = np.tanh(base.embed([(text,) for text, _ in rows])[:, -1] / 2)
    fitted = LogisticRegression(C=3, max_iter=2000).fit(hidden, [names.index(label) for _, label in rows])
    dense = np.eye(hidden.shape[1]) / 2
    output = {"output.weight": fitted.coef_, "output.bias": fitted.intercept_}
    return PretrainedHead(tuple(names), False, "tanh", 1e-5, {"dense.weight": dense, **output})


def in_formats(sets: Sequence[str], train: int, held_out: int, seeds: int) -> Iterator[Row]:
    """A row per public set and format."""
    encoders = [Encoder(find_base_model(), precision=precision) for precision in ("fp32", "bf16", "int8")]
    for name in sets:
        expect_sets(list((DATA / name).glob("train.csv")), DATA / name)
        taught, asked = (read_rows(DATA / name / f"{part}.csv") for part in ("train", "test"))
        found = [_by_format(encoders, taught, asked, train, held_out, seed) for seed in range(seeds)]
        for place, encoder in enumerate(encoders[1:]):
            own = {key: float(np.mean([rows[place][key] for rows in found])) for key in found[0][place]}
            yield {
                **{"set": name, "train": train, "format": encoder.precision},
                "accuracy": f"{100 * own['accuracy']:.1f} / {100 * own['exact accuracy']:.1f}",
                "ece": f"{100 * own['ece']:.1f} / {100 * own['exact ece']:.1f}",
                "flips": round(own["flips"], 4),
                "cosine": round(own["cosine"], 5),
            }


def _by_format(
    encoders: Sequence[Encoder], train: Rows, test: Rows, count: int, held_out: int, seed: int
) -> list[dict[str, float]]:
    """One head for each encoder on the same rows; beside the first, what the others make of them."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    taught, asked = (
        [rows[i] for i in rng.permutation(len(rows))[:n]] for rows, n in ((train, count), (test, held_out))
    )
    truth = np.array([label for _, label in asked])
    told = []
    for encoder in encoders:
        features = _features(encoder, taught), _features(encoder, asked)
        head = LogisticRegression(C=10.0, max_iter=1000).fit(features[0], [label for _, label in taught])
        chances = head.predict_proba(features[1])
        right = head.classes_[chances.argmax(1)] == truth
        error = expected_calibration_error(chances.max(1), right)
        told.append((chances.argmax(1), float(right.mean()), error, features[1]))
    exact = told[0]
    return [
        {
            **{"accuracy": own[1], "exact accuracy": exact[1], "ece": own[2], "exact ece": exact[2]},
            "flips": float((own[0] != exact[0]).mean()),
            "cosine": float((own[3] * exact[3]).sum(1).mean()),
        }
        for own in told[1:]
    ]


def about_relations(counts: Sequence[int], seeds: int, public: Path | None) -> Iterator[Row]:
    """A row per set, number of texts, kind of regions and method."""
    with tempfile.TemporaryDirectory() as scratch:
        reader = SpanReader(Encoder(find_base_model()), read_prior(), FeatureCache(Path(scratch), 2000))
        for data in [generated_set(), *(public_sets.related_sets(public) if public else ())]:
            yield from relation_rows(data, reader, counts, seeds)


def about_regions(counts: Sequence[int], seeds: int, public: Path | None) -> Iterator[Row]:
    """A row per set and number of texts."""
    with tempfile.TemporaryDirectory() as scratch:
        reader = SpanReader(Encoder(find_base_model()), None, FeatureCache(Path(scratch), 512))
        own = asked_sets(find_span_sets(DATA / "ner", ()))
        for data in [*own, *(public_sets.asked_sets(public) if public else ())]:
            for count in counts:
                found = [ask_about_regions(data, reader, count, seed) for seed in range(seeds)]
                middle = {name: round(median(row[name] for row in found), 3) for name in found[0]}
                yield {"set": data.name, "labels": count, **middle}


def ask_about_regions(data: AskedSet, reader: SpanReader, count: int, seed: int) -> dict[str, float]:
    """One head and the baselines, fitted on so many texts."""
    train = random.Random(seed).sample(list(data.train), min(count, len(data.train)))
    examples = [RegionExample(place, {answer: 1.0}) for place, answer in read_regions(reader, train)]
    scale, began = StateScale.measure([one.place.text for one in examples], reader.width), time.process_time()
    head = fit_region_head("answer", data.labels, False, examples, scale)
    spent = time.process_time() - began
    asked = read_regions(reader, data.test)
    places, truth = [place for place, _ in asked], [answer for _, answer in asked]
    likeliest = choose(head.probabilities(places), head.labels, False) if head.weights else [((), 0.0)] * len(truth)
    right = [keys == (answer,) for (keys, _), answer in zip(likeliest, truth, strict=True)]
    shown = [one.chosen == (answer,) for one, answer in zip(head.answers(places), truth, strict=True) if one]
    row = {
        "regions": len(examples),
        "accuracy": sum(right) / len(truth),
        "shown": len(shown) / len(truth),
        "precision": sum(shown) / max(1, len(shown)),
        "saved": (2 * sum(shown) - len(shown)) / len(truth),
        "cpu_s": spent,
    }
    for name, make in BASELINES.items():
        guessed = [
            answer for one, guess in zip(data.test, map(make(train), data.test), strict=True) for answer in guess
        ]
        row[name] = sum(own == answer for own, answer in zip(guessed, truth, strict=True)) / len(truth)
    return row


def read_regions(reader: SpanReader, texts: Sequence[Asked]) -> list[tuple[RegionPlace, str]]:
    """Every region, and what is right about it."""
    read = reader.read([one.text for one in texts])
    return [
        (RegionPlace(text, region), answer)
        for text, one in zip(read, texts, strict=True)
        for region, answer in zip(one.regions, one.answers, strict=True)
    ]


def about_questions(args: Any, counts: Sequence[int], held_out: int) -> Iterator[Row]:
    """A row per set, number of answers and method; with --finetune one of the head and one of a fine-tune."""
    names = (args.sets or "snips,bc5cdr").split(",")
    with tempfile.TemporaryDirectory() as scratch:
        reader = SpanReader(Encoder(find_base_model()), read_prior(), VariedCache(Path(scratch), 2000))
        if args.squad is not None:
            sets = [read_squad(args.squad, held_out)]
        else:
            named = expect_sets(find_span_sets(DATA / "ner", names), DATA / "ner")
            sets = [ask_about_labels(name, data, held_out) for name, data in named.items()]
        sets = [replace(data, train=shuffled(data.train, args.seed)) if args.seed else data for data in sets]
        if not args.finetune:
            for data in sets:
                yield from rows_of(data, reader, counts)
            return
        place = Workplace(load_settings(), Path(scratch) / "place", Path(scratch) / "features", 1)
        for data, count in itertools.product(sets, filter(None, counts)):
            yield from rows_of(data, reader, [count], ["understudy"])
            yield tuned_row(data, place, count, args.seed)
        place.close()


def _features(encoder: Encoder, rows: Rows) -> Any:
    from sklearn.preprocessing import normalize

    return normalize(encoder.embed([(text,) for text, _ in rows])[:, -1])


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--trained-head", action="store_true")
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA, help="of --few: a folder of sets")
    parser.add_argument("--formats", action="store_true")
    parser.add_argument("--fetch-encoder", type=Path, metavar="DIR")
    parser.add_argument("--regions", action="store_true")
    parser.add_argument("--relations", action="store_true")
    parser.add_argument("--public", type=Path)
    parser.add_argument("--duplicates", action="store_true")
    parser.add_argument("--questions", action="store_true")
    parser.add_argument("--squad", type=Path)
    parser.add_argument("--sets", help="of --questions (snips,bc5cdr) and --formats (banking77,agnews)")
    parser.add_argument("--finetune", action="store_true", help="with --questions: the head, and a fine-tune")
    parser.add_argument("--labels", type=numbers)
    parser.add_argument("--held-out", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--taught", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=200)
    args = parser.parse_args()
    if args.few:
        rows = list(with_few_labels(args.data, args.labels or few_labels.COUNTS, args.seeds))
        show("calibration error with few labels, by task", rows, args.json)
        show("over all tasks", list(few_labels.summarise(rows)), args.json)
    elif args.formats:
        sets = (args.sets or "banking77,agnews").split(",")
        rows = list(in_formats(sets, args.train, args.held_out or 200, args.seeds))
        show("number formats beside fp32", rows, args.json)
    elif args.fetch_encoder:
        print(write_multilingual(args.fetch_encoder))
    elif args.relations:
        rows = list(about_relations(args.labels or [16, 64, 256], args.seeds, args.public))
        show("relations between marked regions beside baselines", rows, args.json)
    elif args.regions:
        rows = list(about_regions(args.labels or [16, 64, 256], args.seeds, args.public))
        show("answers about marked regions beside baselines", rows, args.json)
    elif args.duplicates:
        for title, found in duplicate_texts.measure(mixed_texts(2000), args.seeds):
            show(title, found, args.json)
    elif args.questions:
        rows = list(about_questions(args, args.labels or [0, 16, 64, 256], args.held_out or 300))
        show("answers to questions about passages beside baselines", rows, args.json)
    elif args.trained_head:
        counts = args.labels or [0, 8, 16, 32, 64, 128, 256]
        rows = list(with_trained_head(counts, args.held_out or 300, args.taught, args.seeds))
        show("held-out accuracy on a base model with a trained head", rows, args.json)
    else:
        rows = list(by_labels(args.labels or [0, 16, 64, 256], args.held_out or 300, args.seed))
        show("held-out accuracy of the heads on the sample messages", rows, args.json)


if __name__ == "__main__":
    main()
