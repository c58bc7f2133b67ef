"""BASE_MODEL names another encoder: the old one answers until the new one's heads have passed the comparison."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backend.application.encoder.change import choose_encoder, describe_encoder, describe_lacks
from backend.application.projects import rollback_to
from backend.base_model.encoders import Encoders
from backend.base_model.former import remember
from backend.doctor.encoders import check_encoders
from backend.errors import Conflict
from backend.jobs.context import Context
from backend.jobs.learn import encoder_change
from backend.jobs.learn.encoder_change import ask_for_changes
from backend.jobs.learn.refit import learn
from backend.jobs.learn.retrospect import TunedGain, measure_tuned
from backend.jobs.train.base_model_files import base_model_for
from backend.jobs.train.train import _fits, publish
from backend.redis_access.keys import ENCODERS
from backend.serving.registry import Registry
from backend.settings.settings import Settings
from backend.store.work.encoder_changes import EncoderChanges, Wish, describe_change
from backend.telemetry.metrics import Metrics
from model.errors import EncoderError
from model.evidence.row import EvidenceRow, HeadAnswer, Judgement, KeptAnswer
from model.training.request import Result
from model.versions.directory import read_manifest, version_path, write_version
from model.versions.finetuned import FineTuned, TunedHead
from tests.support.tiny import PROJECT, Letters, build_other, letter_record, settings, tiny_base  # noqa: F401


@pytest.fixture
def other_base(tiny_base: Path, tmp_path: Path) -> Path:  # noqa: F811
    return build_other(tiny_base, tmp_path / "other")


def blind(directory: Path) -> None:
    """Its weights are such that all texts look alike."""
    from safetensors.torch import load_file, save_file

    weights = load_file(directory / "model.safetensors")
    for name in weights:
        if name.endswith("word_embeddings.weight"):
            weights[name] = weights[name] * 0
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def context_of(settings: Settings, base: Path) -> Context:  # noqa: F811
    """What a process started with this BASE_MODEL has."""
    return Context(settings.model_copy(update={"base_model": str(base)}))


def live_of(work: Context) -> tuple[str, str]:
    """The live version, and the encoder that it was made with."""
    version = work.stores.versions.live(PROJECT)
    assert version is not None
    return version, read_manifest(version_path(work.settings.models_dir, PROJECT, version)).encoder_digest


def answer(work: Context) -> Any:
    """What a web process of these settings answers, from its start on."""
    registry = Registry(work.settings, work.stores.projects, work.stores.versions, Metrics())
    registry._load_first()
    assert not registry.stale()
    model = registry._models[PROJECT]
    return model.version, model.scores("label", [("a b c",), ("e f g",)])


@pytest.fixture
def learned(settings: Settings, tiny_base: Path) -> Context:  # noqa: F811
    work = context_of(settings, tiny_base)
    Letters(work.stores).add(64)
    assert learn(work, PROJECT) == "published"
    return work


def test_the_old_encoder_answers_until_the_new_ones_heads_are_published(learned: Context, other_base: Path) -> None:
    version, old = live_of(learned)
    scores = answer(learned)[1]
    work = context_of(learned.settings, other_base)
    assert work.encoders.base.digest != old
    served = answer(work)
    assert served[0] == version, "no cold start in between"
    np.testing.assert_array_equal(served[1], scores)
    assert learn(work, PROJECT) == "unchanged"
    after, new = live_of(work)
    assert after != version and new == work.encoders.base.digest
    assert EncoderChanges(work.stores.client).read(PROJECT)["state"] == "taken"
    assert "another encoder" in read_manifest(version_path(work.settings.models_dir, PROJECT, after)).reason
    assert answer(work)[0] == after and ask_for_changes(work) == 0
    assert ask_for_changes(learned) == 1, "as after a return to the old one"
    work.stores.versions.publish(PROJECT, version, expected=after, seq=0, by="admin", force=True)
    np.testing.assert_array_equal(answer(work)[1], scores)


def test_no_prediction_fails_and_none_is_a_cold_start_while_the_encoder_changes(
    learned: Context, other_base: Path
) -> None:
    version, _ = live_of(learned)
    work = context_of(learned.settings, other_base)
    registry = Registry(work.settings, work.stores.projects, work.stores.versions, Metrics())
    registry.start()
    spec = work.live_model(PROJECT, version).spec
    asked, told, ended = [{"text": "a b c"}], list[str](), threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                model = registry.model_for(PROJECT, spec, 60.0)
                assert model.predict(asked)[0][0].chosen
                told.append(model.version)
            except Exception as error:  # counted below
                told.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    learn(work, PROJECT)
    after, digest = live_of(work)
    assert digest == work.encoders.base.digest
    for _ in range(600):
        if registry.version_of(PROJECT) == after and told[-1:] == [after]:
            break
        ended.wait(0.1)
    ended.set()
    for thread in threads:
        thread.join()
    registry.stop()
    assert set(told) == {version, after}, "every answer is of the old version or of the new one"


def test_labels_go_on_being_learned_by_the_old_one_while_others_wait(
    learned: Context, other_base: Path, monkeypatch: Any
) -> None:
    version, old = live_of(learned)
    work = context_of(learned.settings, other_base)
    letters = Letters(work.stores)
    letters.count = 64
    letters.add(8)
    waits = {"yes": True}
    monkeypatch.setattr(encoder_change, "portions", lambda texts, _: ([text] for text in texts))
    monkeypatch.setattr(type(work.stores.jobs), "is_learner_wanted", lambda _: waits["yes"])
    assert learn(work, PROJECT) == "published"
    after, digest = live_of(work)
    assert after != version and digest == old, "the label counts at once"
    change = EncoderChanges(work.stores.client).read(PROJECT)
    assert change["state"] == "encoding" and change["left"] == 63, "a portion each time, whoever waits"
    waits["yes"] = False
    learn(work, PROJECT)
    assert live_of(work)[1] == work.encoders.base.digest


def test_a_worse_encoder_is_refused_until_people_insist(learned: Context, other_base: Path) -> None:
    version, old = live_of(learned)
    blind(other_base)
    work = context_of(learned.settings, other_base)
    learn(work, PROJECT)
    assert live_of(work) == (version, old)
    changes = EncoderChanges(work.stores.client)
    change = changes.read(PROJECT)
    assert change["state"] == "refused" and "label" in change["reason"]
    assert "not taken" in describe_change(changes, PROJECT)["encoder of BASE_MODEL"]
    learn(work, PROJECT)
    assert changes.read(PROJECT) == change, "not compared again on the same labels"
    told = describe_encoder(work.stores, work.settings, PROJECT)
    assert told["state"] == "refused" and told["made_with"] == old and told["digest"] == work.encoders.base.digest
    assert told["labels"] == 64 and told["again_at"] == 96 and "label" in told["reason"]
    choose_encoder(work.stores, work.settings, PROJECT, "keep")
    learn(work, PROJECT)
    assert live_of(work) == (version, old)
    assert "as people decided" in describe_change(changes, PROJECT)["encoder of BASE_MODEL"]
    choose_encoder(work.stores, work.settings, PROJECT, "take")
    assert work.stores.jobs.is_learner_wanted(), "at once"
    learn(work, PROJECT)
    assert live_of(work)[1] == work.encoders.base.digest
    assert changes.wish(PROJECT) is Wish.COMPARE, "it was said of this one"
    assert describe_encoder(work.stores, work.settings, PROJECT)["state"] == "taken"
    assert describe_change(changes, PROJECT) == {}


def test_an_encoder_whose_files_are_gone_is_told_and_replaced(learned: Context, other_base: Path) -> None:
    _, old = live_of(learned)
    for note in learned.settings.encoders_dir.iterdir():
        note.unlink()
    forget(learned, old)
    encoders = Encoders(learned.settings.model_copy(update={"base_model": str(other_base)}))
    with pytest.raises(EncoderError, match="another BASE_MODEL"):
        encoders.of(old)
    work = context_of(learned.settings, other_base)
    assert learn(work, PROJECT) == "published"
    assert live_of(work)[1] == work.encoders.base.digest


def elsewhere(work: Context, base: Path, folder: str) -> Context:
    """A process of another machine over the same Redis: versions come along, what DATA_DIR knows of encoders not."""
    there = work.settings.data_dir.parent / folder
    shutil.copytree(work.settings.models_dir, there / "models")
    return Context(work.settings.model_copy(update={"data_dir": there, "base_model": str(base)}))


def test_another_machine_finds_the_former_encoder_by_what_redis_knows(learned: Context, other_base: Path) -> None:
    version, old = live_of(learned)
    work = elsewhere(learned, other_base, "pod")
    assert not work.settings.encoders_dir.exists()
    assert answer(work)[0] == version, "no cold start in between"
    source = work.stores.versions.encoders.find(old)
    assert source is not None and source.pooling == "mean" and source.directory == learned.settings.base_model
    assert base_model_for(work.settings, work.stores, PROJECT) == source.directory, "a fine-tune stays with it, too"
    assert learn(work, PROJECT) == "unchanged"
    assert live_of(work)[1] == work.encoders.base.digest


def test_a_machine_that_lacks_it_is_told_of_and_the_new_one_is_taken_at_once(
    learned: Context,
    other_base: Path,
    tiny_base: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    version, old = live_of(learned)
    blind(other_base)  # a comparison would refuse it
    kept = shutil.copytree(tiny_base, tmp_path / "kept")
    work = context_of(learned.settings, other_base)
    remember(work.settings.model_copy(update={"base_model": str(kept)}), old, kept)
    pod = elsewhere(learned, other_base, "pod")
    forget(pod, old)
    registry = Registry(pod.settings, pod.stores.projects, pod.stores.versions, Metrics())
    registry._load_first()
    assert "does not have" in registry.stale()[f"{PROJECT} {version}"] and registry.version_of(PROJECT) == "v0"
    told = describe_lacks(pod.stores, pod.settings, PROJECT)["former encoder"]
    assert told.startswith("former_encoder_missing: ") and socket.gethostname() in told
    [verdict] = [one for one in check_encoders(pod.settings, pod.stores, [PROJECT]) if one.state == "fail"]
    assert "former_encoder_missing" in verdict.evidence and verdict.remedy
    assert learn(work, PROJECT) == "unchanged", "the learner has it"
    assert live_of(work)[1] == work.encoders.base.digest
    assert "former_encoder_missing" in EncoderChanges(work.stores.client).read(PROJECT)["reason"]
    with pytest.raises(Conflict, match="former_encoder_missing"):
        rollback_to(pod.settings, pod.stores.versions, PROJECT, version)
    assert pod.stores.versions.pinned(PROJECT) is None


def forget(work: Context, digest: str) -> None:
    """Whoever used it lay somewhere that no other machine has."""
    known = work.stores.versions.encoders
    source = known.find(digest)
    assert source is not None
    gone = replace(source, directory="/nowhere").to_json()
    work.stores.client.hset(ENCODERS, digest, json.dumps(gone))


def test_other_files_under_the_same_name_are_told_until_people_take_them(
    learned: Context,
    other_base: Path,
    tiny_base: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    first = context_of(learned.settings, base)
    assert first.encoders.base and describe_lacks(first.stores, first.settings, PROJECT) == {}
    shutil.rmtree(base)
    shutil.copytree(other_base, base)
    work = context_of(learned.settings, base)
    assert work.encoders.base.digest != first.encoders.base.digest
    told = describe_lacks(work.stores, work.settings, PROJECT)["trust in the encoder"]
    assert told.startswith(f"encoder_files_changed: {base} gives other files on {socket.gethostname()}")
    [verdict] = [one for one in check_encoders(work.settings, work.stores, []) if one.state == "warn"]
    assert verdict.evidence.startswith("encoder_files_changed: ")
    choose_encoder(work.stores, work.settings, PROJECT, "take")
    assert describe_lacks(work.stores, work.settings, PROJECT) == {}


def test_what_a_fine_tune_adds_counts_for_the_encoder_that_has_it(
    learned: Context,
    other_base: Path,
    tiny_base: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    version, old = live_of(learned)
    weights = Path(shutil.copy(tiny_base / "model.safetensors", tmp_path / "tuned.safetensors"))
    model, tuned = learned.live_model(PROJECT, version), learned.stores.versions.allocate(PROJECT)
    part = TunedHead(model.labels("label"), False, np.zeros((2, model.base.width), np.float32), np.zeros(2), 0.5)
    found = {"champion": {"accuracy": 0.5}, "challenger": {"accuracy": 0.9}, "log_loss_change": -2.0}
    gate = {"label": {"accepted": True, "decided": True, "reason": "better", "evidence": found}}
    manifest = replace(model.manifest, version=tuned, kind="finetune", finetuned=tuned, files={}, gate=gate)
    finetuned = FineTuned(weights, {"label": part})
    write_version(learned.settings.models_dir, manifest, dict(model.heads), finetuned)
    learned.stores.versions.publish(PROJECT, tuned, expected=version, seq=manifest.snapshot_seq, by="trainer")
    work = context_of(learned.settings, other_base)
    learn(work, PROJECT)
    assert live_of(work) == (tuned, old), "alone its heads would have been taken"
    change = EncoderChanges(work.stores.client).read(PROJECT)
    assert change["state"] == "refused" and "2.000 of it by a fine-tune" in change["reason"]
    assert change["gains"]["label"] <= -30


def test_new_labels_say_more_of_a_fine_tune_than_the_verdict_it_was_published_for() -> None:
    blend, head = Judgement(0.9, True, 0.1), Judgement(0.6, False, 0.4)
    alone = HeadAnswer(head, KeptAnswer((), (), 2))
    rows = [EvidenceRow("label", blend, tuned="v3", alone=alone) for _ in range(40)]
    model = SimpleNamespace(
        manifest=SimpleNamespace(finetuned="v3"),
        finetuned=FineTuned(Path("w"), {"label": TunedHead(("a",), False, np.zeros((1, 1)), np.zeros(1), 0.5)}),
    )
    gate = {"label": {"evidence": {"log_loss_change": -0.05}}}
    assert measure_tuned(rows[:39], model, gate, "label").log_loss == 0.05
    found = measure_tuned(rows, model, gate, "label")
    assert found.log_loss == pytest.approx(0.3) and found.points == 100
    assert measure_tuned(rows, model, gate, "other") == measure_tuned([], model, {}, "label") == TunedGain()


def test_a_learner_of_before_does_not_take_the_way_back_while_processes_are_replaced(
    learned: Context, other_base: Path
) -> None:
    work = context_of(learned.settings, other_base)
    work.stores.versions.encoders.want(work.encoders.base.digest)
    learn(work, PROJECT)
    taken = live_of(work)
    assert taken[1] == work.encoders.base.digest
    letters = Letters(learned.stores)
    letters.count = 64
    letters.add(8)
    assert learn(learned, PROJECT) == "published", "labels go on being learned"
    assert live_of(learned)[1] == taken[1], "by the encoder that was taken"
    forget(learned, taken[1])
    (learned.settings.encoders_dir / f"{taken[1]}.json").unlink()
    alone = Context(learned.settings)
    letters.add(8)
    assert learn(alone, PROJECT) == "superseded" and live_of(work)[1] == taken[1]
    ask_for_changes(alone)
    assert alone.stores.versions.encoders.wanted("x") == alone.encoders.base.digest, "whoever starts last says"


def test_a_learner_that_was_killed_after_publishing_left_nothing_half_said(learned: Context, other_base: Path) -> None:
    work = context_of(learned.settings, other_base)
    changes = EncoderChanges(work.stores.client)
    learn(work, PROJECT)
    changes.save(PROJECT, {"state": "encoding", "digest": work.encoders.base.digest, "left": 1})
    changes.choose(PROJECT, Wish.TAKE)
    assert ask_for_changes(work) == 0
    assert changes.read(PROJECT)["state"] == "taken" and changes.wish(PROJECT) is Wish.COMPARE


def test_a_fine_tune_of_the_encoder_before_does_not_undo_the_change(learned: Context, other_base: Path) -> None:
    version, _ = live_of(learned)
    work = context_of(learned.settings, other_base)
    learn(work, PROJECT)
    after = live_of(work)
    result = Result(version, True, "better", {}, {})
    said = publish(work.stores.versions, PROJECT, result, 99, fits=lambda live: _fits(work, PROJECT, version, live))
    assert "made with another encoder" in said and live_of(work) == after


def test_projects_without_labels_change_too(settings: Settings, tiny_base: Path, other_base: Path) -> None:  # noqa: F811
    first = context_of(settings, tiny_base)
    letters = Letters(first.stores)
    pool = {number: letter_record(number).texts for number in range(40)}
    first.stores.projects.add_pool(PROJECT, pool, 100)
    assert {learn(first, PROJECT), learn(first, PROJECT)} == {"unchanged", "published"}
    work = context_of(settings, other_base)
    learn(work, PROJECT)
    assert live_of(work)[1] == work.encoders.base.digest and letters.count == 0
