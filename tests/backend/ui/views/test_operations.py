"""The doctor's findings stand where they belong, worst first; what the page knows by itself is not told twice."""

from __future__ import annotations

from typing import Any

from backend.base_model.languages import LanguageReport
from backend.labelstudio.records import ExampleRecord
from backend.routes.app import create_app
from backend.store.admin.findings import INSTALLATION, Finding
from backend.ui.views.head import find_in_report, view_head
from backend.ui.views.operations import view_operations
from backend.ui.views.projects import FigureCache, view_projects
from tests.backend.routes.ui.conftest import TOKEN, log_in


def finding(check: str, state: str, remedy: str = "mend it") -> Finding:
    return {"check": check, "state": state, "evidence": f"{check} is seen", "remedy": remedy}


def test_operations_tell_what_is_wrong_and_how_much_is_in_order(linked: Any) -> None:
    view = view_operations(linked)
    assert view.checked.at is None and view.checked.problems == []
    found = [finding("disk", "warn"), finding("redis", "ok"), finding("web", "fail"), finding("release", "skipped")]
    linked.stores.findings.save({INSTALLATION: found}, [7])
    linked.stores.findings.request()
    checked = view_operations(linked).checked
    assert [problem.words for problem in checked.problems] == ["web: web is seen", "disk: disk is seen"]
    assert (checked.fine, checked.skipped, checked.asked) == (1, 1, True)


def test_a_project_tells_its_own_and_nothing_twice(linked: Any) -> None:
    linked.stores.findings.save(
        {7: [finding("webhook", "fail"), finding("work", "fail"), finding("sync", "fail")]}, [7]
    )
    linked.stores.failures.fail(7, "sync", "no answer")
    words = [problem.words for problem in view_head(linked, 7).problems]
    assert words == ["Reconciling failed once: no answer", "webhook: webhook is seen"]
    row = view_projects(linked, FigureCache(), {}, {}).projects[0]
    assert [problem.words for problem in row.wrong] == [
        "Reconciling failed once: no answer",
        "webhook: webhook is seen",
    ]
    assert row.wrong[1].remedy == "mend it"
    assert find_in_report(None) == []


def test_a_page_tells_once_that_the_encoder_does_not_know_the_language(linked: Any) -> None:
    report = LanguageReport("", 200, 200, {"de": 0.97, "en": 0.03}, 0.0, 2.4, 0.0)
    linked.stores.projects.note_language(7, report.to_json())
    linked.stores.findings.save({7: [finding("language", "warn")]}, [7])
    client = create_app(linked).test_client()
    log_in(client)
    page = client.get("/ui/projects/7/overview").text
    assert page.count("language_unread: the encoder english-small does not know the language of the texts") == 1
    assert "97% German" in page and "BASE_MODEL=multilingual knows it" in page and "language is seen" not in page


def test_check_now_asks_once_and_says_so(linked: Any) -> None:
    client = create_app(linked).test_client()
    log_in(client)
    csrf = TOKEN.search(client.get("/ui").text)
    assert csrf
    part = {"HX-Request": "true", "X-CSRF-Token": csrf[1]}
    for path, project in (("/ui/check", INSTALLATION), ("/ui/projects/7/check", 7)):
        assert "the doctor looks;" in client.post(path, headers=part).text
        assert "already" in client.post(path, headers=part).text
        assert linked.stores.findings.is_asked(project)
    assert client.post("/ui/check").status_code == 403, "without the token of its forms"
    assert [entry["action"] for entry in linked.stores.audit.read(9)].count("check") == 4


def test_operations_are_news_when_the_doctor_has_looked(linked: Any) -> None:
    client = create_app(linked).test_client()
    log_in(client)
    seen = {client.get("/ui/operations").headers["ETag"]}
    linked.stores.findings.save({INSTALLATION: [finding("web", "fail")]}, [])
    assert client.get("/ui/operations").headers["ETag"] not in seen
    record = ExampleRecord(1, 1, {"text": "t"}, {"label": [["a"]]}, "2026-11-29T10:00:00Z")
    linked.stores.examples.upsert_many(7, [record])
    assert "web is seen" in client.get("/ui").text
