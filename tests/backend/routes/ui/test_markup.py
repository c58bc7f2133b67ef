"""Whatever people and programs call things, it is shown as text: on every tab, every page of it and in every twin."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import backend.routes.ui
import backend.ui
from backend.jobs.learn.refit import refit
from backend.labelstudio.records import ExampleRecord
from backend.settings.settings import Settings
from backend.ui.page import TABS
from backend.ui.render import templates
from tests.support.rig import choices_config
from tests.support.tiny import tiny_base, tiny_settings  # noqa: F401

PROJECT = 7
LABELS = ["<script>alert(1)</script>", "\"><img src=x onerror='alert(2)'>"]
TITLE, MESSAGE, ERROR = "<svg onload=alert(3)>", "<iframe src=javascript:alert(4)>", "</main><script>alert(5)</script>"
PERSON = "<b onclick=alert(7)>"
TEXT = "a e <b onclick=alert(6)>b f</b> {{ 7 * 7 }} "
HOSTILE = [*LABELS, TITLE, MESSAGE, ERROR, PERSON, TEXT.strip()]

TAGS = re.compile(
    "a|article|aside|bdi|body|br|button|caption|circle|code|d[dlt]|datalist|details|div|em|figcaption|figure|footer|form|g|h[1-6]|"
    "head|header|hgroup|html|input|label|li|line|link|main|mark|meta|nav|ol|option|output|p|path|polygon|polyline|progress|"
    "rect|script|section|select|small|span|strong|summary|svg|table|t[bdhr]|tbody|text|thead|time|title|ul"
)
"""What pages are made of."""

PAGES_FOLLOWED = 60


class Tags(HTMLParser):
    """The tags of a page, the addresses that it links to, and what would be run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.links, self.run = set[str](), list[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = dict(attrs)
        self.run += [f"{tag} {name}" for name in named if name.startswith("on") or name == "style"]
        self.run += [f"{tag} {value}" for value in named.values() if (value or "").lower().startswith("javascript:")]
        if tag == "script" and "src" not in named:
            self.run.append("script")
        if tag == "a" and (named.get("href") or "").startswith("/ui"):
            self.links.append(str(named["href"]).partition("#")[0])


@pytest.fixture
def settings(redis_server: Any, tmp_path: Path, tiny_base: Path) -> Settings:  # noqa: F811
    """With an address of Label Studio, so that tasks have links and the queue is told of."""
    studio: dict[str, Any] = {"label_studio_url": "http://127.0.0.1:1", "label_studio_api_key": "a" * 40}
    return tiny_settings(tmp_path / "data", redis_server.settings.effective_redis_url, tiny_base, **studio)


@pytest.fixture
def project(services: Any, once: Callable[..., None]) -> int:
    """One that has learned, with mistakes, a choice of next tasks, a failure, suspects and a refused fine-tune."""
    once(lambda: fill(services.stores))
    return PROJECT


def fill(stores: Any) -> None:
    chance = random.Random(0)
    stores.projects.save_config(PROJECT, choices_config(LABELS))
    stores.projects.note_title(PROJECT, TITLE)
    stores.people.replace({1: PERSON})
    for stage in range(4):
        numbers = range(1 + 24 * stage, 25 + 24 * stage)
        stores.examples.upsert_many(PROJECT, [record(number, chance) for number in numbers])
        assert refit(PROJECT) == "published"
    waiting = {1000 + number: {"text": f"{TEXT}{number}"} for number in range(40)}
    stores.projects.add_pool(PROJECT, waiting, 100)
    entry = {"role": "chosen", "cluster": None, "result": [], "score": 0.5}
    entries = [{"task": task, **entry} for task in waiting]
    stores.task_queue.save_plan(PROJECT, {"at": 1.0, "live": "v0.4", "answers": 96, "open": 40, "entries": entries})
    facts = {"version": "q1", "live": "v0.4", "tasks": 40, "open": 40, "answers": 96, "off": ERROR}
    stores.task_queue.update(PROJECT, facts)
    row = {"task": 1, "annotations": {"1": "0" * 20}, "text": TEXT, "given": LABELS[:1], "suggested": LABELS[1:]}
    row |= {"p_given": 0.1, "p_suggested": 0.9, "flag": True}
    found = {"label": {"searched": 96, "at": 1.0, "rows": [row]}}
    stores.label_errors.replace(PROJECT, found, ["label"], stores.examples.seq(PROJECT))
    stores.failures.fail(PROJECT, "sync", ERROR)
    job = stores.jobs.request_training(PROJECT, "admin")[0]["id"]
    stores.jobs.update(job, {"status": "rejected", "message": MESSAGE, "ended_at": 1.0})


def record(number: int, chance: random.Random) -> ExampleRecord:
    stamp = f"2026-11-29T10:{number // 60:02d}:{number % 60:02d}Z"
    answer = {"label": [[chance.choice(LABELS)]]}
    return ExampleRecord(number, number, {"text": f"{TEXT}{number}"}, answer, stamp, annotator=number % 3 + 1)


def test_nothing_that_people_write_becomes_markup(browser: Any, project: int) -> None:
    todo = ["/ui", "/ui/operations", *(f"/ui/projects/{project}/{tab.slug}" for tab in TABS)]
    seen, shown = list[str](), ""
    while todo and len(seen) < PAGES_FOLLOWED:
        path = todo.pop(0)
        seen.append(path)
        reply = browser.get(path)
        assert reply.status_code in (200, 303), path
        page = Tags()
        page.feed(reply.text)
        assert [tag for tag in page.tags if not TAGS.fullmatch(tag)] == [] and page.run == [], path
        assert not [text for text in HOSTILE if text in reply.text], path
        shown += html.unescape(re.sub(r"<[^>]*>", " ", reply.text))
        todo += [link for link in dict.fromkeys(page.links) if link not in seen and link not in todo]
    assert [text for text in HOSTILE if text not in shown] == [], "all of it can be read somewhere"
    assert len(seen) > 10


@pytest.mark.parametrize("tab", [tab.slug for tab in TABS])
def test_a_hostile_label_is_text_on_every_tab_and_in_its_twin(browser: Any, project: int, tab: str) -> None:
    for headers in ({}, {"HX-Request": "true"}):
        text = browser.get(f"/ui/projects/{project}/{tab}", headers=headers).text
        assert html.escape(TITLE) in text and TITLE not in text
        assert not [hostile for hostile in HOSTILE if hostile in text]
    twin = browser.get(f"/ui/projects/{project}/{tab}.json")
    assert twin.mimetype == "application/json" and twin.headers["X-Content-Type-Options"] == "nosniff"


def test_no_template_and_no_code_of_the_page_calls_anything_safe() -> None:
    folders = [Path(str(package.__file__)).parent for package in (backend.ui, backend.routes.ui)]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".html")]
    assert len([path for path in files if path.suffix == ".html"]) >= 10
    unsafe = re.compile(r"\|\s*(safe|tojson|xmlattr)\b|\bMarkup\b|autoescape\s+false|\bmark_safe\b|innerHTML\s*=")
    assert [path.name for path in files if unsafe.search(path.read_text(encoding="utf-8"))] == []
    environment = templates()
    assert environment.autoescape is True
    hostile = environment.from_string('{{ text }}<a title="{{ text }}">').render(text=LABELS[1])
    assert LABELS[1] not in hostile and "<img" not in hostile


def test_the_script_of_the_page_writes_text_only() -> None:
    script = (Path(str(backend.ui.__file__)).parent / "static" / "page.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(", script)
