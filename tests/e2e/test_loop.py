"""The whole loop against the real Label Studio, one story told in order: each test goes on where the last one ended."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.e2e.conftest import Backend, Studio, choices_result, label_of, wait_until
from tests.support.rig import choices_config

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TASKS, LABELLED = 300, 80


class Story:
    """What the tests of this file hand on to each other."""

    project: int
    other: int
    tasks: list[dict[str, Any]]
    cold: dict[int, str]
    annotations: dict[int, int]
    ml_backend: int


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


def truth_of(story: Story, rows: list[tuple[str, str]]) -> dict[int, str]:
    """Task id -> true label."""
    labels = dict(rows)
    return {int(task["id"]): labels[task["data"]["text"]] for task in story.tasks}


def predict(backend: Backend, story: Story, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask the backend itself, as Label Studio would."""
    body = {
        "tasks": [{"id": task["id"], "data": task["data"]} for task in tasks],
        "project": f"{story.project}.1",
        "label_config": backend.configs[story.project],
        "params": {"login": None, "password": None, "context": None},
    }
    return list(backend.post("/predict", body)["results"])


def accuracy(answers: dict[int, str], truth: dict[int, str], tasks: list[int]) -> float:
    return sum(answers[task] == truth[task] for task in tasks) / len(tasks)


def test_connect_registers_backend_and_webhook(
    label_studio: Studio, backend: Backend, story: Story, config: str, rows: list[tuple[str, str]]
) -> None:
    story.project = label_studio.create_project("support", config)
    backend.configs[story.project] = config
    label_studio.import_texts(story.project, [text for text, _ in rows[:TASKS]])
    story.tasks = label_studio.tasks(story.project)
    assert len(story.tasks) == TASKS

    backend.understudy("connect", "--project", str(story.project))
    first = label_studio.call("GET", f"/api/ml?project={story.project}")
    backend.understudy("connect", "--project", str(story.project))
    again = label_studio.call("GET", f"/api/ml?project={story.project}")
    hooks = label_studio.call("GET", f"/api/webhooks/?project={story.project}")

    assert [item["id"] for item in again] == [item["id"] for item in first], "connect is idempotent"
    assert len(hooks) == 1 and hooks[0]["headers"].get("X-Webhook-Secret") == backend.secret
    story.ml_backend = int(first[0]["id"])


def test_before_any_label_every_task_gets_a_humble_prediction(
    label_studio: Studio, backend: Backend, story: Story
) -> None:
    label_studio.retrieve_predictions(story.project)
    tasks = label_studio.tasks(story.project)
    predictions = {int(task["id"]): task["predictions"] for task in tasks}
    assert all(predictions.values()), "every task has a prediction"
    scores = [items[-1]["score"] for items in predictions.values()]
    assert all(0 < score < 1 for score in scores)
    assert sum(scores) / len(scores) < 0.9, "a model without labels is humble"
    story.cold = {task: label_of(items[-1]) for task, items in predictions.items()}


def test_annotations_make_a_new_and_better_version(
    label_studio: Studio, backend: Backend, story: Story, rows: list[tuple[str, str]]
) -> None:
    truth = truth_of(story, rows)
    before = backend.version(story.project)
    labelled = [int(task["id"]) for task in story.tasks[:LABELLED]]
    story.annotations = {task: label_studio.annotate(task, truth[task]) for task in labelled}
    wait_until(lambda: len(backend.examples(story.project)) == LABELLED, "all annotations are examples")
    assert backend.settled(story.project) != before

    rest = story.tasks[LABELLED:]
    answers = predict(backend, story, rest)
    learned = {int(task["id"]): label_of(answer) for task, answer in zip(rest, answers, strict=True)}
    ids = [int(task["id"]) for task in rest]
    gain = accuracy(learned, truth, ids) - accuracy(story.cold, truth, ids)
    assert gain > 0, f"80 labels changed held-out accuracy by {gain:+.3f}"
    assert {answer["model_version"] for answer in answers} == {backend.version(story.project)}


def test_start_training_gives_a_job_and_ends_with_a_verdict(
    label_studio: Studio, backend: Backend, story: Story
) -> None:
    body = {
        "action": "START_TRAINING",
        "project": {"id": story.project, "label_config": backend.configs[story.project]},
    }
    first = backend.post("/webhook", body)
    label_studio.call("POST", f"/api/ml/{story.ml_backend}/train", {})
    running = backend.admin("GET", f"/projects/{story.project}")["job"]
    assert running["id"] == first["job"], "pressing twice trains once"

    record = backend.wait_job(first["job"])
    assert record["status"] in ("done", "rejected"), record
    versions = backend.admin("GET", f"/projects/{story.project}/versions")["versions"]
    tuned = [item for item in versions if item["kind"] == "finetune"]
    assert tuned, "the fine-tuned version is kept, published or not"
    assert tuned[0]["status"] == "published" or tuned[0]["reason"], "a refused challenger says why"
    print("verdict:", record["status"], record.get("message") or tuned[0]["reason"])


