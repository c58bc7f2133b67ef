"""What a fine-tune costs: `transformers.Trainer` as HumanSignal's example calls it, beside the product's own loop.

    python -m bench.finetune [--examples 256] [--epochs 3] [--held-out 300] [--seed 0] [--data ../shared/data/agnews]
                             [--variants trainer,all,whole,half] [--formats] [--step] [--queue 9] [--ranks 1,2] [--json]

Each variant learns the same rows of AG News (the sample messages when the folder is absent) with MiniLM, in a process
of its own on one thread. CPU seconds are that process's from texts to saved weights, libraries already imported and
the labels' features in the feature cache, where the learner leaves them. Tokens are real ones, without padding.
`--ranks` trains with the product's own process instead, once alone and once as `accelerate launch` starts two of it
over gloo, a thread each, at the same batches: what both versions answer on the held-out rows, how far they are apart.
`--formats` runs what ships once more with each number format set by hand: auto should be the better one, within 5 %.
`--queue`: a day of many projects, simulated with measured fine-tunes (tests/support/training_queue.py), by order.
`--step`: a step of what ships in both formats, its matrix products alone as a share of it, and where the rest goes.

The Trainer's is `fit()` of label_studio_ml/examples/bert_classifier of HumanSignal/label-studio-ml-backend with what
keeps it from running repaired: `eval_strategy` for `evaluation_strategy`, `processing_class` for `tokenizer`, a list
for `datasets.Dataset`. Left as it is: 2e-5, 3 epochs, batches of 8, weight decay 0.01, everything padded to the longest
text, all layers and embeddings learning, checkpoints saved.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.support.report import command, judge, judge_auto, list_of, numbers, show
from bench.support.texts import DATA, read_split
from model.training.recipe import TrainingRecipe
from tests.support.rig import ROOT

VARIANTS = {
    "trainer": "transformers.Trainer, as the peer calls it",
    "all": "own loop, all layers learn",
    "whole": "own loop, lower half frozen, all tokens read",
    "half": "own loop, lower half frozen, token dropout (ships)",
}
FORMATS = {"half": "auto", "half-fp32": "PRECISION=fp32", "half-bf16": "PRECISION=bf16"}
RECIPES = {"all": TrainingRecipe(frozen_share=0.0), "whole": TrainingRecipe(token_share=1.0)}
BARS = {"all": 5.0, "half": 12.0}
"""Times less CPU than the Trainer."""

BATCH = 16
"""The product's (model/training/training_set.py)."""

Row = tuple[str, str]


def arguments() -> argparse.ArgumentParser:
    """Of the bench, and of the process of one variant."""
    parser = command(__doc__)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--held-out", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA / "agnews")
    parser.add_argument("--base-model", default="")
    parser.add_argument("--variants", type=list_of(VARIANTS), default=",".join(VARIANTS))
    parser.add_argument("--formats", action="store_true")
    parser.add_argument("--ranks", type=numbers, help="numbers of processes")
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--queue", type=int, metavar="DAYS")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # this process is the one of a variant
    return parser


def measure(variant: str, given: Sequence[str]) -> dict[str, Any]:
    """One variant in a process of its own; what it printed last. Raises RuntimeError."""
    from backend.settings.settings import child_environment

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = child_environment(TOKENIZERS_PARALLELISM="false", **dict.fromkeys(names, "1"))
    command = [sys.executable, "-m", "bench.finetune", *given, "--only", variant]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the variant {variant} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the table: the ratios to the Trainer and whether the bars are met, with the accuracy that it takes."""
    rows = []
    peer = found.get("trainer")
    for variant, facts in found.items():
        row = {"variant": VARIANTS[variant], **facts}
        if peer and variant in BARS:
            row["times_less_cpu"] = round(peer["cpu_s"] / facts["cpu_s"], 1)
            row |= judge(row["times_less_cpu"], ">=", BARS[variant], "x")
            row["met"] = row["met"] and facts["accuracy"] >= peer["accuracy"]
        rows.append(row)
    return rows


def explain(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Why a bar is missed."""
    peer, lines = rows[0], []
    for row in (row for row in rows if row.get("met") is False):
        if row["accuracy"] < peer["accuracy"]:
            lines.append(f"{row['variant']}: less accurate than the Trainer")
        share = 100 * row["products_s"] / row["cpu_s"]
        lines.append(
            f"{row['variant']}: {row['bar']} missed. {share:.0f} % of its CPU is matrix products of real tokens at the "
            f"core's best rate; nothing else at all would be {peer['cpu_s'] / row['products_s']:.1f}x"
        )
    if lines and all(row.get("precision") != "bf16" for row in rows):
        lines.append("bfloat16, where it is fast, would shorten the products of the own loop alone; here it is slower.")
    return lines


