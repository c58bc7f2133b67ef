"""`understudy predict`: a project through the admin API, and files through a web process that really answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from backend.cli.main import main
from backend.client import predict as predict_client
from backend.client import predict_file
from backend.jobs.learn.refit import refit
from backend.routes.app import create_app
from backend.settings.settings import current_settings
from tests.backend.cli.test_admin import Admin, admin, understudy
from tests.conftest import serving
from tests.support.rig import choices_config, free_port
from tests.support.tiny import PROJECT, letters, settings, tiny_base  # noqa: F401

__all__ = ["admin", "understudy"]

PATH = "/admin/projects/7/predict"
RUN = {"id": "predict-7-ab", "status": "running", "step": 10, "of": 40, "written": 9, "present": 0, "declined": 1}
RUN |= {"dropped": 0, "seconds_left": 3.0, "error": "", "retry_in": 0, "message": ""}
DONE = {**RUN, "status": "done", "step": 40, "of": 40, "written": 39, "seconds_left": None}


def test_a_project_is_asked_for_and_followed_to_its_end(admin: Admin, understudy: Any) -> None:
    admin.replies["POST", PATH] = 202, {**RUN, "status": "queued", "message": "asked for"}
    admin.replies["GET", PATH] = [(200, RUN), (200, {**RUN, "error": "away", "retry_in": 9}), (200, DONE)]
    result = understudy("predict", "7", "--all")
    assert ("POST", PATH, {"all": True}) in admin.seen and result.exit_code == 0
    assert result.output.splitlines() == [
        "predict-7-ab: asked for",
        "predict-7-ab: running, 9 written, step 10 of 40, 3 s left",
        "predict-7-ab: running, waits 9 s: away, step 10 of 40, 3 s left",
        "predict-7-ab: done",
        "predict-7-ab: done, 40 of 40 tasks, 39 predictions written, 1 declined",
    ]


def test_status_cancel_json_and_no_wait_are_one_call_each(admin: Admin, understudy: Any) -> None:
    admin.replies["GET", PATH] = 200, RUN
    admin.replies["POST", PATH] = 202, RUN
    admin.replies["POST", f"{PATH}/cancel"] = 200, {**RUN, "status": "cancelled"}
    assert "10 of 40 tasks" in understudy("predict", "7", "--status").output
    assert json.loads(understudy("predict", "7", "--status", "--json").stdout) == RUN
    assert "cancelled" in understudy("predict", "7", "--cancel").output
    assert understudy("predict", "7", "--no-wait").exit_code == 0
    assert len(admin.seen) == 4


def test_a_failed_run_is_a_failed_command(admin: Admin, understudy: Any) -> None:
    admin.replies["POST", PATH] = 202, {**RUN, "message": "asked for"}
    admin.replies["GET", PATH] = 200, {**RUN, "status": "failed", "message": "no such object"}
    result = understudy("predict", "7")
    assert result.exit_code == 1 and "no such object" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["7", "-o", "x"], "go with a FILE"), (["tasks.json"], "-o OUTPUT and --project"), (["t.json", "-o", "x"], "ID")],
)
def test_what_does_not_go_together_is_told(understudy: Any, arguments: list[str], said: str) -> None:
    result = understudy("predict", *arguments)
    assert result.exit_code == 1 and said in result.output


@pytest.fixture
def files(services: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs file mode against a web process on a port; returns (result, what was written)."""
    services.stores.projects.save_config(PROJECT, choices_config(["a", "e"]))
    port = free_port()
    monkeypatch.setattr(predict_file, "REQUEST_TASKS", 3)
    monkeypatch.chdir(tmp_path)

    def run(content: str | bytes, project: int = PROJECT, source: str = "tasks.json") -> tuple[Result, Any]:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / "tasks.json").write_bytes(data)
        current_settings.cache_clear()
        environment = {"HOST": "127.0.0.1", "PORT": str(port), "ADMIN_TOKEN": "admin"}
        arguments = ["predict", source, "-o", "out.json", "--project", str(project), "--json"]
        result = CliRunner().invoke(main, arguments, env=environment, input=data if source == "-" else None)
        written = tmp_path / "out.json"
        return result, json.loads(written.read_bytes()) if written.exists() else None

    with serving(make_server("127.0.0.1", port, create_app(services), threaded=True)):
        yield run
    current_settings.cache_clear()


TEXTS = [f"{'abcd'[number % 4]} {number}" for number in range(8)]
BARE = [{"text": text} for text in TEXTS]
WRAPPED = [{"data": data, "meta": {"n": number}} for number, data in enumerate(BARE)]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(WRAPPED),
        json.dumps(BARE, indent=1),
        "\n".join(map(json.dumps, WRAPPED)),
        "\n".join(map(json.dumps, BARE)) + "\n\n",
        b"\xef\xbb\xbf" + json.dumps(BARE).encode(),
        "\n\n  " + json.dumps(BARE),
    ],
)
def test_a_file_in_any_form_comes_back_in_import_format(files: Any, services: Any, content: str) -> None:
    result, written = files(content)
    assert json.loads(result.stdout) == {"tasks": 8, "predicted": 8, "declined": 0}
    assert [task["data"] for task in written] == BARE
    body = {"tasks": [{"data": data} for data in BARE], "project": str(PROJECT)}
    answers = create_app(services).test_client().post("/predict", json=body).get_json()["results"]
    for task, answer in zip(written, answers, strict=True):
        assert set(task) - {"meta"} == {"data", "predictions"}
        assert task["predictions"] == [{name: answer[name] for name in ("model_version", "score", "result")}]


