"""One project of Label Studio as steering sees it, over real HTTP, with the rules of the real one (read in 1.23.2,
seen in tests/e2e/test_active_learning.py)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from tests.backend.conftest import PROJECT
from tests.support import studio as studio_stub
from tests.support import tabs


class Studio(ThreadingHTTPServer):
    """One project that is connected. `names`: what `model_version` has been, so that a gap shows."""

    daemon_threads = True

    def __init__(self, backend_url: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sampling, self.title, self.model_version = "Uncertainty sampling", "understudy", "understudy"
        self.backend_url, self.predictions, self.busy = backend_url, list[dict[str, Any]](), set[int]()
        self.names: list[str | None] = []
        self.refuse: set[str] = set()
        self.is_connected = True
        self.meanwhile: Callable[[], None] = lambda: None
        """What somebody does while predictions are written."""
        self.seen: Counter[tuple[str, str]] = Counter()
        self.size = 200
        self.data: dict[int, Any] = {}
        """Of tasks, where a test needs them."""
        self.tabs = tabs.Tabs()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def of(self, version: str | None) -> dict[int, dict[str, Any]]:
        return {row["task"]: row for row in self.predictions if row["model_version"] == version}

    def name(self, version: str | None) -> None:
        """Whatever the queue goes by must have predictions at that moment."""
        self.model_version = version  # type: ignore[assignment]
        self.names.append(version if self.of(version) else None)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if any(part in path for part in self.refuse):
            return 500, {"detail": "refused"}
        if path.startswith(tabs.PATH):
            return self.tabs.answer(method, path, body)
        return self._project(method, path, query, body)

    def _project(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if path.startswith("/api/projects/") and path.endswith("/import/predictions"):
            self.predictions += [{**row, "cluster": None} for row in body]
            self.meanwhile()
            return 201, {"created": len(body)}
        if path.endswith("/model-versions/"):
            return self._versions(method, body)
        if path == f"/api/projects/{PROJECT}/":
            if method == "PATCH" and "model_version" in body:
                if body["model_version"] != self.title and not self.of(body["model_version"]):
                    return 400, {"detail": "no such version"}
                self.name(body["model_version"])
            fields = {"sampling": self.sampling, "model_version": self.model_version, "task_number": self.size}
            return 200, {"id": PROJECT, **fields}
        if path.startswith("/api/ml/"):
            return self._backend(method, body)
        if path == "/api/predictions/":
            self.predictions.append(body)
            self.meanwhile()
            return 201, body
        if path == "/api/tasks/":
            chosen = json.loads(query["query"][0])["selectedItems"]["included"]
            free = [{"id": task, **self._data(task)} for task in chosen if task not in self.busy]
            return 200, {"tasks": free, "total": len(chosen)}
        return 404, {"detail": path}

    def _data(self, task: int) -> dict[str, Any]:
        return {"data": self.data[task]} if task in self.data else {}

    def _versions(self, method: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, dict(Counter(row["model_version"] for row in self.predictions))
        gone = self.of(body["model_version"])
        if self.model_version in (self.title, body["model_version"]):  # Project.should_none_model_version
            self.name(None)
        self.predictions = [row for row in self.predictions if row["model_version"] != body["model_version"]]
        return 200, {"deleted_predictions": len(gone)}

    def _backend(self, method: str, body: Any) -> tuple[int, Any]:
        if method == "PATCH":
            if self.model_version == self.title:
                self.name(body["title"])
            self.title = body["title"]
        found = {"id": 3, "url": self.backend_url, "title": self.title}
        if method == "GET":
            return 200, [found] if self.is_connected else []
        return 200, found


class Handler(studio_stub.Handler):
    do_PATCH = studio_stub.Handler.do
