"""The whole product on a BASE_MODEL that carries a trained head: it answers the first task, then learns."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from scipy.special import softmax

from backend.jobs.learn.refit import refit
from backend.settings.settings import Settings
from tests.conftest import RedisServer
from tests.support.classifier_base import build_classifier, letter_texts, logits_of
from tests.support.rig import choices_config

PROJECT = 7
LABELS = ["lost parcel", "card payment", "refund request"]
CONFIG = choices_config(LABELS)
IN_MODEL = [1, 0, 2]
"""The model's column of each of LABELS."""


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    directory = tmp_path_factory.mktemp("classifier")
    return directory, build_classifier(directory, steps=40)


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path, classifier: tuple[Path, Any]) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        redis_url=redis_server.settings.effective_redis_url,
        poll_seconds=0.2,
        base_model=str(classifier[0]),
    )  # type: ignore[arg-type]


def ask(client: Any, texts: list[Any]) -> list[tuple[str, float]]:
    """(choice, score) of each text over HTTP."""
    tasks = [{"id": index, "data": {"text": text[0]}} for index, text in enumerate(texts, 1)]
    reply = client.post("/predict", json={"tasks": tasks, "project": f"{PROJECT}.1", "label_config": CONFIG})
    assert reply.status_code == 200
    return [(item["result"][0]["value"]["choices"][0], item["score"]) for item in reply.get_json()["results"]]


def label(client: Any, number: int, text: str, choice: str) -> None:
    """An annotation as Label Studio sends it."""
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [choice]}}]
    body = {"id": number, "task": number, "result": result, "updated_at": f"2026-01-01T00:00:{number:02d}Z"}
    project = {"id": PROJECT, "label_config": CONFIG}
    event = {"action": "ANNOTATION_CREATED", "project": project, "annotation": body}
    reply = client.post("/webhook", json={**event, "task": {"id": number, "data": {"text": text}}})
    assert reply.status_code == 200


def test_the_trained_head_answers_the_first_task(client: Any, classifier: tuple[Path, Any]) -> None:
    directory, model = classifier
    texts, truth = letter_texts(30)
    own = softmax(logits_of(model, directory, texts), axis=1)[:, IN_MODEL]
    answers = ask(client, texts)
    assert [choice for choice, _ in answers] == [LABELS[int(row.argmax())] for row in own]
    assert [score for _, score in answers] == pytest.approx([float(row.max()) for row in own], abs=0.01)
    assert sum(choice == LABELS[IN_MODEL[group]] for (choice, _), group in zip(answers, truth, strict=True)) >= 27


def test_labels_that_contradict_it_are_learned(client: Any, services: Any) -> None:
    ask(client, letter_texts(1)[0])
    texts, truth = letter_texts(36, seed=5)
    for number, (text, group) in enumerate(zip(texts, truth, strict=True), 1):
        label(client, number, text[0], LABELS[group])  # the first two of LABELS change places
    refit(PROJECT)
    deadline = time.monotonic() + 120
    while services.registry.version_of(PROJECT) != "v0.1":
        assert time.monotonic() < deadline, "not published"
        time.sleep(0.02)
    held_out, wanted = letter_texts(30)
    answers = ask(client, held_out)
    assert sum(choice == LABELS[group] for (choice, _), group in zip(answers, wanted, strict=True)) >= 27
