"""Checkpoints and versions made in seconds, for benches of speed, which does not depend on the weights' values.

An encoder of BERT-base shape with random weights, what the peer serves, and versions to swap: real heads, and encoders
trained for one step, then varied.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from backend.base_model.encoders import Encoders
from backend.labelstudio.task_spec import parse_label_config
from backend.settings.settings import Settings
from model.encoder.encoder import find_base_model
from model.head.fit import fit_heads
from model.spec import Sample
from model.versions.directory import Manifest, version_path, write_version
from model.versions.finetuned import FineTuned
from tests.support.rig import choices_config


def write_bert_base(directory: Path) -> Path:
    """An encoder of BERT-base shape (12 layers of 768, 110 M random weights) with the packaged tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    # The pooler would only be kept on disk: nobody reads it.
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(directory)
    copy_tokenizer(directory)
    return directory


def write_classifier(encoder: Path, directory: Path, labels: Sequence[str]) -> Path:
    """What the peer keeps after a training: the encoder with a classification layer (random here) and a tokenizer."""
    import torch
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()  # of the classification layer that the encoder lacks
    torch.manual_seed(0)
    names = dict(enumerate(labels))
    model = AutoModelForSequenceClassification.from_pretrained(
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

    def _train(self, path: Path) -> dict[str, object]:
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
