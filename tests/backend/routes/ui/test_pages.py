"""The pages of the model page: what they show is data of the stores, escaped, with a JSON twin; 304 without news."""

from __future__ import annotations

import re
from typing import Any

import pytest

from backend.labelstudio.records import ExampleRecord
from backend.ui.assets import NAMES, assets
from backend.ui.page import TABS as PAGE_TABS
from tests.support.rig import choices_config

SCRIPT = "<script>alert(1)</script>"
TABS = tuple(tab.slug for tab in PAGE_TABS)
NOW = "2026-11-29T10:00:0{}Z"


@pytest.fixture
def project(services: Any) -> int:
    """A project with a hostile name and label, and a few labels."""
    stores = services.stores
    stores.projects.save_config(7, choices_config([SCRIPT, "B"]))
    stores.projects.note_title(7, f"Mail {SCRIPT}")
    records = [
        ExampleRecord(number, number, {"text": SCRIPT}, {"label": [[SCRIPT]]}, NOW.format(number), annotator=3)
        for number in range(1, 6)
    ]
    stores.examples.upsert_many(7, records)
    return 7


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_opens_for_a_project_with_and_without_labels(
    browser: Any, project: int, services: Any, tab: str
) -> None:
    services.stores.projects.save_config(8, choices_config(["A", "B"]))
    for number in (7, 8):
        reply = browser.get(f"/ui/projects/{number}/{tab}")
        assert reply.status_code == 200, reply.text
        assert SCRIPT not in reply.text
        twin = browser.get(f"/ui/projects/{number}/{tab}.json").get_json()
        assert twin["head"]["id"] == number
    assert "&lt;script&gt;" in browser.get(f"/ui/projects/7/{tab}").text


def test_the_list_names_every_project(browser: Any, project: int) -> None:
    text = browser.get("/ui").text
    assert "Mail &lt;script&gt;" in text and SCRIPT not in text
    row = browser.get("/ui/projects.json").get_json()["projects"][0]
    assert (row["id"], row["labels"], row["title"]) == (7, 5, f"Mail {SCRIPT}")


def test_many_projects_come_a_page_at_a_time(browser: Any, project: int, services: Any) -> None:
    for number in range(100, 170):
        services.stores.projects.save_config(number, choices_config(["A", "B"]))
    first, last = browser.get("/ui").text, browser.get("/ui?page=2").text
    assert "1 to 50 of 71" in first and "/ui/projects/100" in first and "/ui/projects/160" not in first
    assert "51 to 71 of 71" in last and "/ui/projects/160" in last
    twin = browser.get("/ui/projects.json?page=2").get_json()
    assert [row["id"] for row in twin["projects"]] == list(range(149, 170))


def test_pages_have_a_policy_of_their_own_and_nothing_inline(browser: Any, project: int) -> None:
    for path in ("/ui", "/ui/operations", "/ui/login", *(f"/ui/projects/7/{tab}" for tab in TABS), "/ui/nothing"):
        reply = browser.get(path)
        policy = reply.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, path
        assert not re.search(
            r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style|javascript:|https?://(?!www\.w3)", reply.text
        ), path


def test_whoever_has_the_news_is_told_that_there_is_none(browser: Any, project: int, services: Any) -> None:
    for path in ("/ui", "/ui/projects/7/overview", "/ui/projects/7/versions"):
        first = browser.get(path, headers={"HX-Request": "true"})
        tag = {"If-None-Match": first.headers["ETag"], "HX-Request": "true"}
        assert "<html" not in first.text
        again = browser.get(path, headers=tag)
        assert (again.status_code, again.data) == (304, b""), path
        number = 50 + len(path)
        record = ExampleRecord(number, number, {"text": path}, {"label": [["B"]]}, NOW.format(9))
        services.stores.examples.upsert_many(7, [record])
        assert browser.get(path, headers=tag).status_code == 200, path


def test_the_list_has_news_of_everything_that_it_shows(browser: Any, csrf: str, project: int, services: Any) -> None:
    stores, seen = services.stores, set[str]()

    def tag() -> str:
        return str(browser.get("/ui").headers["ETag"])

    def change(what: Any, *given: Any) -> None:
        seen.add(tag())
        what(*given)
        assert tag() not in seen, what
        assert tag() == tag()

    change(stores.projects.save_config, 8, choices_config(["A", "B"]))
    change(stores.jobs.request_training, 7, "admin")
    change(stores.counters.count_job, "refit", "published", 0.2)
    change(lambda: browser.post("/ui/projects/7/unpin", data={"csrf_token": csrf}))
    change(stores.examples.remove, 7, [1])


def test_what_is_not_there_is_a_page_that_says_so(browser: Any, project: int) -> None:
    for path in ("/ui/projects/99/overview", "/ui/projects/7/nothing", "/ui/nothing"):
        reply = browser.get(path)
        assert reply.status_code == 404 and "<h1>Not found</h1>" in reply.text, path
    assert browser.get("/ui/projects/99/overview.json").get_json()["error"] == "not_found"
    assert browser.get("/ui/projects/abc/overview").status_code == 400


def test_files_may_be_kept_for_good_since_their_address_changes(client: Any) -> None:
    for name in NAMES:
        reply = client.get(f"/ui/static/{name}")
        assert reply.status_code == 200 and reply.data == assets()[name].data
        assert "immutable" in reply.headers["Cache-Control"]
    for name in ("vendor.json", "../page.css", "vendor/vendor.json", "..%2fpage.css", "page.py"):
        assert client.get(f"/ui/static/{name}").status_code in (401, 303, 404), name


def test_a_button_says_what_came_of_it_and_does_it_once(browser: Any, csrf: str, project: int, services: Any) -> None:
    part = {"HX-Request": "true", "X-CSRF-Token": csrf}
    first = browser.post("/ui/projects/7/retrain", headers=part)
    assert first.status_code == 200 and first.headers["HX-Trigger"] == "understudy:refresh"
    job = services.stores.jobs.running(7)["id"]
    browser.post("/ui/projects/7/retrain", headers=part)
    assert services.stores.jobs.running(7)["id"] == job
    assert "asked to stop" in browser.post("/ui/projects/7/cancel", headers=part).text
    again = browser.post("/ui/projects/7/cancel", headers=part)
    assert again.status_code == 409 and "no fine-tune is running" in again.text
    assert browser.post("/ui/projects/7/cancel", data={"csrf_token": csrf}).status_code == 409
    assert (
        browser.post("/ui/projects/7/unpin", data={"csrf_token": csrf}).headers["Location"] == "/ui/projects/7/versions"
    )
    done = [entry["action"] for entry in services.stores.audit.read(10)]
    assert done.count("retrain") == 2 and "cancel" in done


def test_a_rollback_of_what_is_not_kept_says_so(browser: Any, csrf: str, project: int) -> None:
    for version in ("", "v9.9", "../../etc", "x" * 5000):
        reply = browser.post("/ui/projects/7/rollback", data={"csrf_token": csrf, "version": version})
        assert reply.status_code in (400, 404) and "version" in reply.text, version
