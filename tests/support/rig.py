"""Starts the real product (`understudy up`) on a scratch data directory and speaks Label Studio's protocol to it.

Used by the benches and by tests that need the whole loop without a Label Studio.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any
from xml.sax.saxutils import quoteattr

import psutil
import requests

from tests.support.timings import lend_timing

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "docs" / "examples" / "support_messages.csv"


def read_rows(path: Path = SAMPLE) -> list[tuple[str, str]]:
    """(text, label) rows of a CSV with the columns text,label."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def endless_rows(rows: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The rows, then new texts made by joining two rows of one class: a bench never runs out of distinct texts."""
    yield from rows
    by_label: dict[str, list[str]] = {}
    for text, label in rows:
        by_label.setdefault(label, []).append(text)
    for step in itertools.count(1):
        for text, label in rows:
            texts = by_label[label]
            yield f"{text} {texts[(texts.index(text) + step) % len(texts)]}", label


def choices_config(labels: Sequence[str], multiple: bool = False) -> str:
    """A label config with one Choices control `label` over the Text `text`."""
    options = "".join(f"<Choice value={quoteattr(label)}/>" for label in labels)
    choice = "multiple" if multiple else "single"
    choices = f'<Choices name="label" toName="text" choice="{choice}">{options}</Choices>'
    return f'<View><Text name="text" value="$text"/>{choices}</View>'


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def name_of(words: Sequence[str]) -> str:
    """`web` of `python -m backend web ...`, `training` of `python -m model.training`, `redis` of its server."""
    if "backend" in words:
        return words[words.index("backend") + 1]
    return "training" if "model.training" in words else "redis" if "redis" in words[0] else Path(words[0]).name


class Project:
    """One Label Studio project as the backend sees it: builds the payloads Label Studio sends."""

    def __init__(self, rig: Rig, number: int, labels: Sequence[str], config: str | None = None) -> None:
        self.rig = rig
        self.number = number
        self.labels = list(labels)
        self.config = config or choices_config(labels)
        self._ids = itertools.count(number * 1_000_000 + 1)

    @classmethod
    def of_sample(cls, rig: Rig, number: int) -> Project:
        """One of the sample's labels."""
        return cls(rig, number, sorted({label for _, label in cls.sample()}))

    @classmethod
    def sample(cls) -> list[tuple[str, Any]]:
        """The rows that it is about."""
        return list(read_rows())

    @classmethod
    def stream(cls) -> Iterator[tuple[str, Any]]:
        """Them, and more of their kind without end."""
        return endless_rows(read_rows())

    @classmethod
    def learned(cls, rig: Rig, number: int, count: int, stream: Iterator[tuple[str, Any]]) -> Project:
        """One of the sample's labels that has learned the next `count` rows of `stream`."""
        project = cls.of_sample(rig, number)
        project.setup()
        project.annotate_many(list(itertools.islice(stream, count)))
        project.settle()
        return project

    def setup(self) -> str:
        """POST /setup; the model version it reports."""
        body = {
            "project": f"{self.number}.1795455205",
            "schema": self.config,
            "hostname": "",
            "access_token": "",
            "extra_params": None,
        }
        return str(self.rig.post("/setup", body)["model_version"])

    def predict(self, texts: Sequence[str], session: requests.Session | None = None) -> list[Any]:
        """POST /predict; its `results`."""
        tasks = [{"id": index + 1, "data": {"text": text}} for index, text in enumerate(texts)]
        body = {
            "tasks": tasks,
            "project": f"{self.number}.1795455205",
            "label_config": self.config,
            "params": {"login": None, "password": None, "context": None},
        }
        return list(self.rig.post("/predict", body, session=session)["results"])

    def annotation(
        self, text: str, label: Any, *, task: int | None = None, annotation: int | None = None
    ) -> dict[str, Any]:
        """One `{annotation, task}` pair, stamped now."""
        number = next(self._ids) if annotation is None else annotation
        now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        return {
            "annotation": {
                "id": number,
                "result": self.result_of(text, label),
                "was_cancelled": False,
                "ground_truth": False,
                "created_at": now,
                "updated_at": now,
                "task": task or number,
                "project": self.number,
                "completed_by": 1,
            },
            "task": {"id": task or number, "data": {"text": text}, "project": self.number},
        }

    def result_of(self, text: str, label: Any) -> list[dict[str, Any]]:
        """What an annotator who gives this label submits."""
        return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]

    def event(self, action: str, **fields: Any) -> dict[str, Any]:
        """A webhook body for this project."""
        return {"action": action, "project": {"id": self.number, "label_config": self.config}, **fields}

    def annotate(self, text: str, label: Any) -> int:
        """Send ANNOTATION_CREATED; the annotation id that the backend acknowledged."""
        pair = self.annotation(text, label)
        self.rig.webhook(self.event("ANNOTATION_CREATED", **pair))
        return int(pair["annotation"]["id"])

    def annotate_many(self, rows: Sequence[tuple[str, Any]]) -> list[int]:
        """Send one ANNOTATIONS_CREATED with all rows."""
        pairs = [self.annotation(text, label) for text, label in rows]
        body = self.event(
            "ANNOTATIONS_CREATED",
            annotation=[p["annotation"] for p in pairs],
            task=[p["task"] for p in pairs],
        )
        self.rig.webhook(body)
        return [int(pair["annotation"]["id"]) for pair in pairs]

    def settle(self, quiet: float = 2.0, timeout: float = 120.0) -> str:
        """Wait until all labels are learned and the version has not changed for `quiet` seconds; that version."""
        version, since, deadline = self.setup(), time.monotonic(), time.monotonic() + timeout
        while time.monotonic() - since < quiet and time.monotonic() < deadline:
            time.sleep(0.1)
            now = self.setup()
            if now != version or self.rig.admin("GET", f"/projects/{self.number}")["pending"]:
                version, since = now, time.monotonic()
        return version


