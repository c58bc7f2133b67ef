"""Made up in seconds, for benches of speed: texts, features, heads, checkpoints, versions, and projects of any size.

They are the same for the same seed, and about cost, not accuracy. The encoder is the real one or has random weights,
versions are real files, and what is stored goes through the stores' own methods.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.application.services import build_services
from backend.base_model.encoders import Encoders
from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import answers, write_config
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.task_spec import parse_label_config
from backend.routes.app import create_app
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.encoder.encoder import Encoder, find_base_model, open_weights
from model.features.tfidf import Terms
from model.head.fit import fit_heads
from model.head.head_config import Choice
from model.head.linear_head import LinearHead, Member, Reference
from model.kernels.choice import EngineChoice
from model.numerics.arrays import normalise
from model.pretrained.base_model import read_config
from model.spec import Sample, Text
from model.versions.directory import Manifest, version_path, write_version
from model.versions.finetuned import FineTuned, TunedHead
from tests.support.rig import choices_config, read_rows

DEPTH, WIDTH = 4, 384
"""Of the default encoder's features."""

FITTED_ON = 2_000
"""Labelled texts that a head's vocabulary comes from: enough for all of its 20,000 terms."""

MEMBERS = (("layers", True), ("last", False), ("layers", False), ("last", True))
"""(view, words) of a head's members: four, the most that a refit averages; two above a few hundred labels."""


def make_texts(count: int, seed: int = 0) -> list[Text]:
    """`count` different texts of 6 to 60 words, drawn as often as the sample messages have them."""
    chance = random.Random(seed)
    words = " ".join(text for text, _ in read_rows()).split()
    return [(f"{' '.join(chance.choices(words, k=chance.randint(6, 60)))} n{number}",) for number in range(count)]


def make_features(count: int, seed: int = 0) -> NDArray[np.float32]:
    """[count, DEPTH, WIDTH]: random directions of about unit length around a common mean, as an encoder's are."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((count, DEPTH, WIDTH), dtype=np.float32)
    return (noise + np.linspace(-1, 1, WIDTH, dtype=np.float32)) / np.sqrt(np.float32(1.3 * WIDTH))


def make_head(
    classes: int, *, words: bool = True, multilabel: bool = False, members: int = len(MEMBERS), seed: int = 0
) -> LinearHead:
    """A head over made-up features, as large as a fitted one; with TF-IDF words in half of its members."""
    generator = np.random.default_rng([seed, classes])
    terms = _fit_terms(seed + 1) if words else Terms((), np.zeros(0, np.float32))

    def drawn(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal(shape, dtype=np.float32)

    fitted = tuple(
        Member(
            Choice(view, words and with_words, 10.0 * index, 10.0),
            1 / members,
            3 * drawn(WIDTH * (DEPTH if view == "layers" else 1), classes),
            drawn(classes),
            2 * drawn(len(terms.vocabulary), classes) if words and with_words else None,
        )
        for index, (view, with_words) in enumerate(MEMBERS[:members])
    )
    pool = make_features(500, seed + 2)
    prototypes = normalise(drawn(classes, WIDTH))
    similarity = (normalise(pool[:, -1]) @ prototypes.T).mean(0)
    reference = Reference(pool.mean(0), prototypes, similarity)
    labels = tuple(f"label {number}" for number in range(classes))
    return LinearHead(labels, multilabel, reference, fitted, terms, temperature=1.2, zero_share=0.1)


@lru_cache(maxsize=4)
def _fit_terms(seed: int) -> Terms:
    return Terms.fit(make_texts(FITTED_ON, seed))


def timed_formats(folder: Path | None = None) -> EngineChoice:
    """The number formats that this machine can do, and what PRECISION=auto takes; as kept in a data directory, or timed
    now."""
    import torch

    from model.encoder.engine import time_products

    return time_products(read_config(find_base_model()), torch.device("cpu"), folder)


def usable_formats(choice: EngineChoice) -> list[str]:
    """Those that are not many times slower than float32: bfloat16 without hardware for it would take most of a run."""
    from model.kernels.timing import GIVE_UP_FACTOR

    least = choice.formats["fp32"].gflops / GIVE_UP_FACTOR
    return [name for name, own in choice.formats.items() if own.gflops >= least]


def write_bert_base(directory: Path) -> Path:
    """An encoder of BERT-base shape (12 layers of 768, 110 M random weights) with the packaged tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    # The pooler would only be kept on disk: nobody reads it.
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(directory)
    copy_tokenizer(directory)
    return directory


