"""Another encoder on the page of versions: what the comparison said, and the buttons that decide it; in Chromium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from werkzeug.serving import make_server

from backend.application.services import build_services
from backend.jobs.context import Context
from backend.jobs.learn.refit import learn
from backend.routes.app import create_app
from backend.settings.settings import Settings
from backend.store.work.encoder_changes import EncoderChanges, Wish
from tests.backend.jobs.learn.test_encoder_change import blind
from tests.support.rig import free_port
from tests.support.tiny import PROJECT, Letters, build_other, settings, tiny_base  # noqa: F401
from tests.ui.conftest import Page

pytestmark = [pytest.mark.e2e]

VERSIONS = f"/ui/projects/{PROJECT}/versions"


@pytest.fixture
def refused(settings: Settings, tiny_base: Path, tmp_path: Path) -> Iterator[Context]:  # noqa: F811
    """A learner whose project has refused the encoder that BASE_MODEL names by now."""
    first = Context(settings)
    Letters(first.stores).add(64)
    assert learn(first, PROJECT) == "published"
    other = build_other(tiny_base, tmp_path / "other")
    blind(other)
    work = Context(settings.model_copy(update={"base_model": str(other), "port": free_port()}))
    learn(work, PROJECT)
    assert EncoderChanges(work.stores.client).read(PROJECT)["state"] == "refused"
    yield work


@pytest.fixture
def page(browser: webdriver.Chrome, refused: Context) -> Iterator[Page]:
    """Of a web process over the same store."""
    wired = build_services(refused.settings)
    port = refused.settings.port
    server = make_server("127.0.0.1", port, create_app(wired), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found = Page(browser, SimpleNamespace(url=f"http://127.0.0.1:{port}", admin_token="admin"))  # type: ignore[arg-type]
    found.log_in()
    yield found
    server.shutdown()
    thread.join()
    wired.stop()


def said(page: Page) -> Any:
    return page.driver.find_element(By.ID, "said").text


def test_what_the_comparison_said_and_what_people_decide(page: Page, refused: Context) -> None:
    changes = EncoderChanges(refused.stores.client)
    page.wait(lambda: page.driver.find_elements(By.PARTIAL_LINK_TEXT, "7"))
    page.open(VERSIONS)
    page.wait(lambda: "Another encoder" in page.text())
    shown, found = page.text(), changes.read(PROJECT)
    gain, cost = found["gains"]["label"], found["cost"]
    assert gain < 0 and f"{gain:+.1f} points" in shown and cost != 1
    assert f"label, at 64 labels; {cost:.1f} × the work of a text" in shown
    assert "not taken" in shown and "compared again at 96 labels" in shown
    page.press("Keep the former one", sure=True)
    page.wait(lambda: "whatever BASE_MODEL names" in said(page) and "stays, as people decided" in page.text())
    assert changes.wish(PROJECT) is Wish.KEEP
    page.press("Compare them", sure=True)
    page.wait(lambda: "unless the comparison finds it worse" in said(page) and "compared again at 96" in page.text())
    page.press("Take it", sure=True)
    page.wait(lambda: "without a comparison" in said(page) and changes.wish(PROJECT) is Wish.TAKE)
    learn(refused, PROJECT)
    page.wait(lambda: "Taken as asked" in page.text() and "The former encoder" not in page.text())
    assert not page.driver.find_elements(By.XPATH, "//button[normalize-space()='Take it']")
    assert [entry["action"] for entry in refused.stores.audit.read(9)].count("encoder") == 3
    assert page.complaints() == []
