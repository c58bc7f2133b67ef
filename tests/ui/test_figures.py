"""Each figure on the page is the one of its JSON twin and of the command line: the real product with real labels."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import requests

from backend.ui.page import TABS
from backend.ui.views.overview import LEAST_ROWS, say_forecast
from tests.support.rig import ROOT, Project, Rig
from tests.ui.shown_figures import numbers_of, numbers_of_templates, numbers_shown

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(600)]

PROJECT = 7
LABELS, PER_REFIT = 120, 12
WAITING = 150
"""Unlabelled tasks."""

SHARED = 24
"""Tasks that two more people answer, one of them wrongly at times."""

PAGES = {"projects": "/ui", "operations": "/ui/operations"} | {
    tab.slug: f"/ui/projects/{PROJECT}/{tab.slug}" for tab in TABS
}


class Shown:
    """The page, its twins and the command line of a product that has come to rest."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._told: dict[tuple[str, ...], Any] = {}
        self._browser = requests.Session()
        form = self._browser.get(f"{rig.url}/ui/login").text
        token = form.partition('name="csrf_token" value="')[2].partition('"')[0]
        reply = self._browser.post(f"{rig.url}/ui/login", data={"csrf_token": token, "token": rig.admin_token})
        assert reply.status_code == 200, reply.text

    def html(self, path: str) -> str:
        """The part of a page that is its own."""
        reply = self._browser.get(f"{self.rig.url}{path}", headers={"HX-Request": "true"})
        assert reply.status_code == 200, reply.text
        return reply.text

    def twin(self, name: str) -> Any:
        """The same as data, for whoever has the token."""
        path = "/ui/projects" if name == "projects" else PAGES[name]
        headers = {"Authorization": f"Bearer {self.rig.admin_token}"}
        reply = requests.get(f"{self.rig.url}{path}.json", headers=headers, timeout=60)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def told(self, *arguments: str) -> Any:
        """What `understudy ... --json` prints; asked once, since nothing changes any more."""
        if arguments not in self._told:
            command = [sys.executable, "-m", "backend", *arguments, "--json"]
            environment = self.rig.environment
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            self._told[arguments] = json.loads(done.stdout)
        return self._told[arguments]


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    """120 labels in ten refits, some tasks answered by three people, a fine-tune, a rollback."""
    with Rig(timed=True, FINETUNE_STEPS="10") as rig:
        project = Project.of_sample(rig, PROJECT)
        project.setup()
        rows = list(itertools.islice(Project.stream(), LABELS + WAITING))
        waiting = [{"id": 5000 + number, "data": {"text": text}} for number, (text, _) in enumerate(rows[LABELS:])]
        rig.webhook(project.event("TASKS_CREATED", tasks=waiting))
        for start in range(0, LABELS, PER_REFIT):
            answer(project, rows, range(start, start + PER_REFIT), 1)
            project.settle(quiet=0.3)
        for person in (2, 3):
            answer(project, rows, range(SHARED), person)
        older = project.settle(quiet=1.0)
        rig.wait_job(rig.admin("POST", f"/projects/{PROJECT}/retrain", {})["job"])
        project.settle(quiet=2.0)
        rig.admin("POST", f"/projects/{PROJECT}/rollback", {"version": older})
        rig.admin("POST", f"/projects/{PROJECT}/unpin", {})
        project.settle(quiet=3.0)
        yield Shown(rig)


def answer(project: Project, rows: list[tuple[str, Any]], numbers: range, person: int) -> None:
    """One person's answers to tasks; the third one errs in every fourth."""
    pairs = []
    for number in numbers:
        text, label = rows[number]
        if person == 3 and number % 4 == 0:
            label = project.labels[(project.labels.index(label) + 1) % len(project.labels)]
        pair = project.annotation(text, label, task=1000 + number)
        pair["annotation"]["completed_by"] = person
        pairs.append(pair)
    body = {"annotation": [pair["annotation"] for pair in pairs], "task": [pair["task"] for pair in pairs]}
    project.rig.webhook(project.event("ANNOTATIONS_CREATED", **body))


@pytest.mark.parametrize("name", PAGES)
def test_every_number_on_the_page_is_one_of_its_twin(shown: Shown, name: str) -> None:
    # Redis's memory moves while nobody labels: a figure is of the moment before the page or of the one behind it.
    before, html, after = shown.twin(name), shown.html(PAGES[name]), shown.twin(name)
    numbers = numbers_shown(html)
    assert len(numbers) > 5, "there is something to compare"
    assert numbers - numbers_of(before) - numbers_of(after) - numbers_of_templates() == set()


