"""What new texts say about a published fine-tune for marked text: on a real store, with a real blend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from backend.jobs.learn.refit import refit
from model.spans.head.tuned_marks import TunedMarks, WordScorer
from model.versions.directory import list_versions, read_manifest, version_path, write_version
from model.versions.finetuned import FineTuned
from model.versions.live_model import LiveModel
from tests.support.marking import MARKS, PROJECT, Marks, sentences


def publish_blend(context: Any, weight: float) -> str:
    """A version whose fine-tuned side, on the untouched encoder, takes every word for a person."""
    live = context.stores.versions.live(PROJECT)
    model = context.live_model(PROJECT, live)
    version = context.stores.versions.allocate(PROJECT)
    width = context.encoders.base.width
    blank = np.zeros((5, width), np.float32)
    scorer = WordScorer(("PER", "LOC"), blank, blank, np.array([0, 9, 0, 0, 0], np.float32), blank[:0, :0])
    weights = context.settings.data_dir / "encoder.safetensors"
    weights.write_bytes(b"weights")
    finetuned = FineTuned(weights, {}, {"label": TunedMarks(scorer, weight, trained_on=1000)})
    manifest = replace(model.manifest, version=version, kind="finetune", finetuned=version, files={}, created_at="")
    write_version(context.settings.models_dir, manifest, {}, finetuned, model.span_heads)
    base = context.encoders.base
    blend = LiveModel(version, model.spec, {}, base, finetuned, base, manifest, model.span_heads, model.tools)
    context.keep_model(PROJECT, blend)
    context.stores.versions.note_evaluated(PROJECT, {"labels": 0, "texts": 24, "job": "train-x"}, accepted=True)
    context.stores.versions.publish(PROJECT, version, expected=live, seq=manifest.snapshot_seq, by="trainer")
    return version


def manifest_of(context: Any) -> Any:
    return read_manifest(version_path(context.settings.models_dir, PROJECT, context.stores.versions.live(PROJECT)))


def test_a_blend_that_costs_edits_is_withdrawn(context: Any) -> None:
    marks = Marks(context, MARKS)
    marks.add(sentences(24))
    refit(PROJECT)
    assert publish_blend(context, 0.9) == "v1"
    marks.add(sentences(32, 100))
    refit(PROJECT)
    rows = [row for row in context.stores.evidence.rows(PROJECT) if row.version == "v1"]
    assert rows and all(row.tuned == "v1" and row.marked.edits_alone is not None for row in rows)
    assert sum(row.marked.edits for row in rows) > sum(row.marked.edits_alone for row in rows)
    assert manifest_of(context).finetuned == "v1", "fewer than 40 texts prove nothing"
    marks.add(sentences(32, 300))
    refit(PROJECT)
    manifest = manifest_of(context)
    assert manifest.finetuned is None
    found = list_versions(context.settings.models_dir, PROJECT)
    (withdrawal,) = [own.reason for own in found if own.reason]
    assert "label: fine-tune withdrawn, v1 is worse than the head alone: edits a text" in withdrawal
    model = context.live_model(PROJECT, manifest.version)
    assert model.finetuned is None and not model.answerer("label").is_blend
    assert context.stores.versions.evaluated(PROJECT)["refusals"] == 1


def test_one_that_a_later_training_outdid_goes(context: Any) -> None:
    marks = Marks(context, MARKS)
    marks.add(sentences(24))
    refit(PROJECT)
    publish_blend(context, 0.3)
    facts = {"labels": 0, "texts": 2000, "job": "train-y", "outdone": ["label"]}
    context.stores.versions.note_evaluated(PROJECT, facts, accepted=False)
    marks.add(sentences(2, 100))
    refit(PROJECT)
    assert "one on 2000 texts was worse than the head alone" in manifest_of(context).reason
