"""What whole-project prediction and the relabel queue ask of Label Studio, over real HTTP, answered as 1.23.2 does."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed"
OPERATORS = {"greater": int.__gt__, "less_or_equal": int.__le__, "equal": int.__eq__}


class Studio(ThreadingHTTPServer):
    """One project. `tasks`: id -> text; `labelled`: ids; `predictions`: as they were imported. `refuse`: (method, path)
    -> status to answer instead."""

    daemon_threads = True

    def __init__(self, tasks: dict[int, str], labelled: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        super().__init__(("127.0.0.1", 0), Handler)
        self.tasks, self.labelled = dict(tasks), set(labelled)
        self.predictions: list[dict[str, Any]] = []
        self.refuse: dict[tuple[str, str], int] = {}
        self.tabs: list[dict[str, Any]] = []
        self.seen: Counter[tuple[str, str]] = Counter()
        self.import_seconds = 0.0
        self.label_config, self.parsed = "", dict[str, Any]()
        self.unfit: Callable[[dict[str, Any]], bool] = lambda row: False
        """Predictions that the import drops unsaid."""
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def versions_of(self, task: int) -> list[str]:
        return [row["model_version"] for row in self.predictions if row["task"] == task]

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if status := self.refuse.get((method, path)):
            return status, {"detail": f"refused with {status}"}
        match method, path.strip("/").split("/"):
            case "GET", ["api", "tasks"]:
                return 200, self._list(query)
            case "POST", ["api", "projects", _, "import", "predictions"]:
                return self._store(body)
            case "GET", ["api", "projects", number]:
                return 200, {"id": int(number), "label_config": self.label_config, "parsed_label_config": self.parsed}
            case "GET", ["api", "projects", _, "model-versions"]:
                return 200, dict(Counter(row["model_version"] for row in self.predictions))
            case "DELETE", ["api", "projects", _, "model-versions"]:
                before = len(self.predictions)
                self.predictions = [row for row in self.predictions if row["model_version"] != body["model_version"]]
                return 200, {"deleted_predictions": before - len(self.predictions)}
            case "GET", ["api", "dm", "views"]:
                return 200, self.tabs
            case "POST", ["api", "dm", "views"]:
                self.tabs.append({"id": 1 + self.seen[method, path], "data": body["data"]})
                return 201, self.tabs[-1]
            case "DELETE", ["api", "dm", "views", tab]:
                self.tabs = [known for known in self.tabs if known["id"] != int(tab)]
                return 204, None
        return 404, {"detail": "Not found."}

    def _list(self, query: dict[str, list[str]]) -> Any:
        asked = json.loads(query["query"][0])
        chosen = asked.get("selectedItems", {}).get("included", self.tasks)
        with self.guard:
            found = sorted(task for task in self.tasks if task in chosen)
            found = sorted(task for task in found if all(self._passes(task, i) for i in asked["filters"]["items"]))
        found = found[::-1] if asked["ordering"] == ["-tasks:id"] else found
        page = found[: int(query["page_size"][0])]
        return {"tasks": [self._describe(task) for task in page], "total": len(found)}

    def _passes(self, task: int, item: Any) -> bool:
        column = item["filter"].removeprefix("filter:tasks:")
        if column == "predictions_model_versions":
            has = any(part in version for version in self.versions_of(task) for part in item["value"])
            return has == (item["operator"] == "contains")
        value = {"id": task, "total_annotations": int(task in self.labelled)}[column]
        return bool(OPERATORS[item["operator"]](value, int(item["value"])))

    def _describe(self, task: int) -> Any:
        versions = ",".join(sorted(set(self.versions_of(task))))
        predictions = [row for row in self.predictions if row["task"] == task]
        described = {"id": task, "data": {"text": self.tasks[task]}, "predictions": predictions}
        described["total_annotations"] = int(task in self.labelled)
        return {**described, "predictions_model_versions": versions}

    def _store(self, rows: list[dict[str, Any]]) -> tuple[int, Any]:
        time.sleep(self.import_seconds)
        with self.guard:
            for row in rows:
                if row["task"] not in self.tasks:
                    return 400, {"detail": f"{row} contains invalid task field"}
            fit = [row for row in rows if not self.unfit(row)]
            self.predictions += fit
        return 201, {"created": len(fit)}


class Handler(BaseHTTPRequestHandler):
    server: Studio
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do(self) -> None:
        where = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.seen[self.command, where.path] += 1
        status, reply = self.server.answer(self.command, where.path, parse_qs(where.query), body)
        if TOKEN not in (self.headers.get("Authorization") or ""):
            status, reply = 401, {"detail": "Invalid token."}
        data = b"" if reply is None else json.dumps(reply).encode()
        with contextlib.suppress(ConnectionError):  # who asked was killed
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do

    def log_message(self, format: str, *args: Any) -> None:
        pass
