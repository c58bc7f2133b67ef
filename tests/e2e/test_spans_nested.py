"""A project whose spans lie within others is annotated on the real Label Studio: suggestions come nested, are drawn so
in its page, and arrive as they are submitted."""

from __future__ import annotations

import pytest
from selenium import webdriver

from bench.support.nested_sets import nested_sets, only_nested
from model.span import SpanDocument
from tests.e2e.conftest import Backend, Studio, wait_until
from tests.e2e.test_spans import annotate, examples
from tests.e2e.test_spans_page import Page, connect, of_task
from tests.support.span_texts import marked, region, spans_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DATA = nested_sets({}, ())["invented_nested"]
TAUGHT = list({one.text: one for one in DATA.train[:80] if one.spans}.values())[:30]
OPENED = marked("Mia Hale joined the School of Porto in May .")
WANTED = {
    *((0, 8, "name"), (0, 3, "first name"), (4, 8, "family name")),
    *((20, 35, "organisation"), (30, 35, "town")),
}


def config() -> str:
    labels = "".join(f'<Label value="{label}"/>' for label in DATA.labels)
    return f'<View><Labels name="label" toName="text">{labels}</Labels><Text name="text" value="$text"/></View>'


def test_nested_spans_are_suggested_drawn_and_submitted(
    browser: webdriver.Chrome, label_studio: Studio, backend: Backend
) -> None:
    page = Page(browser, label_studio)
    documents = [*TAUGHT, SpanDocument(OPENED.text)]
    data = [{"text": document.text} for document in documents]
    project, tasks = connect(label_studio, backend, "spans within spans", config(), data)
    for task, document in zip(tasks, TAUGHT, strict=False):
        own = [region(document, span, f"hand{place}") for place, span in enumerate(document.spans)]
        annotate(label_studio, task, own)
    wait_until(lambda: len(examples(backend, project)) == len(TAUGHT), "all marks are stored")
    backend.settled(project, quiet=2)

    result = page.open(project, tasks[-1])
    found = spans_of(result)
    page.picture("spans-nested.png")
    assert {(one.start, one.end, one.label) for one in found} == WANTED
    assert only_nested(found) == found, "each lies within another one, or has one within"
    page.submit()
    assert wait_until(lambda: of_task(backend, project, tasks[-1]), "the label arrives") == found