def run_variant(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds, steps, tokens a second, accuracy on held-out rows and peak memory of one variant.

    `products_s`: seconds that the matrix products of its layers take at this core's best, for the real tokens."""
    import torch

    from model.encoder.engine import time_products, training_kernel, training_precision
    from model.pretrained.architectures import linear_cost
    from model.pretrained.base_model import find_base_model, read_config

    torch.set_num_threads(1)
    train = read_split("train", args.seed, args.data)[: args.examples]
    test = read_split("test", args.seed, args.data)[: args.held_out]
    names = sorted({label for _, label in train})
    base = find_base_model(args.base_model)
    load_libraries(base)
    variant, _, wanted = name.partition("-")
    device, config = torch.device("cpu"), read_config(base)
    precision = training_precision(wanted or "auto", config, device, None)
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        folder = Path(scratch)
        if name == "trainer":
            facts = run_trainer(base, train, test, names, args, folder)
        else:
            recipe = RECIPES.get(variant, TrainingRecipe())
            kernel = training_kernel(precision, config, device, None)
            facts = run_own(base, train, test, names, args, folder, recipe, precision, kernel)
            facts["precision"] = precision
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    learned = 1.0 if variant in ("trainer", "all") else 0.5  # of the layers, those that run forward and back
    work = linear_cost(config) * (3 * learned * facts.pop("tokens") + (1 - learned) * facts.pop("once", 0))
    facts["products_s"] = round(work / product_rate(), 2)
    return {**facts, "peak_rss_mib": peak, "timed": time_products(config, device, None).describe()}


def load_libraries(base: Path) -> None:
    """Transformers loads an architecture's modules with its first model: 4 CPU seconds, for every variant alike."""
    from transformers import AutoConfig, AutoModel, Trainer

    assert callable(Trainer)
    AutoModel.from_config(AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False))


def product_rate() -> float:
    """FLOP a CPU second of float32 matrix products of a batch's shape: the best of some rounds."""
    import torch

    left, right = torch.randn(850, 384), torch.randn(384, 1536)
    rates = []
    for _ in range(10):
        began = time.process_time()
        for _ in range(20):
            left @ right
        rates.append(20 * 2 * 850 * 384 * 1536 / (time.process_time() - began))
    return max(rates)


