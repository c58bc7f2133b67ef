"""A Label Studio and an `understudy up` that know each other, with basic auth and the webhook secret switched on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from backend.labelstudio.local.server import LabelStudioServer
from tests.support.rig import ROOT, Rig, choices_config, read_rows

ARTIFACTS = ROOT / "artifacts"

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,860",
]

PATIENCE = 180.0
"""Seconds after which something that is waited for will not come. It costs nothing where all is well, so that it leaves
room for a machine that is slow, or busy with something else. A time that is promised has a number of its own."""

USER, PASSWORD = "understudy", "basic-auth-p4ss"


class Studio:
    """Label Studio's REST API as its own front end uses it."""

    def __init__(self, server: LabelStudioServer) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {server.legacy_token}"

    def call(self, method: str, path: str, body: Any = None, expect: tuple[int, ...] = (200, 201, 204)) -> Any:
        """One API call; its JSON. Fails the test on any other status."""
        reply = self.session.request(method, f"{self.server.url}{path}", json=body, timeout=600)
        assert reply.status_code in expect, f"{method} {path}: {reply.status_code} {reply.text[:500]}"
        return reply.json() if reply.content else None

    def create_project(self, title: str, config: str) -> int:
        return int(self.call("POST", "/api/projects/", {"title": title, "label_config": config})["id"])

    def import_texts(self, project: int, texts: list[str]) -> None:
        self.call("POST", f"/api/projects/{project}/import", [{"text": text} for text in texts])

    def import_tasks(self, project: int, tasks: list[dict[str, Any]]) -> None:
        """Tasks with annotations. On SQLite, a Label Studio whose database was locked meanwhile tries the import again,
        then without them (`BaseTaskSerializerBulk.create` pops them before it fails), and says 201."""
        path = f"/api/projects/{project}/import?return_task_ids=true"
        ids = self.call("POST", path, tasks)["task_ids"]
        has = {int(task["id"]) for task in self.tasks(project) if task["total_annotations"]}
        for task, told in zip(ids, tasks, strict=True):
            for annotation in told.get("annotations", []) if task not in has else []:
                self.call("POST", f"/api/tasks/{task}/annotations/", annotation)

    def tasks(self, project: int) -> list[dict[str, Any]]:
        reply = self.call("GET", f"/api/tasks?project={project}&page_size=1000&fields=all")
        return sorted(reply["tasks"], key=lambda task: int(task["id"]))

    def annotate(self, task: int, label: str, **fields: Any) -> int:
        body = {"result": choices_result(label), "lead_time": 2.0, **fields}
        return int(self.call("POST", f"/api/tasks/{task}/annotations/", body)["id"])

    def retrieve_predictions(self, project: int, tasks: list[int] | None = None) -> None:
        chosen = {"all": tasks is None, "included" if tasks else "excluded": tasks or []}
        path = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
        self.call("POST", path, {"selectedItems": chosen, "ordering": [], "filters": None})

    def predictions(self, task: int) -> list[dict[str, Any]]:
        return list(self.call("GET", f"/api/predictions/?task={task}"))

    def set_config(self, project: int, config: str) -> None:
        self.call("PATCH", f"/api/projects/{project}/", {"label_config": config})


def choices_result(label: str) -> list[dict[str, Any]]:
    """The `result` of one chosen label."""
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def label_of(prediction: dict[str, Any]) -> str:
    """The chosen label of a prediction."""
    return str(prediction["result"][0]["value"]["choices"][0])


def wait_until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """The first truthy value of `condition()`. Fails with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    pytest.fail(f"after {timeout:.0f} s still not: {what}")


class Backend(Rig):
    """The product with basic auth on, and its command line."""

    def start(self, timeout: float = 120.0) -> float:
        self.session().auth = (USER, PASSWORD)
        return super().start(timeout)

    def understudy(self, *arguments: str, expect: int | None = 0) -> str:
        """Run the command line with this product's settings; what it printed. `expect` None: any exit status, since
        doctor's may be another test's doing."""
        done = subprocess.run(
            [sys.executable, "-m", "backend", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert expect in (None, done.returncode), f"understudy {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def examples(self, project: int) -> dict[int, dict[str, Any]]:
        """Annotation id -> example. By HTTP: a command takes a second of a core, and this is asked until it is so."""
        return {int(row["id"]): row for row in self.admin("GET", f"/projects/{project}/examples")["examples"]}

    def version(self, project: int) -> str:
        """What /setup reports."""
        body = {"project": f"{project}.1", "schema": self.configs[project]}
        return str(self.post("/setup", body)["model_version"])

    def settled(self, project: int, quiet: float = 2.0) -> str:
        """The version that is served, once every annotation that is stored is learned and it has stayed for `quiet`
        seconds: a version alone may stay as long while the next one is being made on a busy machine."""
        seen: dict[str, float] = {}

        def stays() -> str | None:
            version = self.version(project)
            if self.admin("GET", f"/projects/{project}")["pending"]:
                seen.clear()
                return None
            since = seen.setdefault(version, time.monotonic())
            return version if time.monotonic() - since > quiet else None

        return str(wait_until(stays, "all labels are learned and the version stays"))

    configs: dict[int, str]


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    cache = Path(os.path.expanduser(os.environ.get("UNDERSTUDY_LS_CACHE", str(ROOT / ".label-studio"))))
    with LabelStudioServer(cache) as server:
        yield Studio(server)


@pytest.fixture(scope="session")
def backend(label_studio: Studio) -> Iterator[Backend]:
    rig = Backend(
        LABEL_STUDIO_URL=label_studio.server.url,
        LABEL_STUDIO_API_KEY=label_studio.server.access_token,
        BASIC_AUTH_USER=USER,
        BASIC_AUTH_PASS=PASSWORD,
        FINETUNE_STEPS="4",  # the road is the same, the time is CI's
        QUEUE_ENABLED="false",  # test_active_learning.py has one of its own
    )
    rig.configs = {}
    with rig:
        yield rig


@pytest.fixture(scope="session")
def rows() -> list[tuple[str, str]]:
    return read_rows()


@pytest.fixture(scope="session")
def config(rows: list[tuple[str, str]]) -> str:
    return choices_config(sorted({label for _, label in rows}))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})  # what the page sends
    chrome = webdriver.Chrome(options=options, service=Service(driver, log_output=os.devnull))
    yield chrome
    chrome.quit()


def log_in(browser: webdriver.Chrome, studio: Studio) -> None:
    browser.get(f"{studio.server.url}/user/login/")
    browser.find_element(By.NAME, "email").send_keys(studio.server.account.username)
    browser.find_element(By.NAME, "password").send_keys(studio.server.account.password)
    browser.find_element(By.CSS_SELECTOR, "form button[type=submit], form [type=submit]").click()
    WebDriverWait(browser, PATIENCE).until(lambda page: "/login" not in page.current_url)
