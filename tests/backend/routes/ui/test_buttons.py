"""Every button does its work once however often it is pressed, says so, and stands in the audit log."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest

from backend.routes.app import create_app
from backend.store.work.file_runs import Asked
from backend.ui.page import TABS
from tests.backend.routes.ui.conftest import TOKEN, log_in
from tests.backend.ui.views.conftest import linked  # noqa: F401

ASKS = {
    "retrain",
    "resync",
    "cancel",
    "rollback",
    "unpin",
    "queue",
    "predict",
    "predict/cancel",
    "files/cancel",
    "suspects",
    "teacher",
    "teacher/stop",
}
"""They change what annotators see, or end what runs: each asks once."""

WANTED: Asked = {"source": "file:///in/a.csv", "output": "file:///out", "version": "v0.3", "rows": 100, "prefix": ""}


TEACHER = {"teacher_url": "http://llm.example:11434/v1", "teacher_model": "<b>tiny", "teacher_price": 2.0}


@pytest.fixture
def hired(linked: Any) -> Any:  # noqa: F811
    """With a teacher on another machine, which nobody asks here, and texts for it."""
    linked.stores.projects.add_pool(7, {n: {"text": f"text {n}"} for n in range(1, 51)}, 1000)
    return replace(linked, settings=linked.settings.model_copy(update=TEACHER))


@pytest.fixture
def press(linked: Any) -> Any:  # noqa: F811
    """Presses a button of project 7 as the page's script does; its reply."""
    client = create_app(linked).test_client()
    log_in(client)
    csrf = TOKEN.search(client.get("/ui").text)
    assert csrf
    part = {"HX-Request": "true", "X-CSRF-Token": csrf[1]}
    return lambda action, **fields: client.post(f"/ui/projects/7/{action}", headers=part, data=fields)


@pytest.mark.parametrize(
    ("action", "first", "second"),
    [
        ("resync", "asked for", "already asked for"),
        ("queue", "asked for", "already asked for"),
        ("predict", "asked for", "already"),
        ("check", "the doctor looks;", "looks already"),
        ("retrain", "asked for", "nothing is trained twice"),
        ("unpin", "learning goes on", "learning goes on"),
    ],
)
def test_a_second_press_does_nothing_more(press: Any, linked: Any, action: str, first: str, second: str) -> None:  # noqa: F811
    for said in (first, second):
        reply = press(action)
        assert reply.status_code == 200 and said in reply.text, reply.text
        assert reply.headers["HX-Trigger"] == "understudy:refresh"
    assert [entry["action"] for entry in linked.stores.audit.read(9)].count(action) == 2
    assert len(linked.stores.jobs.recent(7)) == (action == "retrain")


def test_what_ends_a_run_says_so_when_none_is_there(press: Any, linked: Any) -> None:  # noqa: F811
    assert press("predict/cancel").status_code == 404
    press("predict")
    assert "what is written stays" in press("predict/cancel").text
    again = press("predict/cancel")
    assert again.status_code == 409 and "is over" in again.text
    run = linked.stores.prediction_runs.find(7)
    assert run["status"] == "cancelled"
    assert press("files/cancel").status_code == 404
    linked.stores.file_runs.request(7, "admin", WANTED)
    assert "parts that are written stay" in press("files/cancel").text
    again = press("files/cancel")
    assert again.status_code == 409 and "is over" in again.text


def test_the_page_tells_what_a_teacher_is_sent_before_it_is_asked(hired: Any) -> None:
    client = create_app(hired).test_client()
    log_in(client)
    csrf = TOKEN.search(client.get("/ui").text)
    assert csrf
    path = "/ui/projects/7/queue"
    text = client.get(path).text
    assert "A run would send 50 texts" in text and "they leave this machine" in text and "<b>tiny" not in text
    assert client.post("/ui/projects/7/teacher").status_code == 403, "no token"
    assert create_app(hired).test_client().post("/ui/projects/7/teacher").status_code in (303, 401, 403)
    part = {"HX-Request": "true", "X-CSRF-Token": csrf[1]}
    assert "is asked about unlabelled texts" in client.post("/ui/projects/7/teacher", headers=part).text
    again = client.post("/ui/projects/7/teacher", headers=part)
    assert again.status_code == 409 and "is being asked already" in again.text
    assert "0 of 50" in client.get(path).text and ">Ask the teacher<" not in client.get(path).text
    assert "a teacher is asked about unlabelled texts: 0 of 5" in client.get("/ui/projects/7/overview").text
    assert "what was answered stays" in client.post("/ui/projects/7/teacher/stop", headers=part).text
    assert client.get(f"{path}.json").get_json()["teacher"]["run"]["status"] == "cancelled"
    hired.settings.__dict__["teacher_url"] = ""
    assert "no text leaves this machine" in client.get(path).text


def test_nobody_is_asked_where_there_is_no_teacher(press: Any, linked: Any) -> None:  # noqa: F811
    reply = press("teacher")
    assert reply.status_code == 409 and "TEACHER_URL is not set" in reply.text
    assert press("teacher/stop").status_code == 404 and linked.stores.teachings.find(7) is None


