"""Questions about regions and relations on the real Label Studio: answered by API, learned, suggested, opened in its
page (headless Chromium), submitted unchanged, and read back the same; and predicted for a whole project in bulk."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from selenium import webdriver

from tests.e2e.conftest import Backend, Studio, wait_until
from tests.e2e.test_spans import annotate, examples
from tests.e2e.test_spans_page import Page, connect
from tests.support.region_texts import CONFIG, Note, note, notes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TAUGHT = 24

HELD = """
const of = window.Htx && window.Htx.annotationStore.selected;
if (!of) return null;
const ties = of.relationStore ? of.relationStore.relations : [];
return {
  regions: of.regions.map(one => [one.text || '', one.results.map(own => own.from_name.name)]),
  relations: ties.map(one => [one.node1.text, one.node2.text, one.direction])
}
"""
"""What the page's editor holds: regions with the controls that say something of them, and relations."""

ARROWS = """
const seen = one => { const box = one.getBoundingClientRect(); return box.width > 0 && box.height > 0 };
return [...document.querySelectorAll('svg')].filter(one => seen(one) && one.querySelector('text')).map(one => ({
  words: [...one.querySelectorAll('text')].filter(seen).map(own => own.textContent),
  begins: one.querySelectorAll('path[marker-start]').length,
  ends: one.querySelectorAll('path[marker-end]').length,
}))
"""
"""What is drawn of relations over the text: their labels, and arrows at their begins and ends."""


@pytest.fixture(scope="module")
def project(label_studio: Studio, backend: Backend) -> tuple[int, list[int]]:
    """Notes that were annotated in full, and some that nobody has seen."""
    written = [*notes(TAUGHT), *notes(6, 500)]
    number, tasks = connect(label_studio, backend, "regions", CONFIG, [{"text": one.text} for one in written])
    for task, one in zip(tasks, written[:TAUGHT], strict=False):
        annotate(label_studio, task, one.result)
    wait_until(lambda: len(examples(backend, number)) == TAUGHT, "all answers are stored")
    backend.settled(number, quiet=1)
    return number, tasks


def said(result: list[dict[str, Any]]) -> list[Any]:
    """What a result says, whatever the order of its items and what the page adds to them."""
    found = []
    for item in result:
        if item["type"] == "relation":
            found.append(("relation", item["from_id"], item["to_id"], item["direction"], repr(item.get("labels"))))
            continue
        own = {name: part for name, part in item["value"].items() if name != "text" or item["type"] == "textarea"}
        found.append((item["type"], item["id"], item["from_name"], repr(sorted(own.items()))))
    return sorted(found)


def test_answers_and_relations_are_shown_and_come_back_as_they_were(
    browser: webdriver.Chrome, label_studio: Studio, backend: Backend, project: tuple[int, list[int]]
) -> None:
    number, tasks = project
    page, task = Page(browser, label_studio), tasks[-1]
    browser.get(f"{label_studio.server.url}/projects/{number}/data?task={task}")
    [prediction] = wait_until(lambda: label_studio.predictions(task), "opening the task asks for a prediction")
    result: list[dict[str, Any]] = prediction["result"]
    kinds = Counter(item["type"] for item in result)
    assert kinds["labels"] >= 2 and kinds["choices"] >= 1 and kinds["relation"] >= 1, result
    page.wait(lambda: len((browser.execute_script(HELD) or {}).get("regions", ())) == kinds["labels"], "all regions")
    held = browser.execute_script(HELD)
    page.picture("regions.png")
    assert Counter(name for *_, names in held["regions"] for name in names) == Counter(
        item["from_name"] for item in result if item["type"] != "relation"
    )
    places = {item["id"]: item["value"]["text"] for item in result if item["type"] == "labels"}
    assert sorted(held["relations"]) == sorted(
        [places[item["from_id"]], places[item["to_id"]], item["direction"]]
        for item in result
        if item["type"] == "relation"
    )
    drawn = [item for item in result if item["type"] == "relation"]
    page.wait(lambda: any(own["words"] for own in browser.execute_script(ARROWS)), "the relation is drawn")
    (arrows,) = browser.execute_script(ARROWS)
    assert sorted(arrows["words"]) == sorted(", ".join(item["labels"]) for item in drawn)
    assert all(arrows["words"])
    assert arrows["ends"] == len(drawn) and arrows["begins"] == sum(item["direction"] == "bi" for item in drawn)
    finding = next(item for item in result if item["type"] == "labels" and item["value"]["labels"] == ["FINDING"])
    page.click(finding["value"]["text"])
    page.picture("regions-selected.png")
    page.submit()
    stored = wait_until(lambda: label_studio.call("GET", f"/api/tasks/{task}/annotations/"), "the annotation arrives")
    assert said(stored[0]["result"]) == said(result)
    wait_until(lambda: any(row["task"] == task for row in examples(backend, number).values()), "and is stored")


def test_a_whole_project_is_predicted_with_answers_and_relations(
    label_studio: Studio, backend: Backend, project: tuple[int, list[int]]
) -> None:
    number, tasks = project
    free = [task for task in tasks[TAUGHT:-1]]
    backend.understudy("predict", str(number))
    kept = {task["id"]: task["predictions"] for task in label_studio.tasks(number)}
    assert all(kept[task] for task in free), "the bulk import drops none of them"
    shown = Counter(item["type"] for task in free for item in kept[task][-1]["result"])
    assert shown["relation"] >= 2 and shown["choices"] >= 2 and shown["labels"] >= 8, shown
    assert note(0) == Note(note(0).text, note(0).result)
