"""Why a task is answered as it is: GET /admin/projects/<id>/explain, and `understudy explain`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.cli.explain import mark
from backend.screen import Styled
from tests.backend.cli.test_admin import Admin, admin, understudy  # noqa: F401
from tests.backend.routes.test_routes import ADMIN, annotation, post, predict
from tests.support.rig import choices_config

TEXT = "please refund me, the parcel is late"
CONFIG = choices_config(["refund", "praise"])


def explain(client: Any, query: str, project: int = 7) -> Any:
    return client.get(f"/admin/projects/{project}/explain?{query}", headers=ADMIN)


def pooled(client: Any, services: Any, config: str = CONFIG, **data: str) -> None:
    """Task 5 of project 7, seen in a /predict."""
    client.post("/setup", json={"project": "7.1", "schema": config})
    predict(client, [{"id": 5, "data": data or {"text": TEXT}}], label_config=config)
    services.background.stop()  # ends after what waits
    assert 5 in services.stores.projects.pool(7)


def test_a_task_of_the_pool_is_explained(client: Any, services: Any) -> None:
    pooled(client, services)
    found = explain(client, "task=5").get_json()
    assert (found["project"], found["task"], found["version"], found["control"]) == (7, 5, "v0", "label")
    assert (found["label"], found["labels"], found["texts"]) == ("refund", ["refund"], {"text": TEXT})
    assert found["runner_up"]["label"] == "praise" and 0 <= found["runner_up"]["score"] < found["score"] <= 1
    heaviest = found["words"][0]
    assert (heaviest["text"], heaviest["weight"], heaviest["input"]) == ("refund", 1.0, "text")
    assert TEXT[heaviest["start"] : heaviest["end"]] == "refund"


def test_a_labelled_task_is_explained(client: Any) -> None:
    post(client, "ANNOTATION_CREATED", **annotation(3))
    assert explain(client, "task=3").get_json()["texts"] == {"text": "text 3"}


def test_one_of_several_controls_over_a_pair_is_explained(client: Any, services: Any) -> None:
    objects = '<Text name="a" value="$a"/><Text name="b" value="$b"/>'
    inner = '<Choice value="refund"/><Choice value="praise"/>'
    controls = f'<Choices name="one" toName="a">{inner}</Choices><Choices name="two" toName="a,b">{inner}</Choices>'
    pooled(client, services, f"<View>{objects}{controls}</View>", a="thank you", b="refund refund refund")
    assert explain(client, "task=5").get_json()["control"] == "one"
    found = explain(client, "task=5&control=two").get_json()
    assert set(found["texts"]) == {"a", "b"} and found["words"]
    assert all(found["texts"][word["input"]][word["start"] : word["end"]] == word["text"] for word in found["words"])


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("", 400, "task"),
        ("task=x", 400, "task"),
        ("task=-1", 400, "task"),
        ("task=5&control=gone", 400, "there is label"),
        ("task=6", 404, "understudy resync 7"),
    ],
)
def test_what_cannot_be_explained_is_told(client: Any, services: Any, query: str, status: int, says: str) -> None:
    pooled(client, services)
    reply = explain(client, query)
    assert (reply.status_code, says in reply.get_json()["message"]) == (status, True), reply.text


def test_an_unknown_project_and_a_wrong_token_are_told(client: Any) -> None:
    assert explain(client, "task=5", project=99).status_code == 404
    assert client.get("/admin/projects/7/explain?task=5").status_code == 401


FOUND = {
    "version": "v1.2",
    "control": "topic",
    "label": "refund",
    "labels": ["refund"],
    "score": 0.831,
    "runner_up": {"label": "delivery", "score": 0.112},
    "texts": {"text": "my refund\x1b[2J is late"},
    "words": [
        {"label": "refund", "input": "text", "start": 3, "end": 9, "text": "refund", "weight": 1.0, "log_odds": 2.5},
        {"label": "refund", "input": "text", "start": 17, "end": 21, "text": "late", "weight": 0.3, "log_odds": 0.7},
    ],
}


def test_the_command_prints_the_text_with_its_words_marked(admin: Admin, understudy: Any) -> None:  # noqa: F811
    admin.replies["GET", "/admin/projects/7/explain?task=5"] = 200, FOUND
    lines = understudy("explain", "7", "5").output.splitlines()
    assert lines[0] == "topic: refund 0.83; then delivery 0.11 (v1.2)"
    assert lines[2] == "my [refund]\\u001b[2J is [late]", "no escape sequence reaches the terminal"
    assert lines[4:] == [" 1.00  refund  (refund, +2.50 log-odds)", " 0.30  late  (refund, +0.70 log-odds)"]
    assert json.loads(understudy("explain", "7", "5", "--json").output) == FOUND


def test_the_command_names_the_control(admin: Admin, understudy: Any) -> None:  # noqa: F811
    empty = {**FOUND, "labels": [], "runner_up": {}, "words": []}
    admin.replies["GET", "/admin/projects/7/explain?task=5&control=a+b"] = 200, empty
    output = understudy("explain", "7", "5", "--control", "a b").output
    assert output.startswith("topic: none of the labels 0.83 (v1.2)")


def test_a_word_that_decided_for_two_labels_is_marked_once() -> None:
    words = [{"start": 0, "end": 4, "weight": weight} for weight in (1.0, 0.4)]
    marked = mark("late again", words)
    assert [part.text if isinstance(part, Styled) else part for part in marked] == ["", "[late]", " again"]
