"""What a browser is refused, and what an open page does when its login or Redis goes away; in Chromium."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from itsdangerous import TimestampSigner
from selenium.webdriver.common.by import By

from backend.ui.session import Sessions
from tests.conftest import serving
from tests.support.rig import Project, Rig
from tests.ui.conftest import Page

pytestmark = [pytest.mark.e2e]

OVERVIEW = "/ui/projects/7/overview"


@pytest.fixture(autouse=True)
def logged_in(page: Page, project: Project) -> None:
    page.open("/ui/login")
    page.driver.delete_all_cookies()
    page.log_in()
    page.driver.get_log("browser")


def cookie_name(rig: Rig) -> str:
    return f"understudy_session_{rig.port}"


def make_expired(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> str:
    """The cookie of a login thirteen hours ago, rightly signed."""
    with monkeypatch.context() as patched:
        patched.setattr(TimestampSigner, "get_timestamp", lambda self: int(time.time()) - 13 * 3600)
        return Sessions(rig.admin_token, 12 * 3600).begin()[1]


def test_an_open_page_whose_login_has_expired_asks_for_another(
    page: Page, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.open(OVERVIEW)
    expired = {"name": cookie_name(rig), "value": make_expired(rig, monkeypatch), "url": rig.url, "httpOnly": True}
    page.driver.execute_cdp_cmd("Network.setCookie", {**expired, "sameSite": "Strict"})
    page.wait(lambda: "/ui/login" in page.driver.current_url, 20)
    page.wait(lambda: page.driver.find_elements(By.ID, "token"))
    page.open(OVERVIEW)
    assert "/ui/login?next=" in page.driver.current_url and "48 labels" not in page.text()


def test_a_form_without_its_token_is_refused_with_a_sentence(page: Page, project: Project) -> None:
    page.open(OVERVIEW)
    page.driver.execute_script(
        "document.body.dataset.csrf = '';"
        "document.querySelectorAll('input[name=csrf_token]').forEach((input) => { input.value = ''; });"
    )
    page.press("Retrain", sure=True)
    page.wait(lambda: "csrf_token" in page.driver.find_element(By.ID, "said").text)
    assert project.rig.admin("GET", "/projects/7")["job"] is None


class Neighbour(BaseHTTPRequestHandler):
    """A page of another server on this machine, which posts to the model page: the same site, so that the browser
    sends the cookie along, but another origin."""

    target = ""

    def do_GET(self) -> None:
        text = f'<form method="post" action="{self.target}"><button id="go">go</button></form>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


def test_a_page_of_another_origin_changes_nothing(page: Page, rig: Rig, project: Project) -> None:
    Neighbour.target = f"{rig.url}/ui/projects/7/retrain"
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Neighbour)) as server:
        page.driver.get(f"http://127.0.0.1:{server.server_address[1]}/")
        page.driver.find_element(By.ID, "go").click()
        page.wait(lambda: "a web page of another site may not do this" in page.text())
    assert rig.admin("GET", "/projects/7")["job"] is None
    page.open(OVERVIEW)
    assert "48 labels" in page.text(), "the login is still good"


@pytest.fixture
def stopped_redis(rig: Rig) -> Iterator[psutil.Process]:
    """The product's Redis, which stands still until the test is over."""
    assert rig.process is not None
    family = psutil.Process(rig.process.pid).children(recursive=True)
    redis = next(process for process in family if process.name().startswith(("redis-server", "valkey-server")))
    wakes = threading.Timer(120, redis.send_signal, (signal.SIGCONT,))
    wakes.start()
    redis.send_signal(signal.SIGSTOP)
    try:
        yield redis
    finally:
        redis.send_signal(signal.SIGCONT)
        wakes.cancel()


def test_redis_goes_away_and_comes_back(page: Page, request: pytest.FixtureRequest) -> None:
    page.open(OVERVIEW)
    banner = page.driver.find_element(By.ID, "lost")
    assert not banner.is_displayed()
    redis = request.getfixturevalue("stopped_redis")
    page.wait(banner.is_displayed, 40)
    assert "Redis" in banner.text, "it says who does not answer"
    assert "48 labels" in page.text(), "what was shown stays"
    redis.send_signal(signal.SIGCONT)
    page.wait(lambda: not page.driver.find_element(By.ID, "lost").is_displayed(), 60)
    page.driver.get_log("browser")  # the refused polls


def test_without_redis_a_page_says_what_is_missing(page: Page, request: pytest.FixtureRequest) -> None:
    redis = request.getfixturevalue("stopped_redis")
    page.open("/ui/operations")
    page.wait(lambda: "Redis does not answer" in page.text(), 60)
    redis.send_signal(signal.SIGCONT)
    page.open("/ui/operations")
    page.wait(lambda: "What could lose a label" in page.text(), 60)
    page.driver.get_log("browser")
