"""An annotator works on suggested spans in Label Studio's own page (headless Chromium): they are drawn at the right
characters with their scores; one is deleted, one added; and one mark marks all."""

from __future__ import annotations

from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from model.span import Span
from tests.e2e.conftest import ARTIFACTS, PATIENCE, Backend, Studio, log_in, wait_until
from tests.e2e.test_spans import HTML, annotate, examples, mark
from tests.support.span_texts import labels_config, marked, regions, spans_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DRAWN = """
const frame = document.querySelector('iframe[class*=richtext]');
const page = frame ? frame.contentDocument : document;
return [...page.querySelectorAll('[class*=htx-highlight]')].map(one => one.textContent)
"""
"""The texts of the coloured pieces; a region that crosses tags has several."""

KNOWN = """
const of = window.Htx && window.Htx.annotationStore.selected;
return of ? of.regions.map(one => [one.text || '', one.score, one.labels[0] || '']) : []
"""
"""What the page's editor holds: text, score and label of each region."""

PLACE = """
const [wanted, nth] = arguments, root = document.querySelector('[class*=richtext__container]');
const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), nodes = [];
while (walk.nextNode()) nodes.push(walk.currentNode);
const all = nodes.map(one => one.data).join('');
let at = -1;
for (let i = 0; i <= nth; i++) at = all.indexOf(wanted, at + 1);
const box = index => {
  for (const node of nodes) {
    if (index < node.length) {
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + 1);
      return range.getBoundingClientRect();
    }
    index -= node.length;
  }
};
const first = box(at), last = box(at + wanted.length - 1);
return [first.left + 1, first.top + first.height / 2, last.right + 1, last.top + last.height / 2]
"""
"""Where the pointer must go down and up to mark a text."""

AUTO = "[data-testid=bottombar-auto-annotation-toggle]"

TAUGHT = [
    marked(text)
    for text in (
        "[Mara Voss|person] sails to [Port Averil|place].",
        "In [Port Averil|place] it rains.",
        "The [Kestrel Foods|organisation] of [Port Averil|place] hired [Mara Voss|person].",
        "[Mara Voss|person] left [Kestrel Foods|organisation].",
        "Nobody came.",
        "[Kestrel Foods|organisation] is closed.",
    )
]
OPENED = marked("👩‍🚀 😀 [Mara Voss|person] told [Kestrel Foods|organisation] of the fair at [Port Averil|place].")