def test_predictions_in_label_studio_are_refreshed_by_the_new_version(
    label_studio: Studio, backend: Backend, story: Story
) -> None:
    version = backend.settled(story.project)
    chosen = [int(task["id"]) for task in story.tasks[-3:]]
    label_studio.retrieve_predictions(story.project, chosen)
    for task in chosen:
        assert version in {item["model_version"] for item in label_studio.predictions(task)}


def test_update_skip_delete_and_deleted_task_are_reflected(
    label_studio: Studio, backend: Backend, story: Story
) -> None:
    (_, a1), (_, a2), (_, a3), (t4, a4) = list(story.annotations.items())[:4]
    label_studio.call("PATCH", f"/api/annotations/{a1}/", {"result": choices_result("praise")})
    label_studio.call("PATCH", f"/api/annotations/{a2}/", {"result": [], "was_cancelled": True})
    label_studio.call("DELETE", f"/api/annotations/{a3}/")
    label_studio.call("DELETE", f"/api/tasks/{t4}/")
    skipped = int(story.tasks[LABELLED]["id"])
    label_studio.call("POST", f"/api/tasks/{skipped}/annotations/", {"result": [], "was_cancelled": True})

    def reflected() -> bool:
        examples = backend.examples(story.project)
        return a1 in examples and examples[a1]["labels"] == {"label": ["praise"]} and not {a2, a3} & set(examples)

    wait_until(reflected, "update, skip and delete are in the examples")
    backend.understudy("resync", str(story.project))
    wait_until(lambda: a4 not in backend.examples(story.project), "the deleted task's annotation is gone")
    told = map(json.loads, backend.understudy("examples", str(story.project), "--json").splitlines())
    assert {row["id"]: row for row in told} == backend.examples(story.project)
    assert len(backend.examples(story.project)) == LABELLED - 3


def test_a_label_added_and_a_label_removed(
    label_studio: Studio, backend: Backend, story: Story, rows: list[tuple[str, str]]
) -> None:
    labels = sorted({label for _, label in rows})
    wider = choices_config([*labels, "spam"])
    label_studio.set_config(story.project, wider)
    backend.configs[story.project] = wider
    spam = int(story.tasks[LABELLED + 1]["id"])
    annotation = label_studio.annotate(spam, "spam")
    wait_until(lambda: annotation in backend.examples(story.project), "the new label is stored")

    label_studio.call("DELETE", f"/api/annotations/{annotation}/")
    narrower = choices_config([label for label in labels if label != "praise"])
    label_studio.set_config(story.project, narrower)
    backend.configs[story.project] = narrower
    answers = predict(backend, story, story.tasks[LABELLED:])
    assert "praise" not in {label_of(answer) for answer in answers if answer}, "a removed label is never predicted"
    assert any(row["labels"] == {"label": ["praise"]} for row in backend.examples(story.project).values()), "kept"
    label_studio.set_config(story.project, wider)
    backend.configs[story.project] = wider


def test_two_projects_learn_side_by_side(label_studio: Studio, backend: Backend, story: Story) -> None:
    config = choices_config(["urgent", "not urgent"])
    story.other = label_studio.create_project("urgency", config)
    backend.configs[story.other] = config
    label_studio.import_texts(story.other, [task["data"]["text"] for task in story.tasks[:20]])
    backend.understudy("connect", "--project", str(story.other))
    first, known = backend.settled(story.project), backend.examples(story.project)
    for index, task in enumerate(label_studio.tasks(story.other)[:10]):
        label_studio.annotate(int(task["id"]), ("urgent", "not urgent")[index % 2])
    wait_until(lambda: len(backend.examples(story.other)) == 10, "the second project has its examples")
    wait_until(lambda: backend.version(story.other) not in ("v0", first), "the second project has its own version")
    assert backend.examples(story.project) == known, "the first project is not touched"


def test_everything_survives_a_restart_of_everything(backend: Backend, story: Story) -> None:
    backend.settled(story.project)
    before = {p: (backend.version(p), backend.examples(p)) for p in (story.project, story.other)}
    backend.stop()
    backend.start()
    after = {p: (backend.version(p), backend.examples(p)) for p in (story.project, story.other)}
    assert after == before


def test_rollback_takes_seconds_and_sticks(backend: Backend, story: Story) -> None:
    live = backend.version(story.project)
    listed = backend.admin("GET", f"/projects/{story.project}/versions")["versions"]
    older = next(item["version"] for item in listed if item["version"] != live and item["status"] == "published")
    began = time.monotonic()
    backend.understudy("rollback", str(story.project), older)
    wait_until(lambda: backend.version(story.project) == older, "the older version is served", timeout=10)
    assert time.monotonic() - began < 10
    status = json.loads(backend.understudy("status", str(story.project), "--json"))
    assert older in json.dumps(status)
