"""Whether an export answers as the product does, in an environment of its own, and what it costs; memory of data sets.

    python -m bench.export [--kinds single,set,...] [--texts 1000] [--labels 320] [--steps 40] [--heads-only] [--json]
    python -m bench.export --dataset [--sizes 10000,100000] [--each 1.1,2,3] [--json]
    python -m bench.export --beside [--rounds 5] [--seconds 20] [--json]
    python -m bench.export --transformers [--spans] [--sets agnews,sst2] [--labels 256] [--texts 600] [--seeds 0,1,2]

For each kind of project a real web process (Flask over HTTP), learner and trainer: labels come as webhooks, then the
version with a refitted head is exported by `understudy export`, int8 too, and after a fine-tune (of so many steps;
served though the gate may refuse it) the blend. The directory's own `predict.py` runs in a virtual environment that
has onnxruntime, tokenizers and what they bring, and nothing else. Both get the same texts, which nobody has read.

`same`: texts answered alike; `mean`, `most`: how far the score of an answer (how likely all of it is right) is from
`/predict`'s, of those answered alike; `right`, `right_here`: answers that are exactly right, by the set's labels. `ms`,
`ms_here`, `ms_stock`: CPU milliseconds a text of the export (loading left out), of `/predict` (web process and Redis,
the first time that a text is read), and of a stock `transformers.pipeline` of the same encoder with a classification
layer, batches of 16: one thread each.

`--transformers`: the stock classifier that `--format transformers` writes, on the shared public sets: accuracy on test
texts that neither has seen, of it and of the version that it was distilled from (a head on so many labels; 1,500 other
texts without), medians over seeds; `same` and `mean` as its parity report has them, on those test texts. `--spans`:
of marked text, F1 of exact spans with their labels; `same` is the F1 of the one against the other.

`--dataset`: peak memory of `understudy dataset` by format, and what the web process that streams it takes beyond what
it had, with so many labels. `each`: annotations a task (1.1: one task in ten has two); of seven people, each of whom is
right four times in five. `bytes_a_label` is the slope from one size to the next; a web process sends jsonl first.

`--beside`: /predict for one new text, ten times a second, while the trainer exports in either format, fine-tunes, or
does nothing; in turn, medians of rounds, and how many times as long as beside nothing (of the same round).
"""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from backend.labelstudio.records import ExampleRecord
from backend.settings.settings import Settings
from backend.store.stores import Stores
from bench.support.fixtures import CHUNK, HOUR, write_classifier
from bench.support.report import LIST_OF_COUNTS, command, judge, numbers, show
from bench.support.served import Parts, process_seconds
from model.encoder.encoder import Encoder, find_base_model
from tests.support.export_kinds import Asked, Kind, KindProject, Said, kinds, read_exported
from tests.support.predict_beside import PredictBeside
from tests.support.rig import ROOT, choices_config, read_rows
from tests.support.stock_draws import Amounts, measure_spans, measure_texts

LEAST_SAME = {"model.onnx": 0.99, "model.int8.onnx": 0.97}

UNCOUNTED = 8
"""Texts of the run that is taken off: what starting and loading cost."""

REQUEST, STOCK_BATCH = 25, 16
"""Tasks of a request to /predict; texts that the stock pipeline takes at a time."""

SETS, UNLABELLED = ROOT.parent / "shared" / "data", 1500
TEXT_SETS, SPAN_SETS = "agnews,sst2,smsspam,banking77,goemotions_ekman", "wikigold,wnut17,bc5cdr,snips"

Row = dict[str, Any]


