from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from backend.processes.console import Watch, current_state, greeting
from backend.rules.disabled_features import switched_off
from backend.settings.settings import Settings
from tests.conftest import serving

LOG = "2026-11-23 20:55:20,927 INFO {}\n"


def write(log: Path, *messages: str) -> None:
    with log.open("a") as file:
        file.write("".join(LOG.format(message) for message in messages))


def test_a_process_that_dies_is_told_once_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    write(log, "exited: web (exit status 1; not expected)")
    watch = Watch(tmp_path)
    (tmp_path / "web.log").write_text("Traceback\nOSError: [Errno 28] No space left on device\n")
    write(log, "spawned: 'web' with pid 7", "exited: web (terminated by SIGKILL; not expected)")
    (line,) = watch.news()
    assert line.startswith("web ended (terminated by SIGKILL) and is started again. Last words: OSError: [Errno 28]")
    assert list(watch.news()) == []


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    log = tmp_path / "supervisord.log"
    whole = LOG.format("exited: sync (exit status 1; not expected)")
    log.write_text(whole[:50])
    assert list(watch.news()) == []
    log.write_text(whole)
    assert len(list(watch.news())) == 1


def test_a_rotated_log_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    write(log, *["spawned: 'web' with pid 7"] * 9)
    watch = Watch(tmp_path)
    log.unlink()
    write(log, "exited: web (exit status 1; not expected)")
    assert len(list(watch.news())) == 1


def test_deaths_during_an_orderly_stop_are_no_news(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    write(
        tmp_path / "supervisord.log",
        "received SIGTERM indicating exit request",
        "exited: web (exit status 0; expected)",
    )
    assert list(watch.news()) == ["Stopping."]
    assert not watch.running()


@contextmanager
def web_that_answers(status: int, body: Any) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *args: Any) -> None:
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield server.server_port


def test_the_state_follows_the_start_step_by_step(tmp_path: Path) -> None:
    def state(port: int, redis_url: str = "redis://elsewhere") -> str:
        return current_state(Settings(data_dir=tmp_path, port=port, redis_url=redis_url, _env_file=None))

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert state(free.getsockname()[1], redis_url="") == "starting Redis"
        assert state(free.getsockname()[1]) == "starting the web process"
    with web_that_answers(503, {"ready": False, "reason": "loading the encoder"}) as port:
        assert state(port) == "loading: loading the encoder"
    with web_that_answers(503, ["odd"]) as port:
        assert state(port) == "loading: the web process answers 503"
    with web_that_answers(200, {"ready": True}) as port:
        assert state(port) == ""


def test_the_greeting_gives_the_url_and_what_is_off(tmp_path: Path) -> None:
    bare = greeting(Settings(data_dir=tmp_path, host="0.0.0.0", port=9999, _env_file=None))
    assert "Give Label Studio this URL: http://127.0.0.1:9999" in bare
    assert "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY not set" in bare
    full = Settings(
        data_dir=tmp_path,
        public_url="http://understudy:9090/",
        label_studio_url="http://ls",
        label_studio_api_key="key",
        basic_auth_user="user",
        basic_auth_pass="pass",
        _env_file=None,
    )
    assert "http://understudy:9090\n" in greeting(full)
    assert "Switched off" not in greeting(full)


def test_half_of_label_studios_settings_names_the_other_half(tmp_path: Path) -> None:
    off = switched_off(Settings(data_dir=tmp_path, label_studio_url="http://ls", _env_file=None))
    assert off["reconciling with Label Studio"].startswith("LABEL_STUDIO_API_KEY not set")
