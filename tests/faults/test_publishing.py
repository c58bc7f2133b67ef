"""Rows 21, 22, 24, 26, 27, 28: whatever happens while a version is written and published, a whole one is live."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from backend.settings.settings import Settings
from model.versions.directory import collect_garbage, verify_version, version_path
from tests.support.rig import Project, Rig, choices_config
from tests.support.tiny import KILLED, PROJECT, Letters, armed, letter_record, letters, run_apart, settings, tiny_base  # noqa: F401

AFTER_THE_MOVE = {"publish.after"}
AFTER_DUPLICATES = {"duplicates.after", "publish.before", "publish.after"}
STEPS = (
    *("refit.begin", "snapshot.after", "version.write", "version.before_rename", "version.after_rename"),
    *("duplicates.before", "duplicates.after", "publish.before", "publish.after"),
)


def learn(settings: Settings) -> None:
    """A refit, as the learner makes it."""
    refit(PROJECT)


def live(context: Any) -> str:
    """The live version, having checked that it is whole."""
    version = str(context.stores.versions.live(PROJECT))
    verify_version(version_path(context.settings.models_dir, PROJECT, version))
    return version


def test_row_21_killed_at_each_step_of_a_publication_a_whole_version_is_live(context: Any, letters: Letters) -> None:
    letters.add(8)
    assert refit(PROJECT) == "published"
    for step in STEPS:
        stores, before = context.stores, live(context)
        trained, known = stores.versions.trained(PROJECT), stores.labelled_texts.facts(PROJECT).seq
        letters.add(1)
        assert run_apart(learn, armed(context.settings, step)) == KILLED, step
        moved = step in AFTER_THE_MOVE
        assert (live(context) != before) == moved, step
        assert stores.versions.trained(PROJECT) == (stores.examples.seq(PROJECT) if moved else trained), step
        told = stores.examples.seq(PROJECT) if step in AFTER_DUPLICATES else known
        assert stores.labelled_texts.facts(PROJECT).seq == told, "labels of duplicates are those of a whole snapshot"
        assert stores.examples.count(PROJECT) == letters.count, "nothing that was acknowledged is lost"
        stores.failures.release(PROJECT, "refit")
    letters.add(1)
    assert refit(PROJECT) == "published" and context.stores.examples.pending(PROJECT) == 0
    kept = {live(context)}
    collect_garbage(context.settings.models_dir, PROJECT, kept, newest=0, min_age_s=0)
    assert {path.name for path in (context.settings.models_dir / str(PROJECT)).iterdir()} == kept


def serve(settings: Settings, until: str) -> None:
    """A registry, until it serves the version `until`."""
    from backend.serving.registry import Registry
    from backend.store.stores import Stores
    from backend.telemetry.metrics import Metrics

    stores = Stores(settings)
    registry = Registry(settings, stores.projects, stores.versions, Metrics())
    registry.start()
    while registry.version_of(PROJECT) != until or registry.not_ready:
        time.sleep(0.02)
        stores.examples._redis.publish("understudy:announce", f"{PROJECT} {until}")


def test_row_21_killed_while_it_swaps_the_next_process_serves_the_live_version(context: Any, letters: Letters) -> None:
    letters.add(8)
    refit(PROJECT)
    for step in ("announce", "swap.before", "swap.after"):
        until = "never" if step == "announce" else live(context)
        assert run_apart(serve, armed(context.settings, step), until) == KILLED, step
    assert run_apart(serve, context.settings, live(context)) == 0


def submit(settings: Settings) -> None:
    """One annotation, sent to the web application."""
    from backend.application.services import build_services
    from backend.routes.app import create_app

    pair = Project(Rig(), PROJECT, ["a", "e"]).annotation("a b c", "a", task=900, annotation=900)
    project = {"id": PROJECT, "label_config": choices_config(["a", "e"])}
    body = {"action": "ANNOTATION_CREATED", "project": project, **pair}
    client = create_app(build_services(settings)).test_client()
    assert client.post("/webhook", json=body).status_code == 200


def test_row_21_killed_while_it_stores_a_label_nothing_acknowledged_is_lost(context: Any, letters: Letters) -> None:
    for step, stored in (("webhook.before", 0), ("webhook.after", 1)):
        assert run_apart(submit, armed(context.settings, step)) == KILLED, step
        assert context.stores.examples.count(PROJECT) == stored, "not acknowledged in either case"
    assert run_apart(submit, context.settings) == 0
    assert context.stores.examples.count(PROJECT) == 1, "sent again, it is still one"


def flip(directory: Path) -> None:
    path = directory / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(directory: Path) -> None:
    path = directory / "model.safetensors"
    os.truncate(path, path.stat().st_size - 7)


def remove(directory: Path) -> None:
    (directory / "model.safetensors").unlink()


def rename_a_label(directory: Path) -> None:
    edit_heads(directory, lambda head: head["labels"].__setitem__(0, "z"))


def drop_a_row(directory: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = directory / "model.safetensors"
    arrays = load_file(path)
    save_file({name: rows[:1] if name.endswith("prototypes") else rows for name, rows in arrays.items()}, path)
    renew_digests(directory)


def edit_heads(directory: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    state = json.loads((directory / "heads.json").read_text())
    change(state["heads"]["label"])
    (directory / "heads.json").write_text(json.dumps(state))
    renew_digests(directory)


def renew_digests(directory: Path) -> None:
    """The digests are right: only its shape betrays it."""
    manifest = json.loads((directory / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (directory / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (directory / "manifest.json").write_text(json.dumps(manifest))


DAMAGES = {
    "corrupt": (flip, "model.safetensors is missing or damaged"),
    "torn": (truncate, "model.safetensors is missing or damaged"),
    "missing": (remove, "model.safetensors is missing or damaged"),
    "another label": (rename_a_label, "other labels than its control"),
    "a row too few": (drop_a_row, "1 rows for 2 labels"),
}


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


def test_row_22_a_version_that_is_torn_corrupt_missing_or_of_another_shape_is_refused_and_the_old_one_serves_on(
    services: Any, letters: Letters, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    letters.add(8)
    refit(PROJECT)
    registry, root = services.registry, services.settings.models_dir
    wait_for(lambda: registry.version_of(PROJECT) == "v0.1")
    for number, (name, (damage, why)) in enumerate(DAMAGES.items(), 2):
        broken = version_path(root, PROJECT, f"v0.{number}")
        shutil.copytree(version_path(root, PROJECT, "v0.1"), broken)
        damage(broken)
        services.stores.versions.publish(PROJECT, broken.name, expected=None, seq=99, by="test", force=True)
        wait_for(lambda broken=broken: f"{PROJECT} {broken.name}" in registry.stale())
        assert why in registry.stale()[f"{PROJECT} {broken.name}"], name
        assert registry.version_of(PROJECT) == "v0.1"
        assert any(broken.name in record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    ready = client.get("/ready")
    assert ready.status_code == 200 and "damaged" in str(ready.get_json()["stale"])
    assert f"understudy_model_load_failures_total {len(DAMAGES)}.0" in client.get("/metrics").text


def predict(client: Any, config: str, texts: list[str]) -> list[Any]:
    tasks = [{"id": index, "data": {"text": text}} for index, text in enumerate(texts, 1)]
    reply = client.post("/predict", json={"project": f"{PROJECT}.1", "tasks": tasks, "label_config": config})
    assert reply.status_code == 200, reply.text
    return list(reply.get_json()["results"])


def test_row_24_fifty_predict_while_versions_are_swapped_and_no_reply_mixes_two(
    services: Any, letters: Letters
) -> None:
    from backend.routes.app import create_app
    from backend.serving.predictors import Admission

    letters.add(8)
    refit(PROJECT)
    app = create_app(replace(services, admission=Admission(50)))
    config, stop = choices_config(["a", "e"]), threading.Event()
    seen: list[set[str]] = []

    def ask(number: int) -> None:
        client = app.test_client()
        while not stop.is_set():
            items = predict(client, config, ["a b c", "e f g", f"a {'bcd'[number % 3]}"])
            seen.append({item["model_version"] for item in items})

    with ThreadPoolExecutor(50) as crowd:
        asking = [crowd.submit(ask, number) for number in range(50)]
        for _ in range(5):
            letters.add(1)
            assert refit(PROJECT) == "published"
            version = services.stores.versions.live(PROJECT)
            wait_for(lambda version=version: services.registry.version_of(PROJECT) == version)
        stop.set()
        for each in asking:
            each.result()
    assert all(len(versions) == 1 for versions in seen)
    assert len(set.union(*seen)) > 2, "several versions answered"


@pytest.mark.long
def test_row_26_a_refused_challenger_says_why_and_is_not_trained_again_on_the_same_labels(
    context: Any, letters: Letters
) -> None:
    from backend.jobs.train.train import train
    from backend.processes.scheduler import Scheduler

    policy = {"finetune_enabled": True, "finetune_min_labels": 8, "finetune_min_per_class": 1.0}
    context.settings = context.settings.model_copy(update=policy)
    letters.add(8)
    refit(PROJECT)
    before = live(context)
    scheduler = Scheduler(context)
    scheduler.tick()
    job = str(context.stores.jobs.running(PROJECT)["id"])
    assert train(job) == "rejected"
    record = context.stores.jobs.get(job)
    assert "held-out" in record["message"] and live(context) == before
    for _ in range(3):
        scheduler.tick()
    assert context.stores.jobs.running(PROJECT) is None
    Letters(context.stores, 8)
    context.stores.examples.upsert_many(8, [letter_record(2 * number) for number in range(8)])
    job = str(context.stores.jobs.request_training(8, by="admin", force=True)[0]["id"])
    assert train(job) == "failed" and "two classes" in context.stores.jobs.get(job)["message"]


def test_row_27_after_a_change_of_the_config_no_answer_names_a_label_that_is_gone(
    services: Any, client: Any, context: Any, letters: Letters
) -> None:
    letters.add(8)
    refit(PROJECT)
    wait_for(lambda: services.registry.version_of(PROJECT) == "v0.1")
    narrow = choices_config(["a", "new"])
    for learned in (False, True):
        answers = predict(client, narrow, ["e f g", "e g h"])
        assert {item["result"][0]["value"]["choices"][0] for item in answers} <= {"a", "new"}
        setup = client.post("/setup", json={"project": f"{PROJECT}.1", "schema": narrow}).get_json()
        assert {item["model_version"] for item in answers} == {setup["model_version"]}
        if not learned:
            assert refit(PROJECT) == "published", "a new head for the new labels"
            wait_for(lambda: services.registry.version_of(PROJECT) == "v0.2")
    assert context.stores.projects.summary(PROJECT)["quarantined"]["label"]["e"] == 4
    assert context.stores.examples.count(PROJECT) == 8, "kept in the store"


def test_row_28_a_rollback_during_a_training_stays_and_the_result_is_kept_as_a_challenger(
    context: Any, letters: Letters
) -> None:
    from backend.application.projects import rollback_to
    from backend.jobs.train.train import publish
    from model.training.request import Result

    letters.add(8)
    refit(PROJECT)
    letters.add(1)
    refit(PROJECT)
    stores = context.stores
    record, _ = stores.jobs.request_training(PROJECT, by="admin", force=True)
    number = stores.jobs.begin(record["id"], PROJECT)
    rollback_to(context.settings, stores.versions, PROJECT, "v0.1")
    lifts, token = str(stores.jobs.get(record["id"]).get("lifts", "")), f"{record['id']}/{number}"
    why = publish(context.stores.versions, PROJECT, Result("v1", True, "better"), 9, lifts=lifts, token=token)
    assert why == "accepted, but the project is pinned to v0.1"
    assert (live(context), stores.versions.pinned(PROJECT)) == ("v0.1", "v0.1")
    stores.jobs.update(record["id"], {"status": "rejected"})
    record, _ = stores.jobs.request_training(PROJECT, by="admin", force=True)
    lifts = str(stores.jobs.get(record["id"])["lifts"])
    assert lifts == "v0.1", "an admin who asks after the rollback knows of it"
    assert publish(context.stores.versions, PROJECT, Result("v1", True, "better"), 9, lifts=lifts) == "published"
    assert stores.versions.pinned(PROJECT) is None
