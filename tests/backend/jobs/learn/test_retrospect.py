"""What new labels say about a published fine-tune and about confidence: on a real store, with a real blend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.jobs.learn.refit import refit
from backend.jobs.learn.retrospect import Hindsight
from model.evidence.row import EvidenceRow, Judgement, KeptAnswer
from model.numerics.arrays import normalise
from model.versions.directory import read_manifest, version_path, write_version
from model.versions.finetuned import FineTuned, TunedHead
from model.versions.live_model import LiveModel
from tests.backend.conftest import PROJECT, Labels
from tests.support.hook_receiver import tell_versions


def knowing(context: Any, labels: Labels) -> np.ndarray:
    """Coefficients [K, width] of a part that knows the answers of the first 100 rows already."""
    embedded = normalise(context.encoders.base.embed([(text,) for text, _ in labels.rows[:100]])[:, -1])
    found = [label for _, label in labels.rows[:100]]
    return np.array([20 * embedded[[x == name for x in found]].mean(0) for name in labels.names])


def guessing(context: Any, labels: Labels) -> np.ndarray:
    """Coefficients [K, width] of a part that answers at random, being sure."""
    return 20 * np.random.default_rng(0).normal(size=(len(labels.names), context.encoders.base.width))


def publish_blend(context: Any, coefficients: np.ndarray) -> str:
    """A fine-tuned version on the untouched encoder."""
    live = context.stores.versions.live(PROJECT)
    model = context.live_model(PROJECT, live)
    version = context.stores.versions.allocate(PROJECT)
    labels = model.labels("label")
    bias = np.zeros(len(labels), np.float32)
    part = TunedHead(labels, False, coefficients.astype(np.float32), bias, 0.5, trained_on=40)
    weights = context.settings.data_dir / "encoder.safetensors"
    weights.write_bytes(b"weights")
    finetuned = FineTuned(weights, {"label": part})
    manifest = replace(model.manifest, version=version, kind="finetune", finetuned=version, files={}, created_at="")
    heads = dict(model.heads)
    write_version(context.settings.models_dir, manifest, heads, finetuned)
    base = context.encoders.base
    blend = LiveModel(version, model.spec, heads, base, finetuned, base, manifest)
    context.keep_model(PROJECT, blend)
    facts = {"labels": 40, "seq": manifest.snapshot_seq, "job": "train-x"}
    context.stores.versions.note_evaluated(PROJECT, facts, accepted=True)
    context.stores.versions.publish(PROJECT, version, expected=live, seq=manifest.snapshot_seq, by="trainer")
    return version


def manifest_of(context: Any) -> Any:
    return read_manifest(version_path(context.settings.models_dir, PROJECT, context.stores.versions.live(PROJECT)))


def test_a_fine_tune_that_answers_new_labels_worse_is_withdrawn(context: Any, labels: Labels, caplog: Any) -> None:
    told = tell_versions(context.stores)
    labels.add(0, 40)
    refit(PROJECT)
    assert publish_blend(context, guessing(context, labels)) == "v1"
    labels.add(40, 70)
    refit(PROJECT)
    rows = context.stores.evidence.rows(PROJECT)
    assert {row.tuned for row in rows[40:]} == {"v1"} and all(row.alone is not None for row in rows[40:])
    assert manifest_of(context).finetuned == "v1" and manifest_of(context).reason == "", "30 labels prove nothing"
    labels.add(70, 90)
    refit(PROJECT)
    manifest = manifest_of(context)
    assert manifest.finetuned is None
    assert "label: fine-tune withdrawn, v1 is worse than the head alone" in manifest.reason
    assert "on 50 new labels" in manifest.reason and manifest.reason in caplog.text
    (event,) = told()
    assert event["type"] == "version.withdrawn" and event["data"]["reason"] == manifest.reason
    assert event["data"]["live"] == manifest.version
    model = context.live_model(PROJECT, manifest.version)
    assert model.finetuned is None and model.tuned is None
    assert context.stores.versions.evaluated(PROJECT) | {"at": 0} == {
        **{"labels": 40, "seq": 40, "job": "train-x", "at": 0},
        **{"accepted": False, "refusals": 1},
    }
    labels.add(90, 92)
    refit(PROJECT)
    assert manifest_of(context).finetuned is None, "and it does not come back"


def test_a_fine_tune_that_answers_new_labels_better_stays(context: Any, labels: Labels) -> None:
    labels.add(0, 40)
    refit(PROJECT)
    publish_blend(context, knowing(context, labels))
    labels.add(40, 85)
    refit(PROJECT)
    labels.add(85, 88)
    refit(PROJECT)
    assert manifest_of(context).finetuned == "v1"


def test_a_fine_tune_goes_when_the_head_alone_beats_a_fresh_one_on_more_labels(context: Any, labels: Labels) -> None:
    labels.add(0, 40)
    refit(PROJECT)
    publish_blend(context, knowing(context, labels))
    versions = context.stores.versions
    refused = {"labels": 60, "seq": 60, "job": "train-y", "outdone": ["tone"]}
    versions.note_evaluated(PROJECT, refused, accepted=False)
    labels.add(40, 62)
    refit(PROJECT)
    assert manifest_of(context).finetuned == "v1", "another control's"
    versions.note_evaluated(PROJECT, {**refused, "outdone": ["label"]}, accepted=False)
    labels.add(62, 64)
    refit(PROJECT)
    assert manifest_of(context).finetuned is None
    assert "one on 60 labels was worse than the head alone" in manifest_of(context).reason


def test_only_the_losing_control_is_withdrawn() -> None:
    part = TunedHead(("a", "b"), False, np.zeros((2, 4), np.float32), np.zeros(2, np.float32), 0.5)
    finetuned = FineTuned(Path("weights"), {"topic": part, "tone": part})
    left = Hindsight(withdrawn={"tone": "worse"}).withdraw(finetuned)
    assert left is not None and {n: p.weight for n, p in left.heads.items()} == {"topic": 0.5, "tone": 0.0}
    assert Hindsight(withdrawn={"tone": "", "topic": ""}).withdraw(finetuned) is None
    assert Hindsight().withdraw(finetuned) is finetuned and Hindsight().withdraw(None) is None


def test_confidence_that_new_labels_contradict_is_corrected_in_the_next_version(context: Any, labels: Labels) -> None:
    labels.add(0, 40)
    refit(PROJECT)
    row = EvidenceRow("label", Judgement(0.99, True, 0.01), "v0.1", annotation=1, labels=40, at=0.0)
    sure, wrong = (KeptAnswer((-0.01, -4.6), targets, 6) for targets in ((1.0, 0.0), (0.0, 1.0)))
    rows = [replace(row, served=wrong if number % 3 == 0 else sure) for number in range(120)]
    context.stores.evidence.append(PROJECT, rows)
    labels.add(40, 42)
    refit(PROJECT)
    model = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    temperature = model.heads["label"].details.served_temperature
    assert temperature is not None and temperature > 1.3
    texts = [(text,) for text, _ in labels.rows[50:60]]
    before, alone = model.parts("label", texts)
    after = model.scores("label", texts)
    assert alone is None and (after.max(1) < before.max(1)).all()
    assert (after.argmax(1) == before.argmax(1)).all() and after.sum(1) == pytest.approx(np.ones(10))
    context._live.clear()
    again = context.live_model(PROJECT, model.version)
    np.testing.assert_allclose(again.scores("label", texts), after, atol=1e-5)
