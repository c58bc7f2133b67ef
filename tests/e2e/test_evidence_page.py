"""An annotator opens a task in Label Studio's own page: the deciding words are highlighted, the confidence is there."""

from __future__ import annotations

from typing import Any

import pytest
from selenium import webdriver

from tests.e2e.conftest import ARTIFACTS, Backend, Studio, choices_result, label_of, log_in, wait_until
from tests.e2e.test_page import texts_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

HELPERS = """
  <Labels name="evidence" toName="text"><Label value="decided" background="#f5a623"/></Labels>
  <TextArea name="understudy" toName="text" editable="false" maxSubmissions="1"/>
"""
LABELLED = 48

# Two UTF-16 units in one code point, two code points in one character, an empty line, a CRLF: every way in which
# offsets could be counted apart.
ODD_START = "😀 👍🏽 Hello!\n\nHow are you?\r\n"

REGIONS = "[class*=htx-highlight]"
"""Label Studio's own markup of a highlighted region of a text."""

SHOWN_TEXTS = """
return [...document.querySelectorAll('textarea, input[type=text]')].map(e => e.value)
  .concat(document.body.innerText)
"""


def test_the_annotator_sees_the_deciding_words_and_the_confidence(
    browser: webdriver.Chrome,
    label_studio: Studio,
    backend: Backend,
    config: str,
    rows: list[tuple[str, str]],
) -> None:
    with_helpers = config.replace("<Choices", f"{HELPERS}<Choices", 1)
    project = label_studio.create_project("deciding words", with_helpers)
    backend.configs[project] = with_helpers
    opened = [ODD_START + text for text, _ in rows[200:202]]
    label_studio.import_texts(project, [*opened, *(text for text, _ in rows[:LABELLED])])
    backend.understudy("connect", "--project", str(project))
    tasks = label_studio.tasks(project)
    labels = dict(rows)
    for task in tasks[len(opened) :]:
        label_studio.annotate(task["id"], labels[task["data"]["text"]])
    wait_until(lambda: len(backend.examples(project)) == LABELLED, "all labels are stored")
    assert backend.settled(project) != "v0", "the version has learned, and answers the same to the end"
    log_in(browser, label_studio)
    task = tasks[0]

    browser.get(f"{label_studio.server.url}/projects/{project}/data?task={task['id']}")
    [prediction] = wait_until(lambda: label_studio.predictions(task["id"]), "opening the task asks for a prediction")
    expected = sorted(item["value"]["text"] for item in prediction["result"] if item["from_name"] == "evidence")
    [line] = [item["value"]["text"][0] for item in prediction["result"] if item["from_name"] == "understudy"]
    assert expected and line.startswith(label_of(prediction))
    highlighted = texts_of(browser, REGIONS, count=len(expected))

    ARTIFACTS.mkdir(exist_ok=True)
    browser.save_screenshot(str(ARTIFACTS / "evidence.png"))
    assert sorted(highlighted) == expected, "the page highlights the very words that are named"
    wait_until(
        lambda: any(line in str(text) for text in browser.execute_script(SHOWN_TEXTS)), f"{line!r} is on the page"
    )

    submitted = submit_as_shown(label_studio, task["id"], prediction)
    example = wait_until(lambda: backend.examples(project).get(submitted), "the annotation is an example")
    assert example["labels"] == {"label": [label_of(prediction)]}, "the helpers are not learned"
    explained = backend.understudy("explain", str(project), str(task["id"]))
    assert f"[{expected[0]}]" in explained and label_of(prediction) in explained


def submit_as_shown(studio: Studio, task: int, prediction: dict[str, Any]) -> int:
    """What the page sends when the annotator agrees: every result of the prediction."""
    result = [item for item in prediction["result"] if item["from_name"] != "label"]
    body = {"result": [*choices_result(label_of(prediction)), *result], "lead_time": 2.0}
    return int(studio.call("POST", f"/api/tasks/{task}/annotations/", body)["id"])
