"""The command line against a server that answers as the admin API does; its real counterpart is in tests/e2e."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backend.cli.main import main
from backend.client import follow as progress
from backend.settings.settings import current_settings
from tests.conftest import serving

TOKEN = "the-admin-token"
JOB = {
    "id": "train-7-1-ab",
    "project": 7,
    "status": "running",
    "stage": "training",
    "step": 12,
    "of": 100,
    "epoch": 1.5,
}
JOB |= {"metric": {"loss": 0.412345}, "seconds_left": 33.2}
PROJECT = {"id": 7, "live": "v1.4", "examples": 64, "pending": 2, "labels": {"topic": {"A": 40, "B": 24}}, "job": None}


class Admin(ThreadingHTTPServer):
    """Answers from `replies`: (method, path) -> one reply (status, body), or a list of them, one a call."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: dict[tuple[str, str], Any] = {}
        self.seen: list[tuple[str, str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Admin

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.seen.append((self.command, self.path, json.loads(self.rfile.read(length)) if length else None))
        status, body = 404, {"message": f"no {self.path}"}
        reply = self.server.replies.get((self.command, self.path))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            status, body = 401, {"message": "wrong token"}
        elif reply is not None:
            status, body = reply.pop(0) if isinstance(reply, list) else reply
        payload = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def admin() -> Iterator[Admin]:
    with serving(Admin()) as server:
        yield server


@pytest.fixture
def understudy(admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, token: str = TOKEN, port: int | None = None) -> Result:
        current_settings.cache_clear()
        environment = {"HOST": "127.0.0.1", "PORT": str(port or admin.server_port), "ADMIN_TOKEN": token}
        environment["DATA_DIR"] = str(tmp_path / "data")
        return CliRunner().invoke(main, arguments, env=environment)

    yield run
    current_settings.cache_clear()


def test_status_shows_every_project_and_its_training(admin: Admin, understudy: Any) -> None:
    admin.replies["GET", "/admin/projects"] = 200, {"projects": [{**PROJECT, "job": JOB}]}
    output = understudy("status").output
    assert "v1.4" in output and "64" in output
    assert "train-7-1-ab: running, training, step 12 of 100, epoch 1.5, loss 0.412, 33 s left" in output


def test_status_of_one_project_as_json_is_what_the_server_says(admin: Admin, understudy: Any) -> None:
    admin.replies["GET", "/admin/projects/7"] = 200, PROJECT
    assert json.loads(understudy("status", "7", "--json").stdout) == PROJECT


def test_status_of_one_project_says_how_reliable_its_annotators_are(admin: Admin, understudy: Any) -> None:
    people = {"3": {"reliability": 0.93, "labels": 60}, "4": {"reliability": None, "labels": 5}}
    overlap = {"annotators": {"topic": people}, "disagreements": {"topic": [{"task": 12, "score": 1.0}]}}
    admin.replies["GET", "/admin/projects/7"] = 200, {**PROJECT, **overlap}
    lines = understudy("status", "7").output.splitlines()
    assert "topic, annotators: 3 93% (60 labels), 4 (5 labels); most disputed tasks 12" in lines


def test_retrain_prints_the_job_and_follows_it_to_its_end(admin: Admin, understudy: Any) -> None:
    admin.replies["POST", "/admin/projects/7/retrain"] = 202, {"job": JOB["id"], "status": "queued"}
    done = {**JOB, "status": "done", "version": "v2", "message": "better"}
    admin.replies["GET", f"/admin/jobs/{JOB['id']}"] = [(200, JOB), (200, JOB), (200, done)]
    result = understudy("retrain", "7")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "train-7-1-ab: queued"
    assert len(lines) == 3, "a state is printed once"
    assert lines[-1] == "train-7-1-ab: done, loss 0.412, v2, better"


def test_a_job_that_is_out_of_sight_for_a_moment_is_followed_on(
    admin: Admin, understudy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.replies["POST", "/admin/projects/7/retrain"] = 202, {"job": JOB["id"], "status": "queued"}
    away = 503, {"error": "store_unavailable", "message": "Redis: Timeout reading from socket"}
    done = {**JOB, "status": "done", "version": "v2", "message": "better"}
    admin.replies["GET", f"/admin/jobs/{JOB['id']}"] = [(200, JOB), away, away, (200, JOB), away, (200, done)]
    result = understudy("retrain", "7")
    assert result.exit_code == 0 and "done" in result.output
    assert result.output.count("goes on out of sight, looked for once more: Redis: Timeout") == 2, "once each time"

    monkeypatch.setattr(progress, "AWAY_SECONDS", 0.0)
    admin.replies["GET", f"/admin/jobs/{JOB['id']}"] = [(200, JOB), away, away, away]
    result = understudy("retrain", "7")
    assert result.exit_code == 1 and "Error: Redis: Timeout reading from socket" in result.output


def test_retrain_without_waiting_returns_at_once(admin: Admin, understudy: Any) -> None:
    admin.replies["POST", "/admin/projects/7/retrain"] = 202, {"job": JOB["id"], "status": "running"}
    assert understudy("retrain", "7", "--no-wait").output == "train-7-1-ab: running\n"
    assert [path for _, path, _ in admin.seen] == ["/admin/projects/7/retrain"]


def test_a_failed_training_is_a_failed_command(admin: Admin, understudy: Any) -> None:
    admin.replies["POST", "/admin/projects/7/retrain"] = 202, {"job": JOB["id"], "status": "queued"}
    failed = {**JOB, "status": "failed", "message": "1 class only"}
    admin.replies["GET", f"/admin/jobs/{JOB['id']}"] = 200, failed
    result = understudy("retrain", "7")
    assert result.exit_code == 1
    assert "1 class only" in result.output


def test_examples_are_one_line_each(admin: Admin, understudy: Any) -> None:
    stored = [{"id": 1, "task": 5, "labels": {"topic": ["Ä"]}, "updated_at": "2026-11-23T17:00:00Z"}]
    admin.replies["GET", "/admin/projects/7/examples"] = 200, {"examples": stored}
    assert understudy("examples", "7").output == '1\t5\t{"topic": ["Ä"]}\t2026-11-23T17:00:00Z\n'
    assert [json.loads(line) for line in understudy("examples", "7", "--json").output.splitlines()] == stored


def test_an_example_shows_what_was_taken_away(admin: Admin, understudy: Any) -> None:
    span = {"start": 0, "end": 3, "label": "PER"}
    marks: Any = {"spans": {"marks": []}, "removed": {"marks": [span]}}
    example = {"id": 1, "task": 5, "labels": {}, "updated_at": "x", **marks}
    admin.replies["GET", "/admin/projects/7/examples"] = 200, {"examples": [example]}
    removed = json.dumps({"marks": [span]})
    assert understudy("examples", "7").output == f'1\t5\t{{"marks": []}}\tx\tremoved: {removed}\n'


def test_versions_say_which_one_is_live_and_why_one_is_not(admin: Admin, understudy: Any) -> None:
    kept = [
        {"version": "v2", "kind": "finetune", "status": "challenger", "labels_seen": {"topic": 64}, "reason": "worse"},
        {"version": "v0.9", "kind": "head", "status": "published", "labels_seen": {"topic": 64}, "reason": ""},
    ]
    admin.replies["GET", "/admin/projects/7/versions"] = 200, {"live": "v0.9", "versions": kept}
    challenger, live = understudy("versions", "7").output.splitlines()[1:3]
    assert "worse" in challenger and "live" not in challenger
    assert "v0.9" in live and "live" in live


def test_rollback_cancel_and_resync_send_what_the_api_expects(admin: Admin, understudy: Any) -> None:
    admin.replies["POST", "/admin/projects/7/rollback"] = 200, {"live": "v1"}
    admin.replies["POST", "/admin/projects/7/resync"] = 202, {"status": "queued"}
    admin.replies["POST", "/admin/jobs/train-7-1-ab/cancel"] = 200, {"status": "cancelling"}
    assert understudy("rollback", "7", "v1").output == "project 7 serves v1\n"
    assert understudy("resync", "7").output == "project 7: queued\n"
    assert understudy("cancel", "train-7-1-ab").output == "train-7-1-ab: cancelling\n"
    assert ("POST", "/admin/projects/7/rollback", {"version": "v1"}) in admin.seen


def test_the_servers_own_words_are_shown_on_an_error(admin: Admin, understudy: Any) -> None:
    admin.replies["POST", "/admin/projects/7/rollback"] = 404, {"error": "not_found", "message": "there is no v9"}
    result = understudy("rollback", "7", "v9")
    assert (result.exit_code, result.output) == (1, "Error: there is no v9\n")


def test_something_else_behind_the_port_is_no_traceback(admin: Admin, understudy: Any) -> None:
    admin.replies["GET", "/admin/projects"] = 200, "<html>hello</html>"
    result = understudy("status")
    assert result.exit_code == 1
    assert "/admin/projects answers 200" in result.output


def test_a_server_that_is_not_up_is_told_with_the_remedy(understudy: Any) -> None:
    result = understudy("status", port=1)
    assert result.exit_code == 1
    assert "nothing answers at http://127.0.0.1:1: start it with `understudy up`" in result.output


def test_a_wrong_token_is_told(understudy: Any) -> None:
    assert "refuses this admin token" in understudy("status", token="another").output


def test_a_missing_token_is_told_and_the_generated_one_is_found(understudy: Any, admin: Admin, tmp_path: Path) -> None:
    admin.replies["GET", "/admin/projects"] = 200, {"projects": []}
    assert "no admin token" in understudy("status", token="").output
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "admin_token").write_text(TOKEN + "\n")
    result = understudy("status", "--data-dir", str(tmp_path / "elsewhere"), token="")
    assert "No project yet" in result.output