def test_a_number_that_is_not_in_the_twin_is_found() -> None:
    html = '<p class="big">84 %</p><p>of 1,234 labels</p><text class="tick">17</text><time datetime="2026">5 min</time>'
    assert numbers_shown(html) == {"84", "1,234", "2026"}
    assert numbers_of({"share": 0.84, "labels": 1234, "since": 1767225600.0}) >= {"84", "1,234", "2026"}
    assert "85" not in numbers_of({"share": 0.84})


def test_what_stands_above_every_tab_is_what_status_says(shown: Shown) -> None:
    told = shown.told("status", str(PROJECT))
    for tab in TABS:
        head = shown.twin(tab.slug)["head"]
        same = {"id": "id", "live": "live", "served": "served", "pending": "pending", "pool": "pool"}
        assert {name: head[name] for name in same} == {name: told[own] for name, own in same.items()}, tab
        assert (head["labels"], head["pinned"], head["running"]) == (told["examples"], "", None), tab


def check_projects(shown: Shown) -> None:
    (row,), (told,) = shown.twin("projects")["projects"], shown.told("status")
    metrics = told["metrics"]["label"]
    assert (row["id"], row["live"], row["labels"]) == (told["id"], told["live"], told["examples"])
    pool = metrics["pool"]
    assert (row["expected"]["accuracy"], row["expected"]["interval"]) == (pool["accuracy"], pool["interval"])
    assert row["spark"] == [point["accuracy"] for point in told["curve"]["label"]][-16:]


def check_overview(shown: Shown) -> None:
    twin, told = shown.twin("overview"), shown.told("status", str(PROJECT))
    (control,), metrics, points = twin["controls"], told["metrics"]["label"], told["curve"]["label"]
    assert (control["n"], control["accuracy"]) == (metrics["n"], metrics["accuracy"])
    pool = metrics["pool"]
    assert (control["expected"], control["interval"]) == (pool["accuracy"], pool["interval"])
    assert control["unlabelled"] == pool["unlabelled"] == WAITING
    answers = sum(point["n"] for point in points)
    assert (control["answers"], control["curve"]) == (answers, points) and answers >= LEAST_ROWS
    forecast = told["advice"]["controls"]["label"]["forecast"]
    assert control["forecast"] == (say_forecast(forecast, "points", "labels") if forecast else [])
    assert twin["days"] == dict(Counter(row["updated_at"][:10] for row in read_lines(shown, "examples")))
    assert twin["verdict"]["id"] == told["recent_jobs"][0]["id"]
    assert twin["verdict"]["message"] == told["recent_jobs"][0].get("message", "")


def check_versions(shown: Shown) -> None:
    twin, told = shown.twin("versions"), shown.told("versions", str(PROJECT))
    assert twin["moves"] == told["history"][:10] and twin["moves_place"]["rows"] == len(told["history"])
    assert len(twin["versions"]) == len(told["versions"][:10]) > 3
    assert twin["versions_place"]["rows"] == len(told["versions"])
    for row, own in zip(twin["versions"], told["versions"], strict=False):
        assert (row["version"], row["status"], row["reason"]) == (own["version"], own["status"], own["reason"])
        assert row["labels"] == max(own["labels_seen"].values(), default=0)
        assert row["created_at"] == datetime.fromisoformat(own["created_at"]).timestamp()
        assert (row["live"], row["pinned"]) == (own["version"] == told["live"], own["version"] == told["pinned"])
        given = {name: own["metrics"][name] for name in own["metrics"] if name != "pool"}
        measured = {one["control"]: sorted([*one["figures"].values(), one["n"]]) for one in row["measured"]}
        assert measured == {
            name: sorted([*values.values(), *([] if "n" in values else [0])]) for name, values in given.items()
        }
    trained = shown.told("status", str(PROJECT))["recent_jobs"]
    assert [row["id"] for row in twin["trainings"]] == [row["id"] for row in trained]


def check_operations(shown: Shown) -> None:
    twin, told = shown.twin("operations"), shown.told("audit")
    assert twin["audit"] == told and len(told) >= 3
    assert twin["projects"] == len(shown.told("status"))