def test_a_bad_task_gets_no_prediction_and_costs_the_others_nothing(files: Any) -> None:
    odd = [{"text": "a b"}, {"other": 1}, 5, None, {"data": {"text": "c d"}, "predictions": [{"model_version": "x"}]}]
    result, written = files(json.dumps(odd))
    counts = {"tasks": 5, "predicted": 2, "declined": 3}
    reasons = {"have no field `text`; they have `other`": 1, "have no data": 2}
    assert json.loads(result.stdout) == {**counts, "reasons": reasons}
    assert written[1] == {"data": {"other": 1}, "predictions": []} and written[2:4] == [5, None]
    assert [prediction["model_version"] for prediction in written[4]["predictions"]] == ["x", "v0"]


def test_standard_input_and_an_empty_list(files: Any) -> None:
    result, written = files(json.dumps(BARE), source="-")
    assert result.exit_code == 0 and len(written) == 8
    assert files("[]")[1] == [] and files("")[1] == []


def test_ids_of_another_label_studio_do_not_get_into_the_projects_pool(files: Any, services: Any) -> None:
    files(json.dumps([{"id": 3, "data": data} for data in BARE]))
    assert services.stores.projects.pool(PROJECT) == {}


@pytest.mark.parametrize(
    ("content", "project", "said"),
    [
        (json.dumps(BARE)[:-20], PROJECT, "line 1: the file ends within row 7"),
        ('{"text": "a"}\nnot json', PROJECT, "line 2: row 2 is no JSON"),
        ("text\nno table", PROJECT, "neither JSON"),
        (json.dumps(BARE), 99, "/predict answers"),
    ],
)
def test_what_cannot_be_done_leaves_no_file_and_says_why(files: Any, content: str, project: int, said: str) -> None:
    result, written = files(content, project)
    assert result.exit_code == 1 and written is None and said in result.output, result.output
    assert not list(Path.cwd().glob(".out.json*"))


def test_a_missing_file_is_told(files: Any) -> None:
    assert "No such file" in files("[]", source="missing.json")[0].output


def test_a_busy_web_process_is_asked_again(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All slots are taken at first: 503 with Retry-After; the pauses are what it asks for."""
    services.stores.projects.save_config(PROJECT, choices_config(["a", "e"]))
    port, pauses = free_port(), []
    with serving(make_server("127.0.0.1", port, create_app(services), threaded=True)):
        taken = [services.admission.enter() for _ in range(services.admission.most)]
        for slot in taken:
            slot.__enter__()

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                for slot in taken:
                    slot.__exit__(None, None, None)

        url = f"http://127.0.0.1:{port}"
        with predict_client.PredictClient(services.settings, url, pause=pause) as client:
            items, version = client.predict(PROJECT, [{"data": {"text": "a b"}}])
    assert len(items) == 1 and version == "v0" and pauses == [2.0, 2.0]


def test_tasks_that_are_too_large_together_are_asked_for_in_halves(services: Any) -> None:
    services.stores.projects.save_config(PROJECT, choices_config(["a", "e"]))
    small = replace(services, settings=services.settings.model_copy(update={"max_body_mb": 1}))
    port = free_port()
    with serving(make_server("127.0.0.1", port, create_app(small), threaded=True)):
        tasks = [{"data": {"text": "a b", "picture": "x" * 400_000}} for _ in range(5)]
        with predict_client.PredictClient(services.settings, f"http://127.0.0.1:{port}") as client:
            items, version = client.predict(PROJECT, tasks)
            assert [item["model_version"] for item in items] == [version] * 5
            with pytest.raises(predict_client.PredictError, match="MAX_BODY_MB=1"):
                client.predict(PROJECT, [{"data": {"text": "x" * 2_000_000}}])


LINES = [{"id": number, "text": f"{'abcdefgh'[number % 8]} {number}"} for number in range(230)]


def test_files_are_predicted_by_workers_that_the_command_lends(
    context: Any,
    services: Any,
    letters: Any,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters.add(24)
    assert refit(PROJECT) == "published"
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    port = free_port()
    server = make_server("127.0.0.1", port, create_app(services), threaded=True)
    given = services.settings
    environment = {"HOST": "127.0.0.1", "PORT": str(port), "ADMIN_TOKEN": "admin", "DATA_DIR": str(given.data_dir)}
    environment |= {"REDIS_URL": given.redis_url, "BASE_MODEL": given.base_model}
    monkeypatch.chdir(tmp_path)
    current_settings.cache_clear()
    with serving(server):
        asked = ["predict", "in.jsonl", "-o", "out/", "--project", str(PROJECT), "--rows", "100", "--json"]
        result = CliRunner().invoke(main, asked, env=environment)
        shown = CliRunner().invoke(main, ["status", str(PROJECT)], env=environment)
    current_settings.cache_clear()
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["status"], record["step"], record["shards"]) == ("done", 230, {"all": 3, "over": 3})
    parts = sorted((tmp_path / "out").glob("part-*.jsonl"))
    rows = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    assert [row["id"] for row in rows] == list(range(230)) and {row["answer"] for row in rows} <= {"a", "e"}
    assert "230 of 230 rows" in shown.output, shown.output


def test_what_goes_with_folders_is_refused_for_files(understudy: Any) -> None:
    result = understudy("predict", "tasks.json", "-o", "out.json", "--project", "7", "--workers", "2")
    assert result.exit_code == 1 and "end OUT with /" in result.output
