"""Rows 6, 7, 8, 30, 31, 33, 34: whatever stands in a body, the answer is clear, and nothing outside is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from backend.redis_access.keys import project_key
from backend.routes.app import create_app
from backend.store.rejects import OF_NO_PROJECT
from tests.backend.labelstudio.label_config.test_refusals import HOSTILE
from tests.support.events import CONFIG, annotation, create, send
from tests.support.tiny import PROJECT, settings, tiny_base  # noqa: F401
from tests.support.traps import CONTENT, Traps, traps  # noqa: F401

ADMIN = {"Authorization": "Bearer admin"}
PATHS = ("/webhook", "/predict", "/setup", "/train", "/job_status")
EVENT = b'{"action":"ANNOTATION_CREATED","project":{"id":7},"annotation":%s}'
BODIES = (
    *(b"", b"[]", b"7", b"null", b"{", b"\xff\xfe", b'{"action": NaN}', b'{"tasks": [Infinity], "project": 7}'),
    *(b'{"action": 1e999}', b'{"tasks": -1e999}', b'{"a": ' + b"9" * 10_000 + b"}"),
    *(b"[" * 1_000_000, b'{"a":' * 200_000, b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"),
    *(b'{"a":' + b"[" * 100 + b"]" * 100 + b', "project": 7, "action": "X"}', b'{"project": "\\ud800"}'),
    b'{"action":"ANNOTATION_CREATED","project":null,"annotation":{}}',
    b'{"action":"ANNOTATION_CREATED","project":"\\ud800","annotation":{}}',
    b'{"action":7,"project":{"id":7}}',
    *(
        EVENT % part
        for part in (b"[1,2]", b"null", b'"x"', b'{"id":1,"task":{}}', b'{"id":-1}', b'{"id":true,"task":1}')
    ),
)
PROJECTS = (
    "../../etc",
    "7;x",
    "1e9",
    "٣",
    "７",
    "0",
    "-1",
    " 7",
    "7\n",
    "7.",
    -1,
    0,
    True,
    7.0,
    2**63,
    10**30,
    [7],
    {"a": 1},
)


def post(client: Any, path: str, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(path, data=data, content_type="application/json")


def test_row_06_an_unknown_action_is_ignored_and_one_without_payload_asks_for_a_reconciliation(
    client: Any, services: Any
) -> None:
    reply = send(client, "SOMETHING_NEW")
    assert (reply.status_code, reply.get_json()["status"]) == (200, "ignored")
    assert 'understudy_webhook_events_total{action="other"} 1.0' in client.get("/metrics").text
    services.background._mark_missed()
    assert not services.stores.projects.dirty(PROJECT)
    for body in ({"action": "ANNOTATION_CREATED", "project": {"id": PROJECT}}, {"action": "ANNOTATION_CREATED"}):
        reply = post(client, "/webhook", body)
        assert (reply.status_code, reply.get_json()["status"]) == (200, "ignored")
        services.background._mark_missed()
        assert "payload" in services.stores.projects.dirty(PROJECT)
        services.stores.projects._redis.delete(project_key(PROJECT, "meta"))
    assert services.stores.examples.count(PROJECT) == 0


def test_row_07_a_body_that_cannot_be_used_is_a_400_that_names_the_field(client: Any, services: Any) -> None:
    assert create(client, 1).status_code == 200
    for body in BODIES:
        for path in PATHS:
            reply = post(client, path, body)
            assert reply.status_code == 400, (path, body[:80], reply.text)
            assert reply.get_json()["field"] and "Traceback" not in reply.text
    assert services.stores.examples.count(PROJECT) == 1


def test_row_08_a_body_over_the_limit_is_a_413_unread_and_asks_for_a_reconciliation(services: Any) -> None:
    small = replace(services, settings=services.settings.model_copy(update={"max_body_mb": 2}))
    client = create_app(small).test_client()
    assert create(client, 1).status_code == 200

    class Unread:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("the body is read")

    for path in ("/webhook", "/predict", "/train"):
        given = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(100 << 20)}
        reply = client.post(path, environ_overrides=given)
        assert (reply.status_code, "MAX_BODY_MB=2" in reply.get_json()["message"]) == (413, True)
    assert post(client, "/setup", b"x" * (8 << 20) + b"x").status_code == 413, "needs no such body"
    services.background._mark_missed()
    assert "too large" in services.stores.projects.dirty(PROJECT)


def test_row_30_a_hostile_label_config_is_refused_and_no_file_or_address_is_opened(
    client: Any,
    services: Any,
    traps: Traps,
) -> None:
    entity = '<!DOCTYPE v [<!ENTITY e SYSTEM "{0}">]><View><Text name="t" value="&e;"/></View>'
    remote = '<!DOCTYPE v SYSTEM "{0}.dtd"><View/>'
    inclusion = '<View xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{0}" parse="text"/></View>'
    named = [form.format(where) for form in (entity, remote, inclusion) for where in (traps.url, traps.file)]
    for config in (*HOSTILE.values(), *named):
        for path, body in (
            ("/setup", {"project": "7.1", "schema": config}),
            ("/predict", {"project": "7.1", "label_config": config, "tasks": [{"data": {"t": "x"}}]}),
        ):
            reply = post(client, path, body)
            assert reply.status_code in (400, 422), (path, config[:80])
            assert CONTENT not in reply.text + reply.status and "haha" not in reply.text
        event = {"action": "PROJECT_UPDATED", "project": {"id": PROJECT, "label_config": config}}
        assert post(client, "/webhook", event).status_code in (200, 400), config[:80]
    page = f'<script src="{traps.url}"></script><img src="{traps.url}"><iframe src="{traps.file}"></iframe>'
    hyper = CONFIG.replace("<Text ", "<HyperText ")
    body = {"project": "7.1", "label_config": hyper, "tasks": [{"id": 1, "data": {"text": page}}]}
    assert post(client, "/predict", body).status_code == 200


def test_row_31_an_id_that_is_none_is_a_400_before_any_path_or_key_is_made_of_it(client: Any, services: Any) -> None:
    before = sorted(services.settings.data_dir.rglob("*"))
    for project in PROJECTS:
        for path, more in (("/setup", {"schema": CONFIG}), ("/predict", {"label_config": CONFIG, "tasks": []})):
            reply = post(client, path, {"project": project, **more})
            assert (reply.status_code, reply.get_json()["field"]) == (400, "project"), (path, project)
        for given in (project, {"id": project}):
            reply = post(client, "/webhook", {"action": "PROJECT_UPDATED", "project": given})
            assert reply.status_code == 400, given
    for name in ("7;x", "1e9", "٣", "%D9%A3", "0", "-1", "10" * 10, "7%00", "..%5c..%5cetc", "7.1"):
        for route in ("", "/versions", "/examples"):
            assert client.get(f"/admin/projects/{name}{route}", headers=ADMIN).status_code == 400, name
    assert client.get("/admin/projects/..%2f..%2fetc", headers=ADMIN).status_code in (400, 404)
    create(client, 1)
    for version in ("../../etc", "v1/../../7", "v1\0", "v٣", "v" + "9" * 10, "", None, 7, ["v1"]):
        reply = client.post(f"/admin/projects/{PROJECT}/rollback", json={"version": version}, headers=ADMIN)
        assert (reply.status_code, reply.get_json()["field"]) == (400, "version"), version
    for job in ("..", "a" * 65, "x;y", "é", "-x"):
        assert client.get(f"/admin/jobs/{job}", headers=ADMIN).status_code in (400, 404), job
    for query in ("task=../x", "task=٣", "task=", "task=1e3", "task=-1", ""):
        reply = client.get(f"/admin/projects/{PROJECT}/explain?{query}", headers=ADMIN)
        assert (reply.status_code, reply.get_json()["field"]) == (400, "task"), query
    assert [path for path in sorted(services.settings.data_dir.rglob("*")) if path not in before] == []
    services.background.rejects.store(services.stores)  # within a second it does so by itself
    keys = {key for key in services.stores._redis.keys("*") if "{p" in key}
    assert {key for key in keys if f"{{p{PROJECT}}}" not in key} == {project_key(OF_NO_PROJECT, "rejects")}


def test_row_33_texts_are_taken_by_rule_and_one_bad_task_costs_no_other(client: Any, services: Any) -> None:
    texts = ["", " ", "<script>alert(1)</script>", "a\r\nb\0c", "\ud800", "😀", "x" * 1_000_000, "\ud83d\ude00"]
    good = [{"id": index, "data": {"text": text}} for index, text in enumerate(texts, 1)]
    bad: list[Any] = [None, 7, [], {}, {"id": 9}, {"id": 9, "data": None}, {"data": {"other": "x"}}]
    bad += [{"data": {"text": None}}, {"data": {"text": {"a": 1}}}, {"id": "9", "data": []}]
    reply = post(client, "/predict", {"tasks": [*good, *bad], "project": "7.1", "label_config": CONFIG})
    results = reply.get_json()["results"]
    assert [bool(item) for item in results] == [True] * len(good) + [False] * len(bad)
    for number, text in enumerate(texts, 1):
        pair = annotation(number)
        pair["task"]["data"] = {"text": text}
        body = {"action": "ANNOTATION_CREATED", "project": {"id": PROJECT, "label_config": CONFIG}, **pair}
        assert post(client, "/webhook", body).get_json()["outcomes"] == {"stored": 1}, text[:40]
    kept = {record.task: record.texts["text"] for record in services.stores.examples.snapshot(PROJECT).records}
    assert list(kept.values()) == [*texts[:3], "a\r\nb c", "\ufffd", "😀", "x" * services.settings.max_text_chars, "😀"]
    lines = services.stores._redis.hgetall(project_key(PROJECT, "ex"))
    assert not any("\n" in line or "\0" in line for line in lines.values()), "escaped where they are stored"


def test_row_34_an_address_in_a_task_is_a_text_and_is_never_fetched(client: Any, traps: Traps) -> None:
    places = [traps.url, traps.file, "http://169.254.169.254/latest/meta-data/", "s3://bucket/key", "//127.0.0.1/x"]
    tasks = [{"id": number, "data": {"text": place}} for number, place in enumerate(places, 1)]
    plain = post(client, "/predict", {"tasks": tasks, "project": "7.1", "label_config": CONFIG})
    assert all(plain.get_json()["results"])
    for number, place in enumerate(places, 1):
        pair = annotation(number)
        pair["task"]["data"] = {"text": place}
        assert send(client, "ANNOTATION_CREATED", **pair).get_json()["outcomes"] == {"stored": 1}
    by_url = CONFIG.replace('value="$text"', 'value="$text" valueType="url"')
    reply = post(client, "/predict", {"tasks": tasks, "project": "7.1", "label_config": by_url})
    assert reply.status_code == 422 and "no URL in task data is fetched" in reply.status
    assert CONTENT not in plain.text + reply.text