def check_people(shown: Shown) -> None:
    twin, told = shown.twin("people"), shown.told("status", str(PROJECT))
    given = Counter(str(row["annotator"]) for row in read_lines(shown, "examples"))
    assert twin["counts"] == dict(given) == {"1": LABELS, "2": SHARED, "3": SHARED}
    assert twin["labels"] == told["examples"]
    annotators = told["annotators"]["label"]
    assert {str(row["person"]): row["labels"] for row in twin["people"]} == {
        name: own["labels"] for name, own in annotators.items()
    }
    reliability = {name: own["reliability"] for name, own in annotators.items() if own["reliability"] is not None}
    shown_reliability = {str(row["person"]): row["reliability"].get("label") for row in twin["people"]}
    assert {name: value for name, value in shown_reliability.items() if value is not None} == reliability


def check_queue(shown: Shown) -> None:
    twin, told = shown.twin("queue"), shown.told("queue", str(PROJECT))
    assert twin["chosen_by"] == told.get("live", "") and twin["place"]["rows"] == told.get("tasks", 0)


def check_classes(shown: Shown) -> None:
    twin, told = shown.twin("classes"), shown.told("status", str(PROJECT))
    (control,), labels = twin["controls"], told["labels"]["label"]
    assert {row["name"]: row["labels"] for row in control["classes"] if row["labels"]} == labels
    advice = told["advice"]["controls"]["label"]
    lacking = {row["name"]: row["lacking"] for row in control["classes"] if row["lacking"] and row["labels"]}
    assert {name: lacking[name] for name in advice["classes"]} == advice["classes"]
    assert control["scarce"] == advice["scarce"]
    assert control["tested"] <= told["metrics"]["label"]["n"]
    assert sum(row["given"] for row in control["classes"]) == control["tested"]
    matrix = control["matrix"]
    assert sum(cell["count"] for row in matrix["rows"] for cell in row["cells"]) == control["tested"]


def check_confidence(shown: Shown) -> None:
    twin, told = shown.twin("confidence"), shown.told("status", str(PROJECT))
    (control,), advice = twin["controls"], told["advice"]["controls"]["label"]
    turned = {step["target"]: step for step in control["steps"]}
    assert len(advice["dial"]) == 3 and [turned[dial["target"]] for dial in advice["dial"]] == advice["dial"]
    assert control["copying"] == advice["copying"]
    assert control["pool"] == told["metrics"]["label"]["pool"]["unlabelled"] == WAITING
    found = control["reliability"]
    assert found["n"] == control["answers"] == sum(one["n"] for one in found["bins"]) >= control["wanted"]
    mean = sum(one["n"] * abs(one["confidence"] - one["right"]) for one in found["bins"]) / found["n"]
    assert found["error"] == pytest.approx(mean, abs=2e-4)


def check_errors(shown: Shown) -> None:
    twin, told = shown.twin("errors"), shown.told("suspects", str(PROJECT))
    assert twin["searched"] == told["searched"] and twin["searched"]["label"]["labels"] > 0
    assert twin["suspects_place"]["rows"] == told["found"]
    for row, own in zip(twin["suspects"], told["suspects"], strict=False):
        assert (row["task"], row["text"], row["given"]) == (own["task"], own["text"], own["given"])
        assert (row["p_given"], row["p_suggested"]) == (own["p_given"], own["p_suggested"])
    assert [row["task"] for row in twin["disputed"]] == [row["task"] for row in told["disputed"]][:10] != []
    assert [row["score"] for row in twin["disputed"]] == [row["score"] for row in told["disputed"]][:10]
    metrics = shown.told("status", str(PROJECT))["metrics"]["label"]
    assert twin["tested"] == metrics["n"] == LABELS
    assert twin["corrected_place"]["rows"] == round(metrics["n"] * (1 - metrics["accuracy"]))


CHECKS: dict[str, Callable[[Shown], None]] = {
    "projects": check_projects,
    "operations": check_operations,
    "overview": check_overview,
    "classes": check_classes,
    "confidence": check_confidence,
    "errors": check_errors,
    "versions": check_versions,
    "people": check_people,
    "queue": check_queue,
}


def test_every_page_and_tab_is_compared_with_the_command_line() -> None:
    assert set(CHECKS) == set(PAGES)


@pytest.mark.parametrize("name", CHECKS)
def test_the_figures_of_a_page_are_those_of_the_command_line(shown: Shown, name: str) -> None:
    CHECKS[name](shown)


def read_lines(shown: Shown, command: str) -> list[Any]:
    """Of a command that prints one object a line."""
    arguments = [sys.executable, "-m", "backend", command, str(PROJECT), "--json"]
    done = subprocess.run(arguments, cwd=ROOT, env=shown.rig.environment, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