class Rig:
    """`understudy up` as a subprocess. Use as a context manager; stops everything on exit. `timed`: this machine's
    timing of its encoder is lent to it, instead of a first start that times."""

    def __init__(
        self, data_dir: Path | None = None, port: int | None = None, *, timed: bool = False, **environment: str
    ) -> None:
        self._scratch = None if data_dir else tempfile.TemporaryDirectory(prefix="us-")
        self.data_dir = data_dir or Path(self._scratch.name) / "d"  # type: ignore[union-attr]
        self.log = self.data_dir / "up.log"
        self.port = port or free_port()
        self.timed = timed
        self.url = f"http://127.0.0.1:{self.port}"
        self.secret = "bench-webhook-secret"
        self.admin_token = "bench-admin-token"
        self._environment = {
            "WEBHOOK_SECRET": self.secret,
            "ADMIN_TOKEN": self.admin_token,
            "FINETUNE_ENABLED": "false",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._session = threading.local()

    def __enter__(self) -> Rig:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._scratch:
            self._scratch.cleanup()

    def start(self, timeout: float = 120.0) -> float:
        """Start and wait for /ready; seconds from exec to ready."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self.timed:
            lend_timing(self.data_dir, self._environment.get("BASE_MODEL", ""))
        command = [
            sys.executable,
            "-m",
            "backend",
            "up",
            "--port",
            str(self.port),
            "--data-dir",
            str(self.data_dir),
        ]
        began = time.monotonic()
        with self.log.open("ab") as log:
            process = self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **self._environment}, stdout=log, stderr=subprocess.STDOUT
            )
        # Who stops it meanwhile forgets the process, which has ended all the same.
        while time.monotonic() - began < timeout and process.poll() is None:
            if self.is_ready():
                return time.monotonic() - began
            time.sleep(0.1)
        raise RuntimeError(f"`understudy up` is not ready after {timeout:.0f} s:\n{self.log_tail()}")

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a command that speaks to this product."""
        return {**self._environment, "PORT": str(self.port), "DATA_DIR": str(self.data_dir)}

    def is_ready(self) -> bool:
        """Whether /ready says yes."""
        try:
            return requests.get(f"{self.url}/ready", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def log_tail(self) -> str:
        """The end of what `up` printed."""
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self, timeout: float = 60.0) -> None:
        """SIGTERM and wait."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process = None

    def session(self) -> requests.Session:
        """One keep-alive session a thread."""
        if not hasattr(self._session, "value"):
            self._session.value = requests.Session()
        return self._session.value

    def post(self, path: str, body: Any, *, session: requests.Session | None = None, **options: Any) -> dict[str, Any]:
        """POST JSON; the JSON reply. Raises requests.HTTPError on 4xx and 5xx."""
        reply = (session or self.session()).post(f"{self.url}{path}", json=body, timeout=120, **options)
        reply.raise_for_status()
        return dict(reply.json())

    def webhook(self, body: Any) -> dict[str, Any]:
        """POST /webhook with the secret, as Label Studio does after `understudy connect`."""
        return self.post("/webhook", body, headers={"X-Webhook-Secret": self.secret})

    def admin(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Call the admin API; the JSON reply."""
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        reply = requests.request(method, f"{self.url}/admin{path}", json=body, headers=headers, timeout=60)
        if not reply.ok:
            raise requests.HTTPError(f"{path}: {reply.status_code} {reply.text}", response=reply)
        return dict(reply.json())

    def metric(self, name: str) -> float:
        """A value of /metrics that has no labels."""
        lines = requests.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds so far of the running processes, by name: web, learner, trainer, training, redis, ..."""
        seconds: dict[str, float] = {}
        for process in psutil.Process(self.process.pid).children(recursive=True) if self.process else ():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times, name = process.cpu_times(), name_of(process.cmdline())
                seconds[name] = seconds.get(name, 0.0) + times.user + times.system
        return seconds

    def memory_mb(self) -> dict[str, int]:
        """Resident megabytes of the running processes, by name."""
        found: dict[str, int] = {}
        for process in psutil.Process(self.process.pid).children(recursive=True) if self.process else ():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                name = name_of(process.cmdline())
                found[name] = found.get(name, 0) + process.memory_info().rss // 2**20
        return found

    def touch(self, project: int, version: str) -> None:
        """Make a version's files look new, so that their digests are computed again."""
        for path in (self.data_dir / "models" / str(project) / version).iterdir():
            path.touch()

    def wait_job(self, job: str, timeout: float = 600.0) -> dict[str, Any]:
        """Poll /admin/jobs/<job> until it ended; the last record."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            record = self.admin("GET", f"/jobs/{job}")
            record = record.get("job", record) if isinstance(record.get("job"), dict) else record
            if record["status"] in ("done", "rejected", "failed", "cancelled"):
                return record
            time.sleep(0.2)
        raise TimeoutError(f"job {job} has not ended after {timeout:.0f} s")
