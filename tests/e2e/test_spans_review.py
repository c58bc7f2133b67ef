"""What the model says of marked text after the fact, on the real Label Studio: wrong spans in the Data Manager, and
sure texts that become annotations and are taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from backend.jobs.sync.relabel_tab import TAB_TITLE
from backend.rules.relabel import VERSION_PREFIX
from model.span import Span, SpanDocument
from tests.e2e.conftest import PASSWORD, USER, Backend, Studio, wait_until
from tests.e2e.test_spans import annotate, check_offsets, examples, f1, make_project, stored, truths
from tests.support.span_texts import LABELS, invented_texts, labels_config, regions, spans_of

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

MARKED, WRONG, A_REFIT = 112, 4, 8


class Story:
    """What the tests of this file hand on to each other."""

    project: int
    documents: dict[int, SpanDocument]
    spoilt: dict[int, SpanDocument]


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


@pytest.fixture(scope="module")
def story(label_studio: Studio, learning: Backend) -> Iterator[Story]:
    """112 marked texts: four with a wrong label; 60 others nobody has marked."""
    told = Story()
    documents = invented_texts(MARKED + 60)
    told.project = make_project(label_studio, learning, "marks to look at again", labels_config())
    label_studio.import_texts(told.project, [document.text for document in documents])
    by_text = {document.text: document for document in documents}
    told.documents = {task["id"]: by_text[task["data"]["text"]] for task in label_studio.tasks(told.project)}
    learning.understudy("connect", "--project", str(told.project), "--no-sampling")
    marked = list(told.documents)[:MARKED]
    some = [task for task in marked if told.documents[task].spans][4 : 4 + 6 * WRONG : 6]
    told.spoilt = {task: spoil(told.documents[task]) for task in some}
    for number, task in enumerate(marked, 1):
        annotate(label_studio, task, regions(told.spoilt.get(task, told.documents[task])))
        if number % A_REFIT == 0:  # on a busy machine all would be tested by what few labels taught
            wait_until(partial(has_stored, learning, told.project, number), "annotations are stored")
            learning.settled(told.project, quiet=0.5)
    yield told


def has_stored(learning: Backend, project: int, count: int) -> bool:
    return len(examples(learning, project)) == count


def spoil(document: SpanDocument) -> SpanDocument:
    """With the first span under the next label."""
    first, *rest = document.spans
    label = LABELS[(LABELS.index(first.label) + 1) % len(LABELS)]
    return replace(document, spans=(replace(first, label=label), *rest))


def searched(learning: Backend, story: Story) -> dict[str, Any]:
    def look() -> Any:
        found = json.loads(learning.understudy("suspects", str(story.project), "--json"))
        return found if found["searched"].get("label", {}).get("labels", 0) >= 0.9 * MARKED else None

    found: dict[str, Any] = wait_until(look, "marked text is searched for wrong spans")
    return found


def test_wrong_spans_are_listed_with_what_stands_there(learning: Backend, story: Story) -> None:
    rows = searched(learning, story)["suspects"]
    wrong = {row["task"]: row for row in rows if row["kind"] == "wrong label"}
    found = set(wrong) & set(story.spoilt)
    assert len(found) >= WRONG - 1, rows
    for task in found:
        text, place = story.documents[task].text, wrong[task]["given_span"]
        assert text[place["start"] : place["end"]] == place["text"], "characters beside emoji"
    assert any(
        Span(p["start"], p["end"], wrong[t]["suggested"]) in story.documents[t].spans
        for t in found
        if (p := wrong[t]["suggested_span"])
    )
    told = learning.understudy("suspects", str(story.project))
    assert "wrong label" in told and "kind" in told.splitlines()[0]


def test_the_tab_lists_them_with_the_regions_put_right(label_studio: Studio, learning: Backend, story: Story) -> None:
    said = learning.understudy("suspects", str(story.project), "--push")
    written = stored(label_studio, story.project, VERSION_PREFIX)
    assert f"{len(written)} tasks in the tab" in said and check_offsets(story, written)  # type: ignore[arg-type]
    flagged = set(written) & set(story.spoilt)
    assert flagged, written
    right = [task for task in flagged if spans_of(written[task]["result"]) == set(story.documents[task].spans)]
    assert right, {task: written[task]["result"] for task in flagged}
    [tab] = [
        one
        for one in label_studio.call("GET", f"/api/dm/views/?project={story.project}")
        if one["data"].get("title") == TAB_TITLE
    ]
    listed = label_studio.call("GET", f"/api/tasks?project={story.project}&view={tab['id']}&page_size=100")
    assert {task["id"] for task in listed["tasks"]} == set(written)
    assert "already" in learning.understudy("suspects", str(story.project), "--push"), "nothing has changed"


def test_a_corrected_text_leaves_the_list(label_studio: Studio, learning: Backend, story: Story) -> None:
    task = next(iter(set(stored(label_studio, story.project, VERSION_PREFIX)) & set(story.spoilt)))
    [annotation] = [id_ for id_, row in examples(learning, story.project).items() if row["task"] == task]
    body = {"result": regions(story.documents[task])}
    label_studio.call("PATCH", f"/api/annotations/{annotation}/", body)
    wait_until(
        lambda: task not in {row["task"] for row in searched(learning, story)["suspects"]}, "the text leaves the list"
    )
    learning.understudy("suspects", str(story.project), "--remove")
    assert not stored(label_studio, story.project, VERSION_PREFIX)


def put_right(label_studio: Studio, learning: Backend, story: Story) -> None:
    """Every wrong label corrected: one among the surest tests, which is chance, and nothing would be accepted."""
    rows = examples(learning, story.project)
    for annotation, row in rows.items():
        if row["task"] in story.spoilt:
            body = {"result": regions(story.documents[row["task"]])}
            label_studio.call("PATCH", f"/api/annotations/{annotation}/", body)
    wait_until(
        lambda: not set(story.spoilt) & {row["task"] for row in searched(learning, story)["suspects"]},
        "what was corrected is learned",
    )


def test_sure_texts_become_annotations_that_are_marked_and_taken_back(
    label_studio: Studio, learning: Backend, story: Story
) -> None:
    number = str(story.project)
    put_right(label_studio, learning, story)
    told = learning.understudy("accept", number, "--accuracy", "0.5")
    assert "seem to hold nothing to mark and are left to people" in told and "Nothing was changed" in told, told
    before = examples(learning, story.project)
    told = learning.understudy("accept", number, "--accuracy", "0.5", "--write")
    tasks = {task["id"]: task for task in label_studio.tasks(story.project)}
    made = {task: annotation for task in list(story.documents)[MARKED:] for annotation in tasks[task]["annotations"]}
    assert made and f"{len(made)} tasks annotated" in told
    for task, annotation in made.items():
        for item in annotation["result"]:
            value = item["value"]
            assert story.documents[task].text[value["start"] : value["end"]] == value["text"]
            assert item["meta"]["understudy"]["accepted"] and item["type"] == "labels"
    print(
        f"F1 of {len(made)} accepted texts",
        f1([spans_of(one["result"]) for one in made.values()], truths(story, list(made))),
    )  # type: ignore[arg-type]
    learning.settled(story.project, quiet=1)
    assert examples(learning, story.project).keys() == before.keys(), "what the model said is not learned"
    kept = next(iter(made))
    label_studio.call("PATCH", f"/api/annotations/{made[kept]['id']}/", {"result": regions(story.documents[kept])})
    assert f"{len(made) - 1} accepted annotations deleted" in learning.understudy("accept", number, "--undo")
    left = {task["id"] for task in label_studio.tasks(story.project) if task["total_annotations"]}
    assert left == {*list(story.documents)[:MARKED], kept}, "a person's change stays"
