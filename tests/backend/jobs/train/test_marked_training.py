"""Retraining projects that mark text: a head search, or a fine-tune that leaves the span heads as they are."""

from __future__ import annotations

import shutil
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


def test_a_project_that_only_marks_text_is_fitted_from_nothing(context: Any) -> None:
    marks = Marks(context, MARKS)
    marks.add(sentences(70))
    refit(PROJECT)
    marks.add(sentences(2, 100))
    refit(PROJECT)
    assert heads_of(context, "v0.2")["label"].details.cold == 70
    job = ask(context)
    assert train(job) == "done"
    record = context.stores.jobs.get(job)
    assert (record["version"], record["stage"]) == ("v0.3", "head search")
    assert "not fine-tuned" in record["message"] and context.stores.versions.live(PROJECT) == "v0.3"
    assert heads_of(context, "v0.3")["label"].details.cold == 72
    assert context.stores.jobs.running(PROJECT) is None


def test_a_pin_stays_unless_it_is_the_one_that_was_known(context: Any) -> None:
    marks = Marks(context, MARKS)
    marks.add(sentences(16))
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


@pytest.mark.slow
def test_a_fine_tune_takes_the_span_heads_over_as_they_are(context: Any) -> None:
    context.settings = context.settings.model_copy(update={"finetune_steps": 2})
    marks = Marks(context, MIXED)
    marks.add(sentences(40))
    refit(PROJECT)
    before = heads_of(context, "v0.1")["label"]
    job = ask(context)
    status = train(job)
    assert status in ("done", "rejected"), context.stores.jobs.get(job)
    manifest = read_manifest(version_path(context.settings.models_dir, PROJECT, "v1"))
    assert manifest.kind == "finetune" and set(manifest.gate or {}) == {"topic"}, "the gate is about what was tuned"
    after = heads_of(context, "v1")["label"]
    assert after.config() == before.config()
    assert all((array == before.tensors()[name]).all() for name, array in after.tensors().items())
    texts = [{"text": one.text, "text.page": one.text} for one in sentences(8, 100)]
    tuned, head = (context.live_model(PROJECT, version) for version in ("v1", "v0.1"))
    assert tuned.tuned is not None and tuned.mark("label", texts) == head.mark("label", texts)
    context.stores.versions.publish(PROJECT, "v1", expected="v0.1", seq=40, by="test", force=True)
    marks.add(sentences(4, 200))
    assert refit(PROJECT) == "published"
    live = context.stores.versions.live(PROJECT)
    model = context.live_model(PROJECT, live)
    assert live == "v1.1" and model.span_heads["label"].details.texts == 44 and model.tuned is not None


@pytest.mark.slow
def test_a_fine_tune_whose_parent_is_gone_by_its_end_is_no_failure(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it trains for hours, refits go on, and old versions are cleared away."""
    from backend.jobs.train import train as module

    context.settings = context.settings.model_copy(update={"finetune_steps": 2})
    marks = Marks(context, MIXED)
    marks.add(sentences(40))
    refit(PROJECT)
    run = module.run_process

    def meanwhile(*given: Any) -> Any:
        shutil.rmtree(version_path(context.settings.models_dir, PROJECT, "v0.1"))
        return run(*given)

    monkeypatch.setattr(module, "run_process", meanwhile)
    job = ask(context)
    assert train(job) in ("done", "rejected"), context.stores.jobs.get(job)
    assert heads_of(context, "v1") == {}
    tuned = context.live_model(PROJECT, "v1")
    assert set(tuned.span_heads) == {"label"}, "cold until the next refit"
