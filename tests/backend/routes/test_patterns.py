"""Patterns over the admin API: taken whole or refused whole, told, removed, and written into the audit log."""

from __future__ import annotations

from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from tests.support.marking import MARKS, PROJECT, Marks, sentences

ADMIN = {"Authorization": "Bearer admin"}
PATH = f"/admin/projects/{PROJECT}/patterns"
ALIASED = MARKS.replace('<Label value="PER"/>', '<Label value="Person" alias="PER"/>')
TWO = MARKS.replace("</View>", '<Labels name="other" toName="text"><Label value="DATE"/></Labels></View>')


def put(client: Any, rows: list[Any], **more: Any) -> Any:
    return client.put(PATH, json={"patterns": rows, **more}, headers=ADMIN)


def get(client: Any, query: str = "") -> Any:
    return client.get(f"{PATH}{query}", headers=ADMIN).get_json()


def counts(client: Any, control: str = "label") -> dict[str, int]:
    found = get(client)["patterns"].get(control, {"labels": {}})
    return {label: own["patterns"] for label, own in found["labels"].items()}


def test_they_are_replaced_added_removed_and_cleared(client: Any, context: Any) -> None:
    Marks(context)
    assert get(client) == {"patterns": {}, "pending": False}
    reply = put(client, [{"label": "PER", "pattern": "Ann"}, {"label": "LOC", "regex": "Os.o", "ignore_case": True}])
    assert reply.status_code == 200 and "2 patterns (LOC 1, PER 1)" in reply.get_json()["message"]
    assert counts(client) == {"LOC": 1, "PER": 1} and get(client)["pending"]
    rows = get(client, "?limit=9")["rows"]
    assert rows == [{"label": "LOC", "regex": "Os.o", "ignore_case": True}, {"label": "PER", "pattern": "Ann"}]
    put(client, [{"label": "PER", "pattern": "Bob"}, {"label": "PER", "pattern": "Ann"}], how="add")
    assert counts(client) == {"LOC": 1, "PER": 2}
    put(client, [{"label": "PER", "pattern": "Ann"}], how="remove")
    assert counts(client) == {"LOC": 1, "PER": 1}
    assert client.delete(f"{PATH}?label=LOC", headers=ADMIN).status_code == 200 and counts(client) == {"PER": 1}
    put(client, [{"label": "LOC", "pattern": "Oslo"}])
    assert counts(client) == {"LOC": 1}
    message = client.delete(PATH, headers=ADMIN).get_json()["message"]
    assert message == "label: no patterns any more" and counts(client) == {}
    assert client.delete(PATH, headers=ADMIN).get_json()["message"] == "label: there were no patterns"
    put(client, [{"label": "LOC", "pattern": "Oslo"}])
    put(client, [])
    assert counts(client) == {}


def test_status_and_the_audit_log_tell_of_them(client: Any, context: Any) -> None:
    Marks(context).add(sentences(8))
    put(client, [{"label": "PER", "pattern": "Ann Miller"}])
    assert refit(PROJECT) == "published"
    entry = client.get(f"/admin/projects/{PROJECT}", headers=ADMIN).get_json()
    figures = entry["patterns"]["label"]["labels"]["PER"]
    assert figures["patterns"] == 1 and figures["right"] == figures["tried"] == 1
    client.delete(PATH, headers=ADMIN)
    actions = client.get("/admin/audit", headers=ADMIN).get_json()["actions"]
    assert [own["action"] for own in actions[:2]] == ["delete patterns", "patterns"]
    assert "Ann" not in str(actions)


@pytest.mark.parametrize(
    ("rows", "more", "code", "field", "words"),
    [
        (
            [{"label": "ORG", "pattern": "a", "line": 4}],
            {},
            "bad_pattern",
            "label",
            "line 4, field \"label\": 'ORG' is no label of label; it has PER, LOC",
        ),
        ([{"label": "PER", "regex": "(?=a)", "line": 7}], {}, "bad_pattern", "regex", "line 7"),
        ([{"label": "PER"}], {}, "bad_pattern", "pattern", "neither"),
        (["PER"], {}, "bad_pattern", "row", "one object"),
        ([{"pattern": "a"}], {}, "bad_pattern", "label", "name"),
        ([{"label": "PER", "pattern": "a"}], {"control": "nose"}, "bad_request", "control", "there is label"),
        ([{"label": "PER", "pattern": "a"}], {"control": 7}, "bad_request", "control", "there is label"),
        ([{"label": "PER", "pattern": "a"}], {"how": "maybe"}, "bad_request", "how", "replace, add, remove"),
        ("PER", {}, "bad_request", "patterns", "list of objects"),
        (None, {}, "bad_request", "patterns", "list of objects"),
        ({"PER": "a"}, {}, "bad_request", "patterns", "list of objects"),
    ],
)
def test_what_cannot_be_used_is_refused_whole(
    client: Any, context: Any, rows: Any, more: dict[str, Any], code: str, field: str, words: str
) -> None:
    Marks(context)
    put(client, [{"label": "LOC", "pattern": "Oslo"}])
    reply = put(client, rows, **more)
    body = reply.get_json()
    assert (reply.status_code, body["error"], body["field"]) == (400, code, field) and words in body["message"]
    assert counts(client) == {"LOC": 1}


def test_a_project_that_marks_nothing_and_one_that_nobody_knows(client: Any, context: Any) -> None:
    assert put(client, []).status_code == 404
    context.stores.projects.save_config(
        PROJECT, '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>'
    )
    reply = put(client, [{"label": "a", "pattern": "b"}])
    assert reply.status_code == 400 and "no control whose spans" in reply.get_json()["message"]
    shown = client.get(PATH, headers=ADMIN)
    assert shown.status_code == 400 and "no control whose spans" in shown.get_json()["message"], "as if none were yet"
    assert client.put(PATH, json={"patterns": []}).status_code == 401
    assert client.delete(PATH).status_code == 401


def test_labels_are_known_by_value_and_alias(client: Any, context: Any) -> None:
    Marks(context, ALIASED)
    assert put(client, [{"label": "Person", "pattern": "Ann"}, {"label": "PER", "pattern": "Bob"}]).status_code == 200
    assert counts(client) == {"PER": 2}


def test_of_several_controls_one_is_named(client: Any, context: Any) -> None:
    Marks(context, TWO)
    reply = put(client, [{"label": "DATE", "pattern": "May"}])
    assert reply.status_code == 400 and "--control NAME" in reply.get_json()["message"]
    assert put(client, [{"label": "DATE", "pattern": "May"}], control="other").status_code == 200
    assert put(client, [{"label": "PER", "pattern": "Ann"}], control="label").status_code == 200
    assert counts(client, "other") == {"DATE": 1} and counts(client) == {"PER": 1}
    context.stores.projects.save_config(PROJECT, MARKS)
    assert client.delete(f"{PATH}?control=other", headers=ADMIN).status_code == 200, "of a control that has gone"
    assert counts(client, "other") == {}
