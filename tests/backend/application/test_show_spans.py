"""What suggested spans are to be good for, chosen for one project: by route or command, and answered so at once."""

from __future__ import annotations

from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from backend.labelstudio.task_spec import parse_label_config
from tests.backend.cli.test_admin import Admin, admin, understudy  # noqa: F401
from tests.backend.routes.test_marking import ADMIN, eventually, predict
from tests.support.marking import MARKS, PROJECT, Marks, sentences
from tests.support.rig import choices_config


def show(client: Any, spans: object, project: int = PROJECT) -> Any:
    return client.post(f"/admin/projects/{project}/show", json={"spans": spans}, headers=ADMIN)


def aim_of(services: Any, project: int = PROJECT) -> str:
    model = services.registry.model_for(project, parse_label_config(MARKS), 5)
    assert model is services.registry.model_for(project, parse_label_config(MARKS), 5), "answers are cached by it"
    return model.tools.aim


def test_a_choice_holds_at_once_for_its_project_and_goes_with_default(client: Any, context: Any, services: Any) -> None:
    Marks(context).add(sentences(24))
    assert refit(PROJECT) == "published"
    client.post("/setup", json={"project": f"{PROJECT}.1", "schema": MARKS})
    client.post("/setup", json={"project": "8.1", "schema": MARKS})
    task = {"id": 900, "data": {"text": "Ivan Petrov moved to Quito last year."}}
    eventually(lambda: predict(client, MARKS, [task]).get_json()["results"][0]["model_version"] == "v0.1")
    assert (aim_of(services), aim_of(services, 8)) == ("clicks", "clicks")
    before = services.registry.model_for(PROJECT, parse_label_config(MARKS), 5)
    reply = show(client, "f1")
    assert (reply.status_code, reply.get_json()["status"]) == (200, "f1"), reply.text
    assert (aim_of(services), aim_of(services, 8)) == ("f1", "clicks")
    shown = services.registry.model_for(PROJECT, parse_label_config(MARKS), 5)
    assert shown.version == before.version and shown.serial != before.serial, "no other version, no answer of before"
    assert shown.span_heads is before.span_heads, "nothing is fitted or loaded again"
    found = client.get(f"/admin/projects/{PROJECT}", headers=ADMIN).get_json()
    assert found["spans_show"] == "f1"
    why = client.get(f"/admin/projects/{PROJECT}/explain?task=1", headers=ADMIN).get_json()["spans"][0]["why"]
    assert why["threshold"] == pytest.approx(shown.span_heads["label"].rules.f1, abs=1e-4)
    assert context.live_model(PROJECT, "v0.1").tools.aim == "f1", "jobs measure what is shown"
    (action,) = client.get("/admin/audit?limit=1", headers=ADMIN).get_json()["actions"]
    assert (action["action"], action["project"], action["status"]) == ("show", str(PROJECT), "200")
    assert show(client, "default").get_json()["status"] == "clicks"
    assert (aim_of(services), context.live_model(PROJECT, "v0.1").tools.aim) == ("clicks", "clicks")


def test_other_processes_follow_at_their_next_poll(client: Any, services: Any) -> None:
    client.post("/setup", json={"project": f"{PROJECT}.1", "schema": MARKS})
    services.stores.projects.choose_spans_show(PROJECT, "f1")
    eventually(lambda: aim_of(services) == "f1")
    services.stores.projects.choose_spans_show(PROJECT, "")
    eventually(lambda: aim_of(services) == "clicks")


@pytest.mark.parametrize("spans", ["", "recall", 7, None, ["f1"], "F1"])
def test_what_is_no_aim_is_told(client: Any, services: Any, spans: object) -> None:
    client.post("/setup", json={"project": f"{PROJECT}.1", "schema": MARKS})
    reply = show(client, spans)
    assert (reply.status_code, reply.get_json()["field"]) == (400, "spans")
    assert services.stores.projects.spans_show(PROJECT) == ""


def test_a_project_without_marked_text_and_an_unknown_one_are_told(client: Any) -> None:
    client.post("/setup", json={"project": f"{PROJECT}.1", "schema": choices_config(["a", "b"])})
    assert show(client, "f1").status_code == 409
    assert show(client, "f1", 99).status_code == 404
    assert client.post(f"/admin/projects/{PROJECT}/show", json={"spans": "f1"}).status_code == 401


def test_the_command_says_what_holds(admin: Admin, understudy: Any) -> None:  # noqa: F811
    admin.replies["POST", "/admin/projects/7/show"] = 200, {"status": "f1", "message": "project 7 shows spans for f1"}
    assert understudy("show", "7", "f1").output == "project 7 shows spans for f1\n"
    assert understudy("show", "7", "recall").exit_code != 0
