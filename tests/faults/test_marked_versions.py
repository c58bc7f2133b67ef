"""Versions of projects that mark text: written before there were answers about regions, relations or questions, and
swapped while people ask."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from backend.jobs.learn.refit import refit
from backend.labelstudio.task_spec import parse_label_config
from backend.routes.app import create_app
from backend.serving.predictors import Admission
from model.questions.head import QuestionHead
from model.spans.head.head import SpanHead
from model.versions.directory import HEADS, WEIGHTS, version_path
from model.versions.live_model import LiveModel, load_version
from tests.backend.routes.test_marking import eventually
from tests.support.questions import TEMPLATE, add_answers, asked
from tests.support.region_texts import CONFIG, add_notes, notes
from tests.support.reply_rules import find_faults

pytestmark = pytest.mark.redis

PROJECT = 7
PLAIN = TEMPLATE.replace("<Labels ", '<Labels question="no" ')
"""As every release read it before there were questions: a control that marks text, and a text beside it."""


def loaded(context: Any, version: str) -> LiveModel:
    """As another process has it."""
    encoders = context.encoders
    return load_version(
        context.settings.models_dir, PROJECT, version, encoders.base, encoders.open, encoders.span_tools
    )


def make_old(directory: Path) -> None:
    """Takes from a version what releases without answers and relations did not write."""
    heads = json.loads((directory / HEADS).read_text(encoding="utf-8"))
    for name in ("regions", "relations"):
        heads.pop(name)
    (directory / HEADS).write_text(json.dumps(heads), encoding="utf-8")
    arrays = {name: one for name, one in load_file(directory / WEIGHTS).items() if not name.startswith("re")}
    assert arrays
    save_file(arrays, directory / WEIGHTS)
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    for name in ("regions", "relations"):
        manifest["spec"].pop(name)
    for name in ("patterns", "gate"):
        manifest.pop(name)
    manifest["labels_seen"] = {"label": manifest["labels_seen"]["label"]}
    manifest["metrics"] = {"label": manifest["metrics"]["label"]}
    for name in (HEADS, WEIGHTS):
        data = (directory / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def ask(client: Any, config: str, data: list[dict[str, str]]) -> tuple[str, list[list[dict[str, Any]]]]:
    """(version, results); what the config does not allow is in none."""
    tasks = [{"data": one} for one in data]
    reply = client.post("/predict", json={"tasks": tasks, "project": f"{PROJECT}.1", "label_config": config})
    assert reply.status_code == 200, reply.text
    items = reply.get_json()["results"]
    assert len({item["model_version"] for item in items}) == 1, "no reply mixes versions"
    for one, item in zip(data, items, strict=True):
        assert find_faults(config, one, item["result"]) == []
    return str(items[0]["model_version"]), [item["result"] for item in items]


def kinds(results: list[list[dict[str, Any]]]) -> set[str]:
    return {item["type"] for result in results for item in result}


def test_a_version_from_before_answers_and_relations_answers_and_the_next_refit_adds_them(
    context: Any, request: pytest.FixtureRequest
) -> None:
    add_notes(context.stores, PROJECT, notes(40))
    assert refit(PROJECT) == "published"
    make_old(version_path(context.settings.models_dir, PROJECT, "v0.1"))
    context._live.clear()
    old = loaded(context, "v0.1")
    assert not old.region_heads.questions and old.region_heads.relations is None
    client = request.getfixturevalue("client")
    fresh = [{"text": one.text} for one in notes(12, 700)]
    version, results = ask(client, CONFIG, fresh)
    assert version == "v0.1" and kinds(results) == {"labels"}
    add_notes(context.stores, PROJECT, notes(2, 40), first=41)
    assert refit(PROJECT) == "published"
    eventually(lambda: ask(client, CONFIG, fresh)[0] == "v0.2")
    assert kinds(ask(client, CONFIG, fresh)[1]) >= {"labels", "choices", "relation", "taxonomy"}
    assert loaded(context, "v0.1").version == "v0.1", "and it can be rolled back to"


def test_a_version_from_before_questions_answers_until_the_refit_makes_a_head_of_their_own(
    context: Any, request: pytest.FixtureRequest
) -> None:
    add_answers(context, asked(40), config=PLAIN)
    assert refit(PROJECT) == "published"
    assert isinstance(loaded(context, "v0.1").span_heads["answer"], SpanHead)
    context.stores.projects.save_config(PROJECT, TEMPLATE)
    client = request.getfixturevalue("client")
    fresh = [one.data for one in asked(12, 400)]
    assert ask(client, TEMPLATE, fresh)[0] == "v0.1"
    assert refit(PROJECT) == "published"
    assert isinstance(loaded(context, "v0.2").span_heads["answer"], QuestionHead)
    eventually(lambda: ask(client, TEMPLATE, fresh)[0] == "v0.2")
    said = [result[0]["value"]["text"] if result else "" for result in ask(client, TEMPLATE, fresh)[1]]
    right = sum(one == question.said for one, question in zip(said, asked(12, 400), strict=True))
    assert right >= 8, said


@pytest.mark.long
def test_many_ask_about_regions_and_relations_while_versions_are_swapped(services: Any, context: Any) -> None:
    add_notes(context.stores, PROJECT, notes(30))
    refit(PROJECT)
    app, stop = create_app(replace(services, admission=Admission(16))), threading.Event()
    assert parse_label_config(CONFIG).relations is not None
    fresh = [{"text": one.text} for one in notes(4, 700)]
    seen: set[str] = set()

    def go_on() -> None:
        client = app.test_client()
        while not stop.is_set():
            version, results = ask(client, CONFIG, fresh)
            seen.add(version)
            assert kinds(results) >= {"labels", "choices"}, version

    client = app.test_client()
    eventually(lambda: ask(client, CONFIG, fresh)[0] == "v0.1")
    with ThreadPoolExecutor(16) as crowd:
        asking = [crowd.submit(go_on) for _ in range(16)]
        try:
            for turn in range(4):
                add_notes(context.stores, PROJECT, notes(3, 30 + 3 * turn), first=31 + 3 * turn)
                assert refit(PROJECT) == "published"
                version = services.stores.versions.live(PROJECT)
                eventually(lambda version=version: services.registry.version_of(PROJECT) == version)
                eventually(lambda version=version: version in seen)
        finally:
            stop.set()
        for each in asking:
            each.result()
    assert len(seen) >= 5
