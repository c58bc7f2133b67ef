"""A stand-in for Label Studio's API: the two routes that a reconciliation calls, over a real HTTP server.

The real one takes about a second for 200 tasks and is not made for ten changes a second over half an hour. It answers
what `backend/labelstudio/rest/client.py` asks and refuses everything else; `mode` makes it fail as the real one does.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.chaos.reference_model import ReferenceModel, Task

TOKEN = "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed"
MODES = ("whole", "down", "error", "unauthorized", "short page", "cut page", "no annotations", "slow")


class LabelStudioStub:
    """Serves a ReferenceModel on `port`. Use as a context manager. `requests` counts what was asked."""

    def __init__(self, truth: ReferenceModel) -> None:
        self.truth, self.mode, self.requests = truth, "whole", 0
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> LabelStudioStub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        """(status, JSON) of a GET."""
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "projects"] and len(parts) == 3 and parts[2].isdigit():
            project = int(parts[2])
            config = self.truth.config
            known = project in self.truth.tasks
            return (200, {"id": project, "label_config": config}) if known else (404, {"detail": "Not found."})
        if parts == ["api", "tasks"]:
            return 200, self._tasks(query)
        return 404, {"detail": "Not found."}

    def _tasks(self, query: dict[str, list[str]]) -> Any:
        filters = json.loads(query["query"][0])
        page, answered = int(query["page_size"][0]), filters["filters"]["conjunction"] == "or"
        above = next(item["value"] for item in _numbers(filters["filters"]["items"]) if item["filter"] == _ID)
        with self.truth.guard:
            found = [
                task for task in self.truth.tasks[int(query["project"][0])].values() if _matches(task, answered, above)
            ]
            found.sort(key=lambda task: task.number, reverse=filters["ordering"] == ["-tasks:id"])
            listed = [task.to_json() for task in found[:page]]
        if self.mode == "short page" and listed:
            listed = listed[: len(listed) // 2]
        if self.mode == "no annotations":
            for task in listed:
                task.pop("annotations")
        return {"tasks": listed, "total": len(found)}


_ID = "filter:tasks:id"


def _numbers(items: list[Any]) -> list[Any]:
    return [*items, *(item["child_filter"] for item in items if "child_filter" in item)]


def _matches(task: Task, answered: bool, above: int) -> bool:
    return task.number > above and (task.annotation is not None) == answered


class _Handler(BaseHTTPRequestHandler):
    stand_in: LabelStudioStub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """One API call, or what the mode makes of it."""
        with contextlib.suppress(ConnectionError):  # who asked was killed
            self._answer()

    def _answer(self) -> None:
        mode = self.stand_in.mode
        self.stand_in.requests += 1
        if mode == "down":
            self.close_connection = True
            return
        if mode == "slow":
            time.sleep(1.0)
        if mode == "error":
            return self._send(503, {"detail": "the database is locked"})
        if mode == "unauthorized" or TOKEN not in (self.headers.get("Authorization") or ""):
            return self._send(401, {"detail": "Invalid token."})
        where = urlsplit(self.path)
        status, body = self.stand_in.answer(where.path, parse_qs(where.query))
        self._send(status, body, cut=mode == "cut page")

    def _send(self, status: int, body: Any, cut: bool = False) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the history has it."""