def test_a_hunt_is_ordered_and_stopped(press: Any, linked: Any) -> None:  # noqa: F811
    asked = {"hunt_label": "e", "hunt_words": "refund, money back", "hunt_regex": "", "hunt_count": "5"}
    reply = press("hunt", **asked)
    assert reply.status_code == 200 and "e: 5 more of it are hunted" in reply.text
    assert reply.headers["HX-Retarget"] == "#order" and reply.headers["HX-Trigger"] == "understudy:refresh"
    [order] = linked.stores.task_queue.orders(7)
    assert (order["key"], order["words"], order["count"]) == ("e", ["refund", "money back"], 5)
    reply = press("hunt/stop", hunted='["label", "e"]')
    assert "not hunted any more" in reply.text and linked.stores.task_queue.orders(7)[0]["stopped"]
    for wrong in ("", "e", "[1]", "7", '["label", "z"]'):
        assert press("hunt/stop", hunted=wrong).status_code == 400
    assert [entry["action"] for entry in linked.stores.audit.read(9)].count("hunt") == 1


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("label", "z", "it is none of a, e"),
        ("regex", "(", "missing )"),
        ("like", "9 1", "task 9 is not known here"),
        ("count", "many", "a positive integer"),
        ("words", "w" * 201, "at most 50 words"),
    ],
)
def test_what_is_wrong_with_a_hunt_is_said_at_its_field(
    press: Any,
    linked: Any,  # noqa: F811
    field: str,
    text: str,
    said: str,
) -> None:
    given = {"hunt_label": "e", "hunt_words": "<b>", f"hunt_{field}": text}
    reply = press("hunt", **given)
    assert reply.status_code == 400 and reply.headers["HX-Retarget"] == "#order"
    at = re.search(rf'<small id="hunt_{field}_said">([^<]*)</small>', reply.text)
    assert at and said in at[1], reply.text
    assert reply.text.count('aria-invalid="true"') == 1 and linked.stores.task_queue.orders(7) == []
    if field != "words":
        assert 'value="&lt;b&gt;"' in reply.text, "what was typed stays"


def test_names_of_classes_are_text_whatever_stands_in_them(press: Any, linked: Any) -> None:  # noqa: F811
    name = "<img src=x onerror=alert(1)>\"'{{ 7*191 }}"
    config = f"""<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value={quoteattr(name)}/>
    <Choice value="b"/></Choices></View>"""
    linked.stores.projects.save_config(7, config)
    client = create_app(linked).test_client()
    log_in(client)
    ordered = press("hunt", hunt_label=name.upper(), hunt_words="<img src=x>")
    assert ordered.status_code == 200 and "more of it (&lt;img" in ordered.text
    for text in (
        ordered.text,
        press("hunt", hunt_label=f"{name}z", hunt_regex="<img src=x").text,
        client.get("/ui/projects/7/queue").text,
        client.get("/ui/projects/7/hunt/classes?hunt_label=img").text,
        press("hunt/stop", hunted=json.dumps(["c", name])).text,
    ):
        assert "&lt;img" in text and "<img" not in text and "1337" not in text


def test_without_a_script_a_refused_hunt_is_the_page_with_what_is_wrong(linked: Any) -> None:  # noqa: F811
    client = create_app(linked).test_client()
    log_in(client)
    csrf = TOKEN.search(client.get("/ui").text)
    assert csrf
    form = {"csrf_token": csrf[1], "hunt_label": "z"}
    reply = client.post("/ui/projects/7/hunt", data=form)
    assert reply.status_code == 400 and "it is none of a, e" in reply.text and "<html" in reply.text
    reply = client.post("/ui/projects/7/hunt", data={**form, "hunt_label": "e"})
    assert reply.status_code == 303 and reply.location.endswith("/ui/projects/7/queue#order")
    assert client.post("/ui/projects/7/hunt", data={"hunt_label": "e"}).status_code == 403, "no token"
    assert client.post("/ui/projects/7/hunt/stop", data={"hunted": "[]"}).status_code == 403
    names = client.get("/ui/projects/7/hunt/classes?hunt_label=E").text
    assert 'value="e"' in names and 'value="a"' not in names


def test_what_changes_what_annotators_see_asks_once(hired: Any) -> None:
    hired.stores.versions.pin(7, "v0.1")
    client = create_app(hired).test_client()
    log_in(client)
    forms = {}
    for state in ("idle", "busy"):
        if state == "busy":
            hired.stores.jobs.request_training(7, by="test")
            hired.stores.prediction_runs.request(7, "test", False)
            hired.stores.file_runs.request(7, "test", WANTED)
            hired.stores.teachings.request(7, "test", "tiny", 20)
        for tab in TABS:
            text = client.get(f"/ui/projects/7/{tab.slug}").text
            for form in re.findall(r'<button[^>]*class="act[^>]*>', text):
                found = re.search(r"/ui/projects/7/([\w/-]+)", form)
                assert found
                forms[found[1]] = "hx-confirm=" in form
    assert ASKS - {"rollback"} <= {action for action, asks in forms.items() if asks}, forms
    assert not forms["check"]