def write_tiny_base(directory: Path) -> Path:
    """An encoder that costs next to nothing (2 layers of 32, random) with the packaged tokenizer: what is measured over
    it is everything else."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    BertModel(config, add_pooling_layer=False).save_pretrained(directory)
    copy_tokenizer(directory)
    return directory


def write_classifier(encoder: Path, directory: Path, labels: Sequence[str], *, words: bool = False) -> Path:
    """What the peer keeps after a training: the encoder with a classification layer (random here) and a tokenizer.
    `words`: of a model that classifies tokens."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification
    from transformers.utils import logging

    logging.set_verbosity_error()  # of the classification layer that the encoder lacks
    torch.manual_seed(0)
    names = dict(enumerate(labels))
    kind = AutoModelForTokenClassification if words else AutoModelForSequenceClassification
    model = kind.from_pretrained(
        encoder, num_labels=len(names), id2label=names, label2id={label: number for number, label in names.items()}
    )
    model.save_pretrained(directory)
    copy_tokenizer(directory)
    return directory


def copy_tokenizer(directory: Path) -> None:
    """The packaged tokenizer's files, which fit any encoder of the original BERT vocabulary."""
    source = find_base_model()
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, directory / name)


def write_stranger(directory: Path) -> Path:
    """The packaged encoder to the last number, but under a digest that no prior of spans was trained over: what marked
    text is learned with on any other encoder."""
    source = find_base_model()
    directory.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        (directory / path.name).symlink_to(path.resolve())
    (directory / CONFIG).unlink()
    config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    (directory / CONFIG).write_text(json.dumps({**config, "prior_of_spans": "none"}), encoding="utf-8")
    return directory


CONFIG = "config.json"

BATCH = 16
"""Rows that the one step reads."""

WEIGHT = 0.5
"""Share of the fine-tuned part in the answers: any but 0, so that the encoder is used."""


class VersionMaker:
    """Writes versions of `project` into the data directory of `settings`; `close()` removes the scratch files.

    `rows`: (text, label) pairs, a few of each class. Every fine-tuned version has weights of its own, so that no
    process finds its features in a cache."""

    def __init__(self, settings: Settings, project: int, rows: Sequence[tuple[str, str]]) -> None:
        self.settings, self.project = settings, project
        self.encoders = Encoders(settings)
        self._spec = parse_label_config(choices_config(sorted({label for _, label in rows})))
        self._rows = list(rows)
        samples = [Sample(i, (text,), {label: 1.0}) for i, (text, label) in enumerate(rows)]
        self._heads = fit_heads(self._spec, {"label": samples}, [], self.encoders.base)
        directory = find_base_model(settings.base_model)
        self._lender = Encoder(directory, precision=settings.precision, timings=settings.data_dir)
        self._scratch = settings.data_dir / "made"
        self._made = 0

    def make_head(self, version: str) -> str:
        """A version with heads on the base encoder; its name."""
        write_version(self.settings.models_dir, self._manifest(version, "head"), self._heads)
        return version

    def make_tuned(self, version: str) -> str:
        """A version with an encoder of its own; its name."""
        trained = self._scratch / "trained.safetensors"
        if not trained.is_file():
            self._heads_of_encoder = self._train(trained)
        self._made += 1
        weights = self._scratch / "varied.safetensors"
        _vary(trained, weights, self._made)
        open_weights(weights, self._lender)  # a training keeps what it finds of them in int8 (save_checked)
        manifest = replace(self._manifest(version, "finetune"), finetuned=version)
        write_version(self.settings.models_dir, manifest, self._heads, FineTuned(weights, self._heads_of_encoder))
        return version

    def remove(self, version: str) -> None:
        """Delete a version's directory."""
        shutil.rmtree(version_path(self.settings.models_dir, self.project, version))

    def close(self) -> None:
        """Remove what only the making needed."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _manifest(self, version: str, kind: str) -> Manifest:
        return Manifest(
            version=version,
            project=self.project,
            parent=None,
            kind=kind,
            snapshot_seq=0,
            spec=self._spec.to_json(),
            spec_digest=self._spec.digest,
            encoder_digest=self.encoders.base.digest,
        )

    def _train(self, path: Path) -> dict[str, TunedHead]:
        """One step of the product's own training, so that the file has the shape that training gives it."""
        from model.training.tuner import FineTuner, TrainingSet

        path.parent.mkdir(parents=True, exist_ok=True)
        control = self._spec.controls[0]
        labels = tuple(label.key for label in control.labels)
        rows = self._rows[:BATCH]
        targets = np.eye(len(labels))[[labels.index(label) for _, label in rows]]
        start = np.random.default_rng(0).standard_normal((len(labels), self.encoders.base.width))
        texts = [(text,) for text, _ in rows]
        lesson = TrainingSet(control.name, labels, False, texts, targets, np.ones(len(rows)), start)
        tuning = FineTuner(find_base_model(self.settings.base_model), [lesson], seed=0, threads=1)
        tuning.run(1, lambda step, loss: None)
        tuning.save_encoder(path)
        return dict(tuning.heads({control.name: WEIGHT}, {control.name: 1.0}))


