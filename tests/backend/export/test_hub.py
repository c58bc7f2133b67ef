"""`understudy export --push-to-hub`: the hub's own client against a server that speaks what it calls."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from backend.errors import BadRequest, SettingsError
from backend.export.hub import require_hub
from backend.settings.settings import Settings

TOKEN = "hf_" + "thistokenisnotreal" * 2

PROGRAM = """
import sys
from pathlib import Path
from backend.export.hub import push
from backend.settings.settings import load_settings
print(push(load_settings(), sys.argv[1], Path(sys.argv[2]), print))
"""


class Hub(ThreadingHTTPServer):
    """A model hub: `files` as they lie in its repositories, `seen` the calls and whether they had the token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.repositories: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.stored: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, bool]] = []
        self.refuses = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Call(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().strip(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reply(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _handle(self) -> None:
        body, hub, path = self._body(), self.server, self.path.partition("?")[0]
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        hub.seen.append((self.command, path, known))
        if hub.refuses or not (known or path.startswith("/upload/")):
            return self._reply({"error": f"no such token {self.headers.get('Authorization')}"}, 401)
        for part, answer in ANSWERS.items():
            if part in path:
                return self._reply(answer(hub, path, body))
        return self._reply({"error": path}, 404)

    do_GET = do_POST = do_PUT = do_HEAD = _handle


def create(hub: Hub, path: str, body: bytes) -> Any:
    asked = json.loads(body)
    name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
    hub.repositories[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
    return {"url": f"{hub.url}/{name}", "name": name}


def preupload(hub: Hub, path: str, body: bytes) -> Any:
    names = [one["path"] for one in json.loads(body)["files"]]
    modes = ["lfs" if name.endswith((".safetensors", ".onnx")) else "regular" for name in names]
    return {
        "files": [
            {"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in zip(names, modes, strict=True)
        ]
    }


def batch(hub: Hub, path: str, body: bytes) -> Any:
    asked = json.loads(body)["objects"]
    places = [{"upload": {"href": f"{hub.url}/upload/{one['oid']}"}} for one in asked]
    objects = [{**one, "actions": place} for one, place in zip(asked, places, strict=True)]
    return {"transfer": "basic", "objects": objects}


def upload(hub: Hub, path: str, body: bytes) -> Any:
    digest = path.rpartition("/")[2]
    assert hashlib.sha256(body).hexdigest() == digest
    hub.stored[digest] = body
    return {}


def commit(hub: Hub, path: str, body: bytes) -> Any:
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        if line["key"] == "file":
            hub.files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            hub.files[value["path"]] = hub.stored[value["oid"]]
    return {"commitUrl": f"{hub.url}/me/model/commit/{'a' * 40}", "commitOid": "a" * 40, "hookOutput": ""}


def describe(hub: Hub, path: str, body: bytes) -> Any:
    return {"id": "me/model", "sha": "b" * 40, "siblings": [], "private": True, "tags": [], "downloads": 0, "likes": 0}


ANSWERS: dict[str, Callable[[Hub, str, bytes], Any]] = {
    "/api/repos/create": create,
    "/api/validate-yaml": lambda hub, path, body: {"errors": [], "warnings": []},
    "/preupload/": preupload,
    "/info/lfs/objects/batch": batch,
    "/upload/": upload,
    "/commit/": commit,
    "/api/models/": describe,
}
"""By a part of the path."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "model"
    (found / "code").mkdir(parents=True)
    (found / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (found / "README.md").write_text("---\nlibrary_name: transformers\n---\n# label\n", encoding="utf-8")
    (found / "code" / "own.py").write_text("A = 1\n", encoding="utf-8")
    return found


def run(hub: Hub, directory: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    settings = {"DATA_DIR": str(tmp_path / "data"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", PROGRAM, "me/model", str(directory)]
    return subprocess.run(
        command, env={**os.environ, **own, **settings}, capture_output=True, text=True, timeout=120, check=False
    )


def test_all_files_are_pushed_to_a_private_repository(hub: Hub, directory: Path, tmp_path: Path) -> None:
    done = run(hub, directory, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{hub.url}/me/model"
    assert hub.repositories == {"me/model": True}
    wanted = {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
    assert {name: hub.files[name] for name in wanted} == wanted
    assert all(known for _, path, known in hub.seen if "model" in path or "repos" in path)
    assert TOKEN not in done.stdout + done.stderr


def test_what_the_hub_refuses_is_told_without_the_token(hub: Hub, directory: Path, tmp_path: Path) -> None:
    hub.refuses = True
    done = run(hub, directory, tmp_path)
    assert done.returncode == 1 and "me/model was not pushed" in done.stderr
    assert TOKEN not in done.stdout and (directory / "README.md").is_file()


def test_a_token_and_a_name_are_asked_for_before_anything_is_made() -> None:
    with pytest.raises(SettingsError, match="HF_TOKEN"):
        require_hub(Settings(), "me/model")
    known = Settings(hf_token=TOKEN)  # type: ignore[arg-type]
    require_hub(known, "me/model")
    for name in ("model", "me/mo del", "a/b/c"):
        with pytest.raises(BadRequest, match="push-to-hub"):
            require_hub(known, name)