def run_trainer(
    base: Path, train: Sequence[Row], test: Sequence[Row], names: list[str], args: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """The peer's fit(), repaired."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    offline = {"local_files_only": True, "trust_remote_code": False}
    began = time.process_time()
    tokenizer = AutoTokenizer.from_pretrained(base, **offline)
    encoded = tokenizer([text for text, _ in train], truncation=True, padding=True)
    rows = [
        {**{key: encoded[key][row] for key in encoded}, "label": names.index(label)}
        for row, (_, label) in enumerate(train)
    ]
    torch.manual_seed(args.seed)  # the peer's new head is drawn before the Trainer sets its seed
    config = AutoConfig.from_pretrained(base, num_labels=len(names), **offline)
    model = AutoModelForSequenceClassification.from_pretrained(base, config=config, use_safetensors=True, **offline)
    arguments = TrainingArguments(
        output_dir=str(folder / "training_output"),
        learning_rate=2e-5,
        eval_strategy="no",
        num_train_epochs=args.epochs,
        weight_decay=0.01,
        seed=args.seed,
        report_to="none",  # no service that happens to be installed
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    trainer.save_model(str(folder / "finetuned-model"))
    seconds = time.process_time() - began
    steps, tokens = int(trainer.state.global_step), sum(sum(mask) for mask in encoded["attention_mask"]) * args.epochs
    model.eval()
    right = 0
    with torch.inference_mode():
        for text, label in test:
            logits = model(**tokenizer(text, truncation=True, return_tensors="pt")).logits
            right += int(logits.argmax()) == names.index(label)
    return _facts(seconds, steps, tokens, right / len(test))


def run_own(
    base: Path,
    train: Sequence[Row],
    test: Sequence[Row],
    names: list[str],
    args: argparse.Namespace,
    folder: Path,
    recipe: TrainingRecipe,
    precision: str,
    kernel: str,
) -> dict[str, Any]:
    """The product's loop for as many batches as the epochs hold."""
    from model.encoder.encoder import Encoder
    from model.training.layers.token_dropout import count_kept
    from model.training.tuner import FineTuner, TrainingSet, prototype_head

    texts = [(text,) for text, _ in train]
    targets = np.eye(len(names))[[names.index(label) for _, label in train]]
    encoder = Encoder(base)
    features = encoder.embed(texts)[:, -1]
    words = encoder.embed([(name,) for name in names])[:, -1]
    del encoder
    steps = math.ceil(args.epochs * len(train) / BATCH)
    began = time.process_time()
    head = prototype_head(words, features, targets)
    lesson = TrainingSet("label", tuple(names), False, texts, targets, np.ones(len(texts)), head)
    tuning = FineTuner(base, [lesson], seed=args.seed, threads=1, recipe=recipe, precision=precision, kernel=kernel)
    tuning.run(steps, lambda step, loss: None, folder / "checkpoint.safetensors")
    tuning.save_encoder(folder / "encoder.safetensors")
    seconds = time.process_time() - began
    drawn = [window for step in range(steps) for window in tuning._draw(step)[2]]
    tokens = sum(count_kept(len(window.ids), tuning.top.token_share) for window in drawn)
    once = sum(len(ids) for ids in {tuple(window.ids) for window in drawn})
    found = tuning.answers(0, [(text,) for text, _ in test]).argmax(1)
    right = sum(names[answer] == label for answer, (_, label) in zip(found, test, strict=True))
    return {**_facts(seconds, steps, tokens, right / len(test)), "once": once}


def run_ranks(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The training process on so many ranks, at the same batches; accuracy of the versions that they write, and the
    largest difference of a probability from the first one's."""
    from model.training.request import REQUEST, Request, write_json
    from tests.support.encoders import choices, samples_of, spec_of

    train = read_split("train", args.seed, args.data)[: args.examples]
    names = sorted({label for _, label in train})
    rows: list[dict[str, Any]] = []
    first: Any = None
    for ranks in args.ranks:
        with tempfile.TemporaryDirectory(prefix="us-") as scratch:
            folder = Path(scratch)
            run = folder / "run"
            run.mkdir()
            request = Request(
                project=1,
                version="v1",
                parent=None,
                snapshot_seq=1,
                spec=spec_of(choices(*names)).to_json(),
                samples={"label": [one.to_json() for one in samples_of(*train)]},
                pool=[],
                base_model=args.base_model,
                models=str(folder / "models"),
                features=str(folder / "features"),
                features_mb=64,
                steps=math.ceil(args.epochs * len(train) / BATCH),
                threads=ranks,
                seed=args.seed,
            )
            write_json(run / REQUEST, request)
            cpu, seconds = _train(run, ranks)
            found, right = _answers(folder, read_split("test", args.seed, args.data)[: args.held_out])
        first = found if first is None else first
        rows.append(
            {
                "ranks": ranks,
                "steps": request.steps,
                "seconds": round(seconds, 1),
                "cpu_s": round(cpu, 1),
                "accuracy": round(right, 4),
                "answers_alike": round(float((found.argmax(1) == first.argmax(1)).mean()), 4),
                "most_apart": round(float(np.abs(found - first).max()), 5),
            }
        )
    return rows


def _train(run: Path, ranks: int) -> tuple[float, float]:
    """(CPU seconds with all children, seconds). Raises RuntimeError."""
    from backend.settings.settings import child_environment

    accelerate = [str(Path(sys.executable).parent / "accelerate"), "launch", "--multi_gpu", "--main_process_port", "0"]
    launch = [sys.executable, *accelerate, "--num_processes", str(ranks)] if ranks > 1 else [sys.executable]
    environment = child_environment(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [*launch, "-m", "model.training", str(run)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - began


def _answers(folder: Path, test: Sequence[Row]) -> tuple[Any, float]:
    """Probabilities [n, labels] of the fine-tuned encoder's own head, and the share that is right."""
    from model.encoder.encoder import Encoder, find_base_model, open_weights
    from model.versions.directory import read_heads, version_path
    from model.versions.encoder_files import encoder_weights

    directory = version_path(folder / "models", 1, "v1")
    weights = encoder_weights(directory)
    assert weights is not None
    _, finetuned = read_heads(directory, weights)
    assert finetuned is not None
    part = finetuned.heads["label"]
    tuned = open_weights(weights, Encoder(find_base_model()), threads=1)
    found = part.scores(tuned.embed([(text,) for text, _ in test])[:, -1])
    right = np.mean([part.labels[row.argmax()] == label for row, (_, label) in zip(found, test, strict=True)])
    return found, float(right)


def run_queue(days: int) -> list[dict[str, Any]]:
    """Both orders on so many simulated days: the sum over the projects after some hours, and on the mean."""
    from tests.support.training_queue import HOURS, by_gain, first_come, simulate

    rows: list[dict[str, Any]] = []
    for name, order in (("first come, first served", first_come), ("by expected gain (ships)", by_gain)):
        found = [simulate(order, seed) for seed in range(days)]
        row: dict[str, Any] = {"order": name, "trainings": round(np.mean([day.trainings for day in found]), 1)}
        for hour in (0.5, 1, 2, 4, HOURS):
            row[f"{hour:g} h"] = round(float(np.mean([day.at(hour) for day in found])), 2)
        rows.append(row | {"mean": round(float(np.mean([np.mean(day.sums) for day in found])), 2)})
    return [rows[0], rows[1] | judge(round(rows[1]["mean"] / rows[0]["mean"], 2), ">=", 1.0, "x")]


def _facts(seconds: float, steps: int, tokens: int, accuracy: float) -> dict[str, Any]:
    return {
        "cpu_s": round(seconds, 2),
        "steps": steps,
        "tokens_per_cpu_s": round(tokens / seconds),
        "accuracy": round(accuracy, 4),
        "tokens": tokens,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line entry."""
    given = list(sys.argv[1:] if argv is None else argv)
    args = arguments().parse_args(given)
    if args.only:
        print(json.dumps(run_variant(args.only, args)))
        return
    if args.queue:
        show("points of accuracy that fine-tunes are worth, 40 projects, one trainer", run_queue(args.queue), args.json)
        return
    if args.step:
        from bench.profiles import STEP_TITLE, profile_step

        with tempfile.TemporaryDirectory(prefix="us-") as scratch:
            show(STEP_TITLE, profile_step(args, Path(scratch) / "step.png"), args.json)
        return
    if args.ranks:
        show(f"a fine-tune on {args.examples} examples on several processes", run_ranks(args), args.json)
        return
    if args.formats:
        measured = {name: measure(name, given) for name in FORMATS}
        timed = measured["half"]["timed"]
        rows = [{"format": FORMATS[name], "cpu_s": facts["cpu_s"]} for name, facts in measured.items()]
        rows[0] |= {"chosen": measured["half"]["precision"]} | judge_auto(rows)
        show(f"a fine-tune by number format; as timed at the start: {timed}", rows, args.json)
        return
    found = {variant: measure(variant, given) for variant in args.variants.split(",")}
    timed = [facts.pop("timed") for facts in found.values()]
    rows = compare(found)
    show(f"a fine-tune on {args.examples} examples, {args.epochs} epochs, MiniLM", rows, args.json)
    for line in [f"PRECISION=auto, as timed: {timed[-1]}", *explain(rows)] if not args.json else ():
        print(line)


if __name__ == "__main__":
    main()
