"""Label Studio's template of question answering on the real Label Studio: questions about passages are imported, some
answered and some found without an answer; then a task that nobody has answered is opened in its own page (Chromium)."""

from __future__ import annotations

from typing import Any

import pytest
from selenium import webdriver

from tests.e2e.conftest import Backend, Studio, wait_until
from tests.e2e.test_spans import annotate, ask, examples
from tests.e2e.test_spans_page import Page, connect
from tests.support.questions import TEMPLATE, asked

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ANSWERED, OPENED = 40, 12


@pytest.fixture
def page(browser: webdriver.Chrome, label_studio: Studio) -> Page:
    return Page(browser, label_studio)


def test_questions_are_learned_and_one_answer_is_shown_in_the_page(
    page: Page, label_studio: Studio, backend: Backend
) -> None:
    taught, further = asked(ANSWERED), asked(OPENED, 400)
    data: list[dict[str, Any]] = [one.data for one in (*taught, *further)]
    project, tasks = connect(label_studio, backend, "questions", TEMPLATE, data)
    by_data = {(task["data"]["text"], task["data"]["question"]): task["id"] for task in label_studio.tasks(project)}
    for one in taught:
        annotate(label_studio, by_data[one.text, one.question], one.result())
    wait_until(lambda: len(examples(backend, project)) == ANSWERED, "all answers are stored")
    stored = examples(backend, project).values()
    assert sum(not row["spans"]["answer"] for row in stored) == ANSWERED // 4, "no answer is one, too"
    backend.settled(project, quiet=1)

    answers = ask(backend, project, [{"data": one.data} for one in further])
    found = [[region["value"]["text"] for region in item["result"]] if item else [] for item in answers]
    assert all(len(own) <= 1 for own in found)
    right = sum("".join(own) == one.said for own, one in zip(found, further, strict=True))
    assert right >= 0.7 * OPENED, list(zip(found, (one.said for one in further), strict=True))

    shown = next(one for own, one in zip(found, further, strict=True) if own == [one.said] and one.said)
    result = page.open(project, by_data[shown.text, shown.question])
    assert [item["value"]["text"] for item in result] == [shown.said] == page.drawn()
    text = page.browser.execute_script("return document.body.innerText")
    assert shown.question in text and f"{result[0]['score']:.2f}" in text
    page.picture("questions.png")

    empty = next(one for own, one in zip(found, further, strict=True) if not own and not one.said)
    assert page.open(project, by_data[empty.text, empty.question]) == []
    page.submit()
    last = by_data[empty.text, empty.question]
    wait_until(
        lambda: [
            row for row in examples(backend, project).values() if row["task"] == last and "answer" in row["spans"]
        ],
        "the empty answer arrives",
    )
    assert len(tasks) == ANSWERED + OPENED