def _vary(source: Path, target: Path, number: int) -> None:
    """A copy of a weights file that differs in its last layer norm: other digest, other features, same size."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    arrays = load_file(source)
    name = sorted(name for name in arrays if "LayerNorm" in name)[-1]
    arrays[name] = arrays[name] * np.float32(1 + number / 1000)
    with safe_open(source, framework="np") as file:
        metadata = file.metadata()  # says that the file holds changes only
    save_file(arrays, target, metadata)


CHUNK = 5_000
"""Records made at a time."""

HOUR = "2026-01-01T00:00:00Z"


class Projects:
    """Fills stores with projects. `digest`: of the base encoder."""

    def __init__(self, stores: Stores, models_dir: Path, digest: str) -> None:
        self.stores, self._models_dir, self._digest = stores, models_dir, digest

    def add(self, number: int, classes: int = 8, *, members: int = 2, words: bool = True) -> str:
        """A project with a live version; its label config."""
        head = make_head(classes, members=members, words=words)
        config = choices_config(head.labels)
        spec, stores = parse_label_config(config), self.stores
        version = f"v{number}"
        manifest = Manifest(version, number, None, "head", 0, spec.to_json(), spec.digest, self._digest)
        write_version(self._models_dir, manifest, {"label": head})
        stores.projects.save_config(number, config)
        self.add_pool(number, 0, 10)
        stores.versions.publish(number, version, expected=None, seq=0, by="bench")
        return config

    def add_examples(self, project: int, first: int, last: int, labels: Sequence[str]) -> None:
        """Annotations `first` to `last` - 1, each of a task of its own."""
        for start in range(first, last, CHUNK):
            numbers = range(start, min(start + CHUNK, last))
            records = [
                ExampleRecord(n, n, {"text": f"an example text {n}"}, {"label": [[labels[n % len(labels)]]]}, HOUR, 1)
                for n in numbers
            ]
            self.stores.examples.upsert_many(project, records)

    def add_pool(self, project: int, first: int, last: int) -> None:
        """Unlabelled tasks `first` to `last` - 1."""
        for start in range(first, last, CHUNK):
            documents = {n: {"text": f"an unlabelled text {n}"} for n in range(start, min(start + CHUNK, last))}
            self.stores.projects.add_pool(project, documents, 10_000_000)


class Site:
    """Redis, services and a client. Use as a context manager."""

    def __init__(self, data_dir: Path, **options: Any) -> None:
        secrets: dict[str, Any] = {"webhook_secret": "bench", "admin_token": "bench"}
        # The pool's own bound is set aside: what matters is whether a request feels how large it is.
        bounds: dict[str, Any] = {"poll_seconds": 0.2, "pool_size": 1_000_000}
        self.settings = Settings(data_dir=data_dir, **{**bounds, **secrets, **options})
        self._numbers = itertools.count(1_000_000_000)

    def __enter__(self) -> Site:
        self._start_redis()
        self.services = build_services(self.settings)
        self._wait(lambda: not self.services.registry.not_ready, "models do not serve")
        digest = str(self.services.registry.encoders.base.digest)
        self.projects = Projects(self.services.stores, self.settings.models_dir, digest)
        self.client = create_app(self.services).test_client()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self, "services"):
            self.services.stop()
        self.redis.terminate()
        self.redis.wait(60)

    def _start_redis(self) -> None:
        config = write_config(self.settings, find_redis_server())
        self.redis = subprocess.Popen([find_redis_server(), str(config)], stdout=subprocess.DEVNULL)
        self._wait(lambda: answers(self.settings.redis_socket), "Redis does not start")

    def restart_redis(self) -> None:
        """Kill it and start it again; returns when it has loaded its data."""
        self.redis.kill()
        self.redis.wait(60)
        self._start_redis()
        self._wait(lambda: not self.services.stores.client.info("persistence")["loading"], "Redis does not load")

    def _wait(self, done: Any, problem: str) -> None:
        deadline = time.monotonic() + 120
        while not done():
            if time.monotonic() > deadline:
                raise RuntimeError(problem)
            time.sleep(0.02)

    def wait_for(self, number: int) -> None:
        """Until the project's version answers."""
        self._wait(lambda: self.services.registry.version_of(number) == f"v{number}", "the version is not loaded")

    def new_id(self) -> int:
        """An id that nothing has yet."""
        return next(self._numbers)

    def redis_seconds(self) -> float:
        """CPU that Redis has used; its own figure, since the kernel's comes in ticks of 10 ms."""
        used = self.services.stores._redis.info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])
