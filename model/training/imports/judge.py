"""The gate for a classifier that was trained elsewhere: held-out labels, the head alone beside it, and a version."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.encoder.encoder import Encoder
from model.evidence.gate import Verdict
from model.features.cache import CachedEncoder, FeatureCache
from model.features.long_texts import LabelAwarePooling
from model.head.fit import fit_head
from model.interfaces import Embedder
from model.numerics.arrays import Floats
from model.pretrained.base_model import find_base_model
from model.spec import Control, Text
from model.training.holdout_evidence import Evidence, HeldOut, split_rows
from model.training.imports.classifier import WEIGHTS, Classifier, read_classifier
from model.training.request import Request, Result
from model.versions.directory import Manifest, version_path, write_version
from model.versions.finetuned import FineTuned, TunedHead, align_columns

SHARE = 1.0
"""Of an import in what is served, at the labels that it was judged on: its answers as they are. Later labels make it
less (`TunedHead.aged`)."""


@dataclass(frozen=True)
class Candidate:
    """A copied classifier's folder, the control that it answers, and what people are told it is."""

    directory: Path
    control: Control


def judge_import(request: Request, given: Candidate, tell: Callable[[str], None] = lambda _: None) -> Result:
    """The verdict, with the version on disk whatever it is. Raises ModelError."""
    base = Encoder(
        find_base_model(request.base_model),
        threads=request.threads,
        precision=request.precision,
        timings=request.timings_folder,
    )
    found = read_classifier(given.directory, given.control, base.precision, request.timings_folder)
    cached = CachedEncoder(base, FeatureCache(Path(request.features), request.features_mb))
    lesson = split_rows(given.control, request.samples_of(given.control.name), request.seed)
    tell(f"judging it on {0 if lesson is None else int((lesson.parts >= 0).sum())} labelled texts")
    evidence = None if lesson is None else _collect(request, lesson, found, cached)
    verdict = _judge(request, evidence)
    reason = f"imported classifier: {verdict.reason}"
    count = len(request.samples_of(given.control.name))
    head = TunedHead(
        found.keys,
        found.head.multilabel,
        np.zeros((0, base.width), np.float32),
        np.zeros(0, np.float32),
        SHARE,
        evidence.temperature if evidence is not None else 1.0,
        trained_on=count,
        taught=found.head,
    )
    if evidence is not None:
        head = replace(head, rules=evidence.rules)
    spec = request.task_spec
    heads = {
        control.name: fit_head(control, request.samples_of(control.name), request.pool, cached, seed=request.seed)
        for control in spec.controls
    }
    root = Path(request.models)
    shutil.rmtree(version_path(root, request.project, request.version), ignore_errors=True)
    finetuned = FineTuned(given.directory / WEIGHTS, {given.control.name: head})
    manifest = _manifest(request, given.control.name, verdict, reason, base)
    write_version(root, manifest, heads, finetuned)
    metrics = {given.control.name: verdict.evidence.get("challenger", {})}
    return Result(request.version, verdict.accepted, reason, metrics, manifest.gate or {})


def _judge(request: Request, evidence: Evidence | None) -> Verdict:
    if evidence is None:
        what = f"too little evidence: 0 of {request.min_examples} held-out examples"
        return Verdict(False, False, what)
    return evidence.judge(request.min_examples, request.seed)


def _collect(request: Request, lesson: HeldOut, found: Classifier, base: Embedder) -> Evidence:
    """What the head alone, fitted on the other parts, and the classifier answer to each part."""
    evidence = Evidence(lesson)
    for part in sorted({int(part) for part in lesson.parts if part >= 0}):
        rows = np.flatnonzero(lesson.parts == part)
        texts = [lesson.samples[row].text for row in rows]
        rest = [sample for sample, own in zip(lesson.samples, lesson.parts, strict=True) if own != part]
        head = fit_head(lesson.control, rest, request.pool, base, seed=request.seed)
        alone = head.scores(texts, LabelAwarePooling(base, lesson.control).embed(texts))
        alone = align_columns(alone, head.labels, lesson.labels, _even(lesson, len(rows)), multilabel=lesson.multilabel)
        said = answers_of(found, texts)
        evidence.add(
            part,
            alone,
            align_columns(said, found.keys, lesson.labels, alone, multilabel=lesson.multilabel),
        )
    return evidence


def answers_of(found: Classifier, texts: list[Text]) -> Floats:
    """Probabilities [n, K] of the classifier alone, in the order of its keys."""
    logits = found.head.logits(found.encoder.embed(texts)[:, -1])
    return _probabilities(logits, found.head.multilabel)


def _probabilities(logits: Floats, several: bool) -> Floats:
    if several:
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))


def _even(lesson: HeldOut, count: int) -> Floats:
    """For labels that a part's head has never seen."""
    return np.full((count, len(lesson.labels)), 0.5 if lesson.multilabel else 1 / len(lesson.labels))


def _manifest(request: Request, control: str, verdict: Verdict, reason: str, base: Encoder) -> Manifest:
    spec = request.task_spec
    return Manifest(
        version=request.version,
        project=request.project,
        parent=request.parent,
        kind="finetune",
        snapshot_seq=request.snapshot_seq,
        spec=request.spec,
        spec_digest=spec.digest,
        encoder_digest=base.digest,
        precision=base.precision,
        labels_seen={name: len(items) for name, items in request.samples.items()},
        finetuned=request.version,
        status="published" if verdict.accepted else "challenger",
        reason=reason,
        metrics={control: verdict.evidence.get("challenger", {})},
        incumbent_metrics={control: verdict.evidence.get("champion", {})},
        gate={control: verdict.to_json()},
        seed=request.seed,
    )