class Bare:
    """A virtual environment with what an export needs."""

    def __init__(self, directory: Path) -> None:
        self.python = directory / "bin" / "python"
        uv = [sys.executable, "-m", "uv", "--quiet"]
        subprocess.run([*uv, "venv", "--python", sys.executable, str(directory)], check=True)
        wanted = [f"{name}=={version(name)}" for name in ("onnxruntime", "tokenizers")]
        subprocess.run([*uv, "pip", "install", "--python", str(self.python), *wanted], check=True)

    def answer(self, export: Path, graph: str, rows: Sequence[Asked]) -> tuple[list[Row], float]:
        """What the export says of each, and CPU milliseconds a text."""
        known, few = self._run(export, graph, rows), self._run(export, graph, rows[:UNCOUNTED])
        return known[0], 1000 * (known[1] - few[1]) / max(1, len(rows) - UNCOUNTED)

    def _run(self, export: Path, graph: str, rows: Sequence[Asked]) -> tuple[list[Row], float]:
        given, taken = export.with_name("rows.jsonl"), export.with_name("answers.jsonl")
        given.write_text("".join(json.dumps(dict(row.data)) + "\n" for row in rows), encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        program = [str(self.python), "-I", "-B", str(export / "predict.py"), str(given), "-o", str(taken)]
        subprocess.run([*program, "--graph", graph, "--threads", "1"], check=True, cwd=export, env={})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = taken.read_text(encoding="utf-8").split("\n")[:-1]
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return [json.loads(line)["answer"] for line in lines], used


class Bench:
    """The running product with a project of each kind."""

    def __init__(self, parts: Parts, scratch: Path, args: Namespace) -> None:
        self.parts, self.scratch, self.args = parts, scratch, args
        self.bare = Bare(scratch / "bare")

    def measure(self, number: int, kind: Kind) -> Iterator[Row]:
        """A row for each version and graph."""
        rows = kind.rows()
        project = KindProject(self.parts, number, [], kind.config)
        project.setup()
        taught = [("", row) for row in itertools.islice(rows, self.args.labels)]
        self.parts.learn(project, len(taught), taught)
        stock = self._stock(kind, list(itertools.islice(rows, min(self.args.texts, 200))))
        yield from self._compare(project, kind, "head", list(itertools.islice(rows, self.args.texts)), stock)
        if not self.args.heads_only:
            self._fine_tune(project)
            yield from self._compare(project, kind, "fine-tuned", list(itertools.islice(rows, self.args.texts)), stock)

    def _fine_tune(self, project: KindProject) -> None:
        """Served whatever the gate says: it is the graph that is measured."""
        path = f"/projects/{project.number}"
        with self.parts.training():
            ended = self.parts.wait_job(self.parts.admin("POST", f"{path}/retrain", {})["job"])
        if ended["status"] not in ("done", "rejected"):
            raise RuntimeError(f"the fine-tune ended as {ended}")
        if project.setup() != ended["version"]:
            self.parts.admin("POST", f"{path}/rollback", {"version": ended["version"]})
        deadline = time.monotonic() + 60
        while project.setup() != ended["version"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{ended['version']} is not served")
            time.sleep(0.1)

    def _compare(
        self, project: KindProject, kind: Kind, name: str, rows: Sequence[Asked], stock: float
    ) -> Iterator[Row]:
        export = self.scratch / f"{kind.name}-{name}"
        self._export(project, export)
        shown = read_exported(export)
        here, milliseconds = self._ask(project, rows)
        for graph, least in LEAST_SAME.items():
            answers, own = self.bare.answer(export, graph, rows)
            said = [said_by(answer, shown) for answer in answers]
            alike = [one == other for one, (other, _) in zip(said, here, strict=True)]
            scores = np.array([[answer["score"], score] for answer, (_, score) in zip(answers, here, strict=True)])
            apart = np.abs(scores[:, 0] - scores[:, 1])[alike]
            same = sum(alike) / len(rows)
            yield {
                "kind": kind.name,
                "version": name,
                "graph": graph,
                "texts": len(rows),
                "same": round(same, 4),
                "mean": round(float(apart.mean()), 6),
                "most": round(float(apart.max()), 5),
                "right": share_right(said, rows),
                "right_here": share_right([one for one, _ in here], rows),
                "ms": round(own, 2),
                "ms_here": round(milliseconds, 2),
                "ms_stock": round(stock, 2),
                "mb": round((export / graph).stat().st_size / 1e6, 1),
                **judge(round(same, 4), ">=", least),
            }

    def _export(self, project: KindProject, directory: Path) -> None:
        order = ["export", str(project.number), "-o", str(directory), "--int8", "--accept-loss"]
        done = subprocess.run(
            [sys.executable, "-m", "backend", *order, "--texts", "50", "--data-dir", str(self.parts.data_dir)],
            cwd=ROOT,
            env={**os.environ, **self.parts.environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"the export failed: {done.stderr[-2000:]}")

    def _ask(self, project: KindProject, rows: Sequence[Asked]) -> tuple[list[tuple[Said, float]], float]:
        """What /predict says, and CPU milliseconds a text; its first text is read before that is counted."""
        server = self.parts.server("ours")
        project.answers([Asked({name: "warm up" for name in rows[0].data}, (), ())])
        before = sum(process_seconds(one.pid) for one in server.tree())
        found = [
            answer
            for start in range(0, len(rows), REQUEST)
            for answer in project.answers(rows[start : start + REQUEST])
        ]
        return found, 1000 * (sum(process_seconds(one.pid) for one in server.tree()) - before) / len(rows)

    def _stock(self, kind: Kind, rows: Sequence[Asked]) -> float:
        """CPU milliseconds a text of the pipeline that people would have instead."""
        import torch
        from transformers import pipeline

        torch.set_num_threads(1)
        directory = self.scratch / f"{kind.name}-stock"
        marks = kind.name == "spans"
        write_classifier(find_base_model(), directory, [f"label {place}" for place in range(kind.labels)], words=marks)
        task = "token-classification" if marks else "text-classification"
        more = {} if marks else {"truncation": True}
        load: Any = pipeline  # its overloads name each task
        built = load(task, model=str(directory), tokenizer=str(directory), device="cpu", **more)
        texts: list[Any] = [row.data["text"] for row in rows]
        if "other" in rows[0].data:
            texts = [{"text": row.data["text"], "text_pair": row.data["other"]} for row in rows]
        built(texts[:2])
        began = time.process_time()
        built(texts, batch_size=STOCK_BATCH)
        return 1000 * (time.process_time() - began) / len(rows)


def said_by(answer: Row, shown: Mapping[str, str]) -> Said:
    """An export's answer in the form of /predict's."""
    if "spans" in answer:
        found: list[object] = [(one["start"], one["end"], one["label"]) for one in answer["spans"]]
    else:
        found = [shown.get(label, label) for label in answer["labels"]]
    return tuple(sorted(found, key=repr))


def share_right(said: Sequence[Said], rows: Sequence[Asked]) -> float:
    """Of the answers, that are exactly right."""
    return round(sum(one == row.right for one, row in zip(said, rows, strict=True)) / len(rows), 3)


FORMATS = ("jsonl", "csv", "parquet")

RIGHT = 0.8
"""How often a person is right in the projects whose data sets are measured."""

PROBE = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)
"""A small process that starts the command: a child's peak holds what its parent had when it was started."""


def measure_datasets(sizes: Sequence[int], each: Sequence[float]) -> list[Row]:
    """A row for each size, format and number of annotations a task."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="us-") as folder:
        for number, (size, share) in enumerate(itertools.product(sizes, each), start=1):
            with Parts(Path(folder) / str(number)) as parts:
                fill(parts, number, size, share)
                found = [measure_dataset(parts, Path(folder), number, size, how) for how in FORMATS]
                rows += [{"each": share, **row} for row in found]
    for row in rows:
        alike = (one for one in rows if (one["format"], one["each"]) == (row["format"], row["each"]))
        before = next(alike)
        more = row["labels"] - before["labels"]
        for name in ("command_mb", "web_mb") if more else ():
            row[f"{name[:-3]}_bytes_a_label"] = round((row[name] - before[name]) * 2**20 / more)
    return sorted(rows, key=lambda row: (row["each"], row["labels"]))


def measure_dataset(parts: Parts, folder: Path, number: int, size: int, how: str) -> Row:
    """Peak memory of one command, and of the web process beyond what it had."""
    web = parts.server("ours").worker()
    Path(f"/proc/{web.pid}/clear_refs").write_text("5", encoding="utf-8")  # the peak counts from here
    before = web.memory_info().rss / 2**20
    order = ["-m", "backend", "dataset", str(number), "-o", str(folder / f"{size}.{how}"), "--format", how]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, sys.executable, *order],
        cwd=ROOT,
        env={**os.environ, **parts.environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the data set failed: {done.stderr[-2000:]}")
    return {
        "format": how,
        "labels": size,
        "command_mb": round(int(done.stdout.split()[-1]) / 1024, 1),
        "web_mb": round(parts.server("ours").peak_mb() - before, 1),
        "file_mb": round((folder / f"{size}.{how}").stat().st_size / 2**20, 1),
    }


def fill(parts: Parts, project: int, size: int, each: float) -> None:
    """`size` annotations of messages, through the store."""
    rows, stores, chance = read_rows(), Stores(Settings(data_dir=parts.data_dir, redis_url="")), random.Random(size)
    labels = sorted({label for _, label in rows})
    stores.projects.save_config(project, choices_config(labels))
    for start in range(1, size + 1, CHUNK):
        records = []
        for number in range(start, min(start + CHUNK, size + 1)):
            task = number - (number % int(each) if each >= 2 else number % round(1 + 1 / (each - 1)) == 0)
            text, right = rows[task % len(rows)]
            label = right if chance.random() < RIGHT else chance.choice(labels)
            records.append(
                ExampleRecord(
                    annotation=number,
                    task=task,
                    texts={"text": f"{text} {task}"},
                    targets={"label": [[label]]},
                    updated_at=HOUR,
                    annotator=1 + number % 7,
                )
            )
        stores.examples.upsert_many(project, records)
    stores.close()


def measure_stock_exports(args: Namespace) -> list[Row]:
    """A row a set: medians over the seeds."""
    rows = []
    right = "f1" if args.spans else "right"
    for name in (args.sets or (SPAN_SETS if args.spans else TEXT_SETS)).split(","):
        found = [measure_stock_export(name, seed, args) for seed in numbers(args.seeds)]
        medians = {key: round(float(np.median([one[key] for one in found])), 4) for key in found[0]}
        points = 100 * (medians[right] - medians[f"{right}_here"])
        rows.append(
            {"set": name, "labels": args.labels, "seeds": len(found), **medians, **judge(points, ">=", -1, "points")}
        )
    return rows


def measure_stock_export(name: str, seed: int, args: Namespace) -> dict[str, float]:
    """Of one draw of labels and other texts."""
    amounts = Amounts(args.labels, UNLABELLED, args.texts, 60 * args.minutes)
    encoder = Encoder(find_base_model())
    if args.spans:
        return measure_spans(SETS / "ner" / name, seed, amounts, encoder, _say_stage)
    return measure_texts(SETS / name, seed, amounts, encoder, _say_stage)


def _say_stage(line: str, step: int = 0, of: int = 0) -> None:
    if not step:
        print(line, file=sys.stderr)


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=320)
    parser.add_argument("--steps", default="40")
    parser.add_argument("--heads-only", action="store_true")
    parser.add_argument("--dataset", action="store_true")
    parser.add_argument("--sizes", type=numbers, default=[10_000, 100_000])
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--each", type=lambda text: [float(part) for part in text.split(",")], default=[1.1, 2, 3])
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--sets", default="")
    parser.add_argument("--seeds", type=LIST_OF_COUNTS, default="0,1,2")
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args()
    if args.transformers:
        show("stock classifiers beside their versions", measure_stock_exports(args), args.json)
        return
    if args.beside:
        with tempfile.TemporaryDirectory(prefix="us-") as scratch, Parts(Path(scratch) / "d") as parts:
            rows = list(PredictBeside(parts).measure(args.rounds, args.seconds))
        show("/predict beside exports", rows, args.json)
        return
    if args.dataset:
        show("memory of data sets", measure_datasets(args.sizes, args.each), args.json)
        return
    known = kinds()
    wanted = [known[name] for name in args.kinds.split(",")] if args.kinds else list(known.values())
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="us-")))
        bench = Bench(stack.enter_context(Parts(folder / "d", FINETUNE_STEPS=args.steps)), folder, args)
        try:
            for number, kind in enumerate(wanted, start=1):
                rows += bench.measure(number, kind)
        finally:
            show("exports beside /predict", rows, args.json)


if __name__ == "__main__":
    main()
