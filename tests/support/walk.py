"""Which modules one text and one label enter: how much a reader has to open who follows them. Prints both lists.

`python -m tests.support.walk [--json]`: the real web application answers, the real worker refits and the real registry
swaps, on the embedded Redis and the default encoder, all in one process, with every thread watched. A module counts
when one of its functions ran between the request and the answer, or the moment of the swap. Not counted: starts and
first imports (one label and one text go ahead), the socket in front of the application, and the web process's
background thread, which works after the answer.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.support.rig import ROOT, choices_config

PROJECT = 7
LABELS = ("complaint", "praise")
BEFORE = 24
"""Labels that the project has learned before one is followed: it has a model, and choices that a refit repeats."""

SWAP_SECONDS = 60.0
AFTERWARDS = "background"
"""The thread of the web process that works when the answer is out."""


@dataclass
class Recorder:
    """Notes the modules of ours in which a function was entered, while `on`, in every thread begun after `install`."""

    on: bool = False
    entered: dict[str, set[str]] = field(default_factory=dict)
    """Module -> its functions that were entered."""
    stop_at: CodeType | None = None
    """A thread that has returned from this function is not followed any further."""
    _names: dict[CodeType, str | None] = field(default_factory=dict)
    _over: set[int] = field(default_factory=set)

    def install(self) -> None:
        """From now on, in this thread and those to come."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def remove(self) -> None:
        """Threads that run keep their hook, which is off."""
        self.on = False
        threading.setprofile(None)
        sys.setprofile(None)

    @contextmanager
    def recording(self, stop_at: CodeType | None = None) -> Iterator[dict[str, set[str]]]:
        """What is entered within."""
        self.entered, self.stop_at, self._over, self.on = {}, stop_at, set(), True
        try:
            yield self.entered
        finally:
            self.on = False

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self.on or event not in ("call", "return"):
            return
        thread = threading.get_ident()
        if thread in self._over:
            return
        if event == "return":
            if frame.f_code is self.stop_at:
                self._over.add(thread)
            return
        name = self._name_of(frame.f_code)
        if name and threading.current_thread().name != AFTERWARDS:
            self.entered.setdefault(name, set()).add(frame.f_code.co_name)

    def _name_of(self, code: CodeType) -> str | None:
        """`backend/web/guard.py`; None for what is not ours, and for a module's or a class's own body."""
        if code not in self._names:
            path = Path(code.co_filename)
            inside = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ("backend", "model")
            counts = inside and bool(code.co_flags & inspect.CO_OPTIMIZED)  # not the body of a module or of a class
            self._names[code] = path.relative_to(ROOT).as_posix() if counts else None
        return self._names[code]


class Walk:
    """A project of two labels in the web application `client`, whose refits `worker` runs in this thread."""

    def __init__(self, recorder: Recorder, client: Any, services: Any, worker: Any) -> None:
        self.recorder, self.client, self.services, self.worker = recorder, client, services, worker
        self.config = choices_config(LABELS)

    def prepare(self) -> None:
        """Labels to begin with, learned and live; and one text answered."""
        for number in range(1, BEFORE + 1):
            self._label(number)
        self._learn()
        self._ask("a text of before")

    def follow_text(self) -> dict[str, set[str]]:
        """Module -> functions that one new text enters, from the request to the answer."""
        with self.recorder.recording() as entered:
            reply = self._ask("where is my parcel, it should have been here a week ago")
        assert reply["results"][0], reply
        return entered

    def follow_label(self) -> dict[str, set[str]]:
        """Module -> functions that one label enters, from the request until the new version answers. The learner is
        followed until it has published: what it does afterwards is not on the way."""
        from backend.store.versions import VersionStore

        publish = getattr(VersionStore.publish, "__wrapped__", VersionStore.publish)
        with self.recorder.recording(stop_at=publish.__code__) as entered:
            self._label(BEFORE + 1)
            self._learn()
        return entered

    def _label(self, number: int) -> None:
        label = LABELS[number % 2]
        text = f"{'the parcel is late again' if number % 2 else 'thank you, very quick'}, number {number}"
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
        stamp = f"2026-01-01T00:{number:02d}:00Z"
        pair = {
            "annotation": {"id": number, "task": number, "result": result, "updated_at": stamp},
            "task": {"id": number, "data": {"text": text}},
        }
        project = {"id": PROJECT, "label_config": self.config}
        reply = self.client.post(
            "/webhook",
            json={"action": "ANNOTATION_CREATED", "project": project, **pair},
            headers={"X-Webhook-Secret": self.services.webhook_secret},
        )
        assert reply.get_json()["outcomes"] == {"stored": 1}, reply.text

    def _learn(self) -> None:
        """Runs what is queued, and returns when the web process answers with what was published."""
        before = self._version()
        self.worker.work(burst=True, with_scheduler=False, logging_level="WARNING")
        deadline = time.monotonic() + SWAP_SECONDS
        while self._version() in (before, "v0.0"):
            assert time.monotonic() < deadline, "nothing was swapped in"
            time.sleep(0.02)

    def _version(self) -> str:
        models = self.services.registry._models  # not by a method: this is not part of the way
        return models[PROJECT].version if PROJECT in models else "v0.0"

    def _ask(self, text: str) -> Any:
        tasks = [{"id": 900, "data": {"text": text}}]
        body = {"tasks": tasks, "project": f"{PROJECT}.1", "label_config": self.config}
        return self.client.post("/predict", json=body).get_json()


@contextmanager
def product(data_dir: Path) -> Iterator[Walk]:
    """The product in this process, on a scratch directory."""
    os.environ.update(DATA_DIR=str(data_dir), FINETUNE_ENABLED="false", LOG_LEVEL="WARNING")
    from backend.application.services import build_services
    from backend.embedded_redis.server import redis_at_hand
    from backend.jobs.context import context
    from backend.routes.app import create_app
    from backend.settings.settings import current_settings
    from backend.workers.worker import build_worker

    current_settings.cache_clear()
    settings, recorder = current_settings(), Recorder()
    recorder.install()
    with redis_at_hand(settings):
        services = build_services(settings)
        context().encoders = services.registry.encoders  # a process opens its cache of features once
        try:
            while services.registry.not_ready:
                time.sleep(0.05)
            yield Walk(recorder, create_app(services).test_client(), services, build_worker(settings, "learn"))
        finally:
            recorder.remove()
            services.stop()


def main() -> None:
    """Prints both walks: the modules, one a line, with the functions that were entered."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object of two lists")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory(prefix="us-") as scratch, product(Path(scratch) / "d") as walk:
        walk.prepare()
        walks = {"text": walk.follow_text(), "label": walk.follow_label()}
    if as_json:
        print(json.dumps({name: sorted(entered) for name, entered in walks.items()}))
        return
    titles = {"text": "One text through /predict", "label": "One label from /webhook to the hot swap"}
    for name, entered in walks.items():
        print(f"\n{titles[name]}: {len(entered)} modules")
        for module in sorted(entered):
            print(f"  {module}: {', '.join(sorted(entered[module]))}")


if __name__ == "__main__":
    main()
