"""Answers to questions that are probably wrong, on the real Label Studio: listed, and in the Data Manager's tab with
the regions put right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from backend.jobs.sync.relabel_tab import TAB_TITLE
from backend.rules.relabel import VERSION_PREFIX
from tests.e2e.conftest import PASSWORD, USER, Backend, Studio, wait_until
from tests.e2e.test_spans import annotate, examples, import_data, make_project, stored
from tests.support.questions import TEMPLATE, asked

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ANSWERED, ELSEWHERE = 60, "It rains often"


@pytest.fixture(scope="module")
def learning(label_studio: Studio) -> Iterator[Backend]:
    rig = Backend(
        LABEL_STUDIO_URL=label_studio.server.url,
        LABEL_STUDIO_API_KEY=label_studio.server.access_token,
        BASIC_AUTH_USER=USER,
        BASIC_AUTH_PASS=PASSWORD,
        QUEUE_ENABLED="false",
        QUEUE_BLIND_SHARE="0",
    )
    rig.configs = {}
    with rig:
        yield rig


@pytest.mark.long
def test_wrong_answers_go_into_the_tab_with_the_answer_put_right(label_studio: Studio, learning: Backend) -> None:
    right = asked(ANSWERED)
    project = make_project(label_studio, learning, "answers to look at again", TEMPLATE)
    import_data(label_studio, project, [one.data for one in right])
    by_data = {(task["data"]["text"], task["data"]["question"]): task["id"] for task in label_studio.tasks(project)}
    learning.understudy("connect", "--project", str(project), "--no-sampling")
    number = {place: by_data[one.text, one.question] for place, one in enumerate(right)}
    wrong = [place for place, one in enumerate(right) if one.answer][6:27:10]
    missed = [place for place, one in enumerate(right) if one.answer][9:30:10]
    for place, one in enumerate(right):
        start = one.text.index(ELSEWHERE)
        other = replace(one, answer=(start, start + 8)) if place in wrong else one
        annotate(label_studio, number[place], (replace(one, answer=None) if place in missed else other).result())
    wait_until(lambda: len(examples(learning, project)) == ANSWERED, "every answer is stored")
    learning.settled(project, quiet=1)

    def look() -> Any:
        found = json.loads(learning.understudy("suspects", str(project), "--json"))
        return found if found["searched"].get("answer", {}).get("labels", 0) >= 0.9 * ANSWERED else None

    rows = {row["task"]: row for row in wait_until(look, "answers are searched")["suspects"]}
    named = {place: rows[number[place]] for place in (*wrong, *missed) if number[place] in rows}
    assert len(named) >= 5, rows
    for place, row in named.items():
        assert row["kind"] == ("wrong answer" if place in wrong else "missed")
        assert row["suggested_span"]["text"] == right[place].said and row["text"].startswith(right[place].question)

    said = learning.understudy("suspects", str(project), "--push")
    written = stored(label_studio, project, VERSION_PREFIX)
    assert f"{len(written)} tasks in the tab" in said
    pushed = [place for place in named if number[place] in written]
    assert pushed, written
    for place in pushed:
        values = [item["value"] for item in written[number[place]]["result"]]
        assert [value["text"] for value in values] == [right[place].said]
        assert [(value["start"], value["end"]) for value in values] == [right[place].answer]
    assert any(
        view["data"].get("title") == TAB_TITLE for view in label_studio.call("GET", f"/api/dm/views/?project={project}")
    )