class Page:
    """A task of a project in a browser that is logged in."""

    def __init__(self, browser: webdriver.Chrome, studio: Studio) -> None:
        self.browser, self.studio = browser, studio
        log_in(browser, studio)

    def open(self, project: int, task: int) -> list[dict[str, Any]]:
        """A task, with the regions that are suggested for it."""
        self.browser.get(f"{self.studio.server.url}/projects/{project}/data?task={task}")
        [prediction] = wait_until(lambda: self.studio.predictions(task), "opening the task asks for a prediction")
        result: list[dict[str, Any]] = prediction["result"]
        self.wait(
            lambda: len(self.known()) == len(result) and len(self.drawn()) >= len(result), f"{len(result)} regions"
        )
        return result

    def known(self) -> list[tuple[str, float | None, str]]:
        return [(text, score, label) for text, score, label in self.browser.execute_script(KNOWN)]

    def drawn(self) -> list[str]:
        return [str(text) for text in self.browser.execute_script(DRAWN)]

    def wait(self, condition: Any, what: str) -> Any:
        # The page may draw a button anew between finding and pressing it.
        waiting = WebDriverWait(self.browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException])
        return waiting.until(lambda _: condition(), what)

    def key(self, key: str) -> None:
        ActionChains(self.browser).send_keys(key).perform()

    def mark(self, label: str, text: str, nth: int = 0) -> None:
        """The text's `nth` occurrence, with the pointer."""
        self.browser.find_element(By.XPATH, f"//*[normalize-space(text())='{label}']").click()
        left, top, right, bottom = self.browser.execute_script(PLACE, text, nth)
        builder = ActionBuilder(self.browser)
        pointer = builder.pointer_action
        pointer.move_to_location(left, top)
        pointer.pointer_down()
        pointer.move_to_location((left + right) / 2, bottom)
        pointer.move_to_location(right, bottom)
        pointer.pointer_up()
        builder.perform()

    def click(self, text: str) -> None:
        """A region by its text."""
        left, top, right, _ = self.browser.execute_script(PLACE, text, 0)
        builder = ActionBuilder(self.browser)
        builder.pointer_action.move_to_location((left + right) / 2, top)
        builder.pointer_action.click()
        builder.perform()

    def submit(self) -> None:
        def press() -> bool:
            for button in self.browser.find_elements(By.CSS_SELECTOR, "button"):
                if button.text.strip() == "Submit" and button.is_enabled():
                    button.click()
                    return True
            return False

        self.wait(press, "a button Submit")

    def picture(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.browser.save_screenshot(str(ARTIFACTS / name))


@pytest.fixture
def page(browser: webdriver.Chrome, label_studio: Studio) -> Page:
    return Page(browser, label_studio)


def connect(
    studio: Studio, backend: Backend, title: str, config: str, data: list[dict[str, Any]]
) -> tuple[int, list[int]]:
    """A new project, and its tasks."""
    project = studio.create_project(title, config)
    backend.configs[project] = config
    studio.call("POST", f"/api/projects/{project}/import", data)
    backend.understudy("connect", "--project", str(project))
    return project, [int(task["id"]) for task in studio.tasks(project)]


def test_regions_are_drawn_with_scores_and_what_is_done_to_them_arrives(
    page: Page, label_studio: Studio, backend: Backend
) -> None:
    data = [{"text": document.text} for document in (*TAUGHT, OPENED)]
    project, tasks = connect(label_studio, backend, "marked in the page", labels_config(), data)
    for task, document in zip(tasks, TAUGHT, strict=False):
        annotate(label_studio, task, regions(document))
    wait_until(lambda: len(examples(backend, project)) == len(TAUGHT), "all marks are stored")
    backend.settled(project, quiet=1)

    result = page.open(project, tasks[-1])
    assert spans_of(result) == set(OPENED.spans)
    assert sorted(page.drawn()) == sorted(OPENED.text[one.start : one.end] for one in OPENED.spans)
    shown = page.browser.execute_script("return document.body.innerText")
    for item in result:
        assert f"{item['score']:.2f}" in shown, "each score is printed beside its region"
    page.picture("spans.png")

    page.click("Kestrel Foods")
    page.key(Keys.BACKSPACE)
    page.wait(lambda: len(page.known()) == 2, "one is deleted")
    page.mark("place", "fair")
    page.wait(lambda: len(page.known()) == 3, "one is added")
    page.picture("spans-edited.png")
    page.submit()
    stored = wait_until(lambda: of_task(backend, project, tasks[-1]), "the label arrives")
    [firm] = [one for one in OPENED.spans if one.label == "organisation"]
    start = OPENED.text.index("fair")
    assert stored == {*OPENED.spans, Span(start, start + 4, "place")} - {firm}


def of_task(backend: Backend, project: int, task: int) -> set[Span]:
    """The spans that are stored of the annotation of a task."""
    found = [row for row in examples(backend, project).values() if row["task"] == task]
    return {Span(one["start"], one["end"], one["label"]) for row in found for one in row["spans"]["label"]}


def test_one_mark_marks_all(page: Page, label_studio: Studio, backend: Backend) -> None:
    text = "👍🏽 a zimbel here, a zimbel there, zimbels no, and a zimbel."
    project, [task] = connect(label_studio, backend, "one mark marks all", labels_config(), [{"text": text}])
    assert page.open(project, task) == []
    page.wait(lambda: page.browser.execute_script("return !!document.querySelector(arguments[0])", AUTO), "the switch")
    page.browser.execute_script("document.querySelector(arguments[0]).click()", AUTO)
    page.mark("organisation", "zimbel", 1)
    page.wait(lambda: len(page.known()) == 3, "all occurrences are marked")
    assert page.drawn() == ["zimbel"] * 3
    page.picture("spans-interactive.png")
    page.submit()
    stored = wait_until(lambda: of_task(backend, project, task), "the label arrives")
    places = [place for place in range(len(text)) if text.startswith("zimbel", place) and text[place + 6] != "s"]
    assert stored == {Span(place, place + 6, "organisation") for place in places} and len(places) == 3


def test_hypertext_and_paragraphs_are_drawn_at_the_right_characters(
    page: Page, label_studio: Studio, backend: Backend
) -> None:
    names = {"first": "Quill", "last": "Feather", "place": "Zembla"}
    config = labels_config("HyperTextLabels", '<HyperText name="text" value="$html"/>')
    html = [HTML.format(**names), f"<section>👍🏽{HTML.format(**names)}</section>"]
    project, tasks = connect(label_studio, backend, "HTML in the page", config, [{"html": one} for one in html])
    value = {"start": "", "end": "", "startOffset": 0, "endOffset": 0, "globalOffsets": {"start": 5, "end": 18}}
    annotate(
        label_studio,
        tasks[0],
        [mark({**value, "text": "Quill Feather", "hypertextlabels": ["person"]}, "hypertextlabels", "a")],
    )
    wait_until(lambda: examples(backend, project), "the mark is stored")
    backend.settled(project, quiet=1)
    assert len(page.open(project, tasks[1])) == 1
    assert "".join(page.drawn()) == "Quill Feather"
    page.picture("spans-hypertext.png")

    config = labels_config("ParagraphLabels", '<Paragraphs name="text" value="$turns" layout="dialogue"/>')
    turns = [
        [{"author": "A", "text": "Quill Feather?"}],
        [{"author": "B", "text": "😀"}, {"author": "A", "text": "👩‍🚀 Ask Quill Feather."}],
    ]
    project, tasks = connect(label_studio, backend, "a dialogue in the page", config, [{"turns": one} for one in turns])
    value = {"start": "0", "end": "0", "startOffset": 0, "endOffset": 13, "text": "Quill Feather"}
    annotate(label_studio, tasks[0], [mark({**value, "paragraphlabels": ["person"]}, "paragraphlabels", "a")])
    wait_until(lambda: examples(backend, project), "the mark is stored")
    backend.settled(project, quiet=1)
    assert len(page.open(project, tasks[1])) == 1
    assert page.drawn() == ["Quill Feather"]
    page.picture("spans-paragraphs.png")
