"""Retraining projects that ask questions: a fine-tune of start and end, judged by edits on passages held out."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from backend.jobs.train.train import train
from backend.rules.finetune_facts import largest_control
from model.questions.tuned_answers import TunedAnswers
from model.versions.directory import read_manifest, version_path
from tests.support.questions import PROJECT, Asked, add_answers, asked


def ask(context: Any, **more: Any) -> str:
    return str(context.stores.jobs.request_training(PROJECT, by="test", force=True, **more)[0]["id"])


def documents(questions: Sequence[Asked]) -> list[dict[str, str]]:
    return [{"text.page": one.text, "question": one.question} for one in questions]


@pytest.fixture
def quick(context: Any) -> Any:
    """Four steps a training: the road is the same."""
    context.settings = context.settings.model_copy(update={"finetune_steps": 4})
    return context


def test_few_answers_are_fitted_from_nothing(context: Any) -> None:
    add_answers(context, asked(12))
    refit(PROJECT)
    job = ask(context)
    assert train(job) == "done"
    assert "16 annotated texts" in context.stores.jobs.get(job)["message"]


@pytest.mark.long
def test_a_cancelled_fine_tune_of_answers_stops_and_what_was_live_answers_on(context: Any) -> None:
    add_answers(context, asked(40))
    refit(PROJECT)
    before = context.stores.versions.live(PROJECT)
    said = context.live_model(PROJECT, before).predict(documents(asked(8, 400)))
    job = ask(context)

    def cancel_once_it_runs() -> None:
        while not context.stores.jobs.get(job).get("step"):
            time.sleep(0.05)
        context.stores.jobs.cancel(job)

    cancelling = threading.Thread(target=cancel_once_it_runs)
    cancelling.start()
    assert train(job) == "cancelled"
    cancelling.join()
    assert context.stores.versions.live(PROJECT) == before
    assert not version_path(context.settings.models_dir, PROJECT, "v1").exists()
    assert context.live_model(PROJECT, before).predict(documents(asked(8, 400))) == said
    add_answers(context, asked(4, 300), first=41)
    assert refit(PROJECT) == "published", "labels go on as ever"


@pytest.mark.long
@pytest.mark.slow
def test_answers_are_fine_tuned_and_judged_by_edits(quick: Any) -> None:
    add_answers(quick, asked(72))
    refit(PROJECT)
    job = ask(quick)
    status = train(job)
    record = quick.stores.jobs.get(job)
    assert status in ("done", "rejected"), record
    manifest = read_manifest(version_path(quick.settings.models_dir, PROJECT, "v1"))
    assert manifest.kind == "finetune" and manifest.gate is not None
    verdict = manifest.gate["answer"]
    assert verdict["evidence"]["n"] == 72, "every question was held out once"
    assert {"f1", "saved", "ece"} <= set(verdict["evidence"]["champion"])
    assert "edits a text against" in manifest.reason
    model = quick.live_model(PROJECT, "v1")
    part = model.finetuned.marks["answer"]
    assert isinstance(part, TunedAnswers)
    assert part.trained_on == 72 and part.weight in (0.3, 0.5, 0.8) and model.tuned is not None
    assert quick.stores.versions.evaluated(PROJECT)["texts"] == 72
    live = quick.live_model(PROJECT, quick.stores.versions.live(PROJECT))
    assert live.span_heads["answer"].details.cold == 72


@pytest.mark.long
@pytest.mark.slow
def test_refits_keep_the_blend_which_can_be_rolled_back(quick: Any) -> None:
    add_answers(quick, asked(40))
    refit(PROJECT)
    assert train(ask(quick)) in ("done", "rejected")
    versions = quick.stores.versions
    before = versions.live(PROJECT)
    versions.publish(PROJECT, "v1", expected=before, seq=40, by="test", force=True)
    add_answers(quick, asked(20, 200), first=41)  # from 40 new ones on a bad one is withdrawn, as of spans
    assert refit(PROJECT) == "published"
    live = versions.live(PROJECT)
    model = quick.live_model(PROJECT, live)
    assert live.startswith("v1.") and model.span_heads["answer"].details.texts == 60
    assert model.is_blend("answer")
    part = model.finetuned.marks["answer"]
    assert part.aged(80).weight == part.weight / 2
    heavy = replace(model, finetuned=replace(model.finetuned, marks={"answer": replace(part, weight=1.0)}))
    texts = documents(asked(12, 400))
    both, alone = heavy.mark("answer", texts), heavy.mark("answer", texts, alone=True)
    assert [one.score for one in both] != [one.score for one in alone]
    rows = quick.stores.evidence.rows(PROJECT, 100)
    tested = [row for row in rows if row.version == "v1"]
    assert tested and all(row.tuned == "v1" and row.marked.edits_alone is not None for row in tested)
    versions.publish(PROJECT, before, expected=live, seq=60, by="test", force=True)
    rolled = quick.live_model(PROJECT, versions.live(PROJECT))
    assert not rolled.is_blend("answer") and rolled.mark("answer", texts)


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_checkpoint(context: Any) -> None:
    context.settings = context.settings.model_copy(update={"finetune_steps": 30, "failpoint": "checkpoint.after@25"})
    add_answers(context, asked(24))
    job = ask(context)
    assert train(job) == "crashed"
    assert list((context.settings.runs_dir / job).glob("*.safetensors"))
    context.settings = context.settings.model_copy(update={"failpoint": ""})
    context.stores.failures.clear(PROJECT, "train")
    assert train(job) in ("done", "rejected")


def test_a_fine_tune_of_answers_falls_due_by_itself(context: Any) -> None:
    add_answers(context, asked(70))
    refit(PROJECT)
    assert largest_control(context.stores, PROJECT, True) == ("answer", 70)
