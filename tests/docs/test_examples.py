"""Every example of docs/examples, played with curl against the real web process and the real learner."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import running_redis
from tests.support.rig import free_port

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/config.xml"))


@dataclass(frozen=True)
class Product:
    """A web process and a learner on a Redis of their own."""

    port: int
    folder: Path

    def play(self, folder: str, project: int, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the session, as a person would."""
        facts = {"PORT": str(self.port), "DATA_DIR": str(self.folder), "PROJECT": str(project), **settings}
        command = ["bash", str(EXAMPLES / "session.sh"), folder]
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **facts}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    with running_redis() as redis:
        port, folder = free_port(), tmp_path_factory.mktemp("examples")
        facts = {"DATA_DIR": str(folder), "PORT": str(port), "REDIS_URL": redis.settings.effective_redis_url}
        environment = {**os.environ, **facts, "WEBHOOK_SECRET": "a secret"}
        started = [
            subprocess.Popen([sys.executable, "-m", "backend", name], env=environment) for name in ("web", "learner")
        ]
        try:
            wait_until_ready(f"http://127.0.0.1:{port}")
            yield Product(port, folder)
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(60)


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/ready", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise AssertionError("no model serves")


def tasks_of(folder: str) -> list[dict[str, Any]]:
    return json.loads((EXAMPLES / folder / "tasks.json").read_text(encoding="utf-8"))


def answers_in(part: str) -> dict[int, list[dict[str, Any]]]:
    """Task -> values of its answer, as a part of the output shows them."""
    return {int(task): json.loads(said) for task, said in re.findall(r"^  task (\d+) [\d.]+ (\[.*\])$", part, re.M)}


def right_of(answers: dict[int, list[dict[str, Any]]], given: dict[int, Any]) -> list[int]:
    """The tasks that were answered as people did."""
    return [number for number, result in given.items() if answers[number] == [region["value"] for region in result]]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_session_learns_what_people_answered(product: Product, folder: str) -> None:
    done = product.play(folder, 900_001 + FOLDERS.index(folder), WEBHOOK_SECRET="a secret")
    assert done.returncode == 0, done.stdout + done.stderr
    parts = re.split(r"^== .*$", done.stdout, flags=re.MULTILINE)[1:]
    tasks = tasks_of(folder)
    given = {number: task["annotations"][0]["result"] for number, task in enumerate(tasks, 1) if "annotations" in task}
    before, after = answers_in(parts[2]), answers_in(parts[5])
    assert set(before) == set(after) == set(range(1, len(tasks) + 1)), done.stdout
    known, learned = right_of(before, given), right_of(after, given)
    assert len(learned) >= max(len(known), len(given) / 2), f"of {len(given)} it has learned {learned}:\n{done.stdout}"
    assert after != before or len(learned) == len(given)
    assert json.loads(parts[6])["examples"] == len(given), "what an admin sees"


def test_options_are_those_of_the_task(product: Product) -> None:
    folder = "options-of-the-task"
    done = product.play(folder, 900_100, WEBHOOK_SECRET="a secret")
    for number, said in answers_in(done.stdout).items():
        offered = {option["value"] for option in tasks_of(folder)[number - 1]["data"]["answers"]}
        assert {label for value in said for label in value["choices"]} <= offered


def test_a_wrong_secret_is_told(product: Product) -> None:
    done = product.play("rating", 900_200, WEBHOOK_SECRET="another secret")
    assert done.returncode != 0 and "unauthorized" in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("session.sh: POST /webhook failed") and "Trace" not in done.stderr


def test_a_wrong_token_of_the_admin_is_told_at_once(product: Product) -> None:
    done = product.play("rating", 900_300, WEBHOOK_SECRET="a secret", ADMIN_TOKEN="another token")
    assert done.returncode != 0 and "GET /admin/projects/900300 failed" in done.stderr and "Trace" not in done.stderr


def test_an_example_that_is_not_there_and_a_server_that_is_not_are_told_in_a_line(tmp_path: Path) -> None:
    nobody = Product(free_port(), tmp_path)
    for folder, said in (("nope", "say which example: options-of-the-task"), ("rating", "start it with `make up`")):
        done = nobody.play(folder, 900_001, READY_TRIES="1")
        assert done.returncode == 1 and done.stderr.startswith("session.sh: "), done.stderr
        assert said in done.stderr and done.stderr.count("\n") == 1


def test_the_page_names_every_example() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[([\w-]+)\]\(\1/config\.xml\)", page, re.MULTILINE)
    assert sorted(re.findall(r"^\| \[([\w-]+)\]", page, re.MULTILINE)) == FOLDERS
