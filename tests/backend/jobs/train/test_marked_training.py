"""Retraining projects that mark text: a head search, or a fine-tune that leaves the span heads as they are."""

from __future__ import annotations

from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from backend.jobs.train.train import train
from model.versions.directory import read_manifest, read_span_heads, version_path
from tests.support.marking import MARKS, MIXED, PROJECT, Marks, sentences


def ask(context: Any, **more: Any) -> str:
    return str(context.stores.jobs.request_training(PROJECT, by="test", force=True, **more)[0]["id"])


def heads_of(context: Any, version: str) -> Any:
    prior = context.encoders.span_tools().reader.prior
    return read_span_heads(version_path(context.settings.models_dir, PROJECT, version), prior)


def test_few_marked_texts_are_fitted_from_nothing(context: Any) -> None:
    marks = Marks(context, MARKS)
    marks.add(sentences(12))
    refit(PROJECT)
    job = ask(context)
    assert train(job) == "done"
    record = context.stores.jobs.get(job)
    assert (record["version"], record["stage"]) == ("v0.2", "head search")
    assert "16 annotated texts" in record["message"] and context.stores.versions.live(PROJECT) == "v0.2"
    assert heads_of(context, "v0.2")["label"].details.cold == 12
    assert context.stores.jobs.running(PROJECT) is None


def test_a_pin_stays_unless_it_is_the_one_that_was_known(context: Any) -> None:
    marks = Marks(context, MARKS)
    marks.add(sentences(12))
    refit(PROJECT)
    job = ask(context)
    context.stores.versions.pin(PROJECT, "v0.1")  # a rollback since
    assert train(job) == "rejected" and "pinned" in context.stores.jobs.get(job)["message"]
    assert context.stores.versions.live(PROJECT) == "v0.1"
    assert train(ask(context)) == "done", "asked for by somebody who knew of it"
    assert context.stores.versions.live(PROJECT) == "v0.2" and context.stores.versions.pinned(PROJECT) is None


def test_without_a_label_there_is_nothing_to_search(context: Any) -> None:
    Marks(context, MARKS)
    job = ask(context)
    assert train(job) in ("rejected", "done"), context.stores.jobs.get(job)


@pytest.fixture
def quick(context: Any) -> Any:
    """Four steps a training: the road is the same."""
    context.settings = context.settings.model_copy(update={"finetune_steps": 4})
    return context


@pytest.mark.long
@pytest.mark.slow
def test_marked_text_is_fine_tuned_and_judged_by_edits(quick: Any) -> None:
    marks = Marks(quick, MARKS)
    marks.add(sentences(70))
    refit(PROJECT)
    marks.add(sentences(2, 100))
    refit(PROJECT)
    job = ask(quick)
    status = train(job)
    record = quick.stores.jobs.get(job)
    assert status in ("done", "rejected"), record
    directory = version_path(quick.settings.models_dir, PROJECT, "v1")
    manifest = read_manifest(directory)
    assert manifest.kind == "finetune" and manifest.gate is not None
    verdict = manifest.gate["label"]
    assert verdict["evidence"]["n"] == 72, "every text was held out once"
    assert {"f1", "saved", "ece"} <= set(verdict["evidence"]["champion"])
    assert "edits a text against" in manifest.reason and "F1" in manifest.reason
    model = quick.live_model(PROJECT, "v1")
    part = model.finetuned.marks["label"]
    assert part.trained_on == 72 and part.weight in (0.3, 0.5) and model.tuned is not None
    assert quick.stores.versions.evaluated(PROJECT)["texts"] == 72
    live = quick.stores.versions.live(PROJECT)
    assert heads_of(quick, live)["label"].details.cold == 72, "retraining fits the heads anew, whatever the verdict"


@pytest.mark.long
@pytest.mark.slow
def test_refits_keep_the_blend_and_an_older_one_counts_less(quick: Any) -> None:
    marks = Marks(quick, MARKS)
    marks.add(sentences(40))
    refit(PROJECT)
    assert train(ask(quick)) in ("done", "rejected")
    versions = quick.stores.versions
    versions.publish(PROJECT, "v1", expected=versions.live(PROJECT), seq=40, by="test", force=True)
    marks.add(sentences(40, 200))
    assert refit(PROJECT) == "published"
    live = versions.live(PROJECT)
    model = quick.live_model(PROJECT, live)
    assert live.startswith("v1.") and model.span_heads["label"].details.texts == 80
    assert model.answerer("label").is_blend
    part = model.finetuned.marks["label"]
    assert part.aged(80).weight == part.weight / 2
    texts = [{"text.page": one.text} for one in sentences(8, 100)]
    both, alone = model.mark("label", texts), model.mark("label", texts, alone=True)
    assert [one.score for one in both] != [one.score for one in alone]
    rows = quick.stores.evidence.rows(PROJECT, 100)
    tested = [row for row in rows if row.version == "v1"]
    assert tested and all(row.tuned == "v1" and row.marked.edits_alone is not None for row in tested)


@pytest.mark.long
@pytest.mark.slow
def test_one_encoder_is_tuned_for_choices_and_marks_together(quick: Any) -> None:
    marks = Marks(quick, MIXED)
    marks.add(sentences(40))
    refit(PROJECT)
    assert train(ask(quick)) in ("done", "rejected")
    manifest = read_manifest(version_path(quick.settings.models_dir, PROJECT, "v1"))
    assert set(manifest.gate or {}) == {"topic", "label"}
    model = quick.live_model(PROJECT, "v1")
    assert set(model.finetuned.heads) == {"topic"} and set(model.finetuned.marks) == {"label"}
    answers = model.predict([{"text": one.text, "text.page": one.text} for one in sentences(4, 100)])
    assert all({answer.control for answer in own} == {"topic", "label"} for own in answers)


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_checkpoint(context: Any) -> None:
    context.settings = context.settings.model_copy(update={"finetune_steps": 30, "failpoint": "checkpoint.after@25"})
    marks = Marks(context, MARKS)
    marks.add(sentences(24))
    job = ask(context)
    assert train(job) == "crashed"
    run = context.settings.runs_dir / job
    assert (run / "run.json").is_file() and (run / "part0.safetensors").is_file()
    context.settings = context.settings.model_copy(update={"failpoint": ""})
    context.stores.failures.clear(PROJECT, "train")
    assert train(job) in ("done", "rejected")
    assert read_manifest(version_path(context.settings.models_dir, PROJECT, "v1")).gate is not None
