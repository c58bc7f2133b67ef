"""What `understudy up` says on the terminal: progress until the models serve, the URL, what is off, and what dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from backend.client.admin import local_url
from backend.embedded_redis.server import answers
from backend.outbound.clients import open_session
from backend.rules.disabled_features import switched_off
from backend.screen import say
from backend.settings.settings import Settings
from backend.supervision.restarts import EXITED, last_line

STOPPING_MESSAGE = "indicating exit request"


def run_console(settings: Settings, after_ready: Callable[[], None] | None = None) -> None:
    """Tells the user about the start, then about every process that dies, until the supervisor stops.

    `after_ready` runs once the models serve (the demo makes its project there).
    """
    try:
        _tell(settings, after_ready)
    except KeyboardInterrupt:  # the terminal sends Ctrl-C to the supervisor and to this process
        say("Stopping.")


def _tell(settings: Settings, after_ready: Callable[[], None] | None) -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # through a pipe, lines must not wait
    watch = Watch(settings.data_dir.absolute() / "logs")
    say(f"understudy at {settings.url}, data in {settings.data_dir.absolute()}, logs in {watch.logs}")
    began = time.monotonic()
    if not _wait_until_ready(settings, watch, began):
        return
    say(f"Models serve after {time.monotonic() - began:.1f} s.\n\n{greeting(settings)}\n", keep="\n")
    if after_ready is not None:
        after_ready()
    say("Ctrl-C stops everything.")
    while watch.running():
        for line in watch.news():
            say(line)
        time.sleep(0.5)


def greeting(settings: Settings) -> str:
    """The URL to give Label Studio, how to connect, and what is switched off and why."""
    lines = [
        f"Model page: {settings.url}/ui",
        f"Give Label Studio this URL: {settings.url}",
        "Connect a project:          understudy connect --project ID",
    ]
    if off := switched_off(settings):
        lines += ["", "Switched off:", *(f"  - {what}: {why}" for what, why in off.items())]
    return "\n".join(lines)


@dataclass
class Watch:
    """Follows supervisord's log: what died, and whether everything is being stopped."""

    logs: Path
    stopping: bool = False
    _read: int = 0
    _parent: int = 0

    def __post_init__(self) -> None:
        path = self.logs / "supervisord.log"
        self._read = path.stat().st_size if path.exists() else 0
        self._parent = os.getppid()

    def running(self) -> bool:
        """False once the supervisor is going or gone."""
        return not self.stopping and os.getppid() == self._parent

    def news(self) -> Iterator[str]:
        """A sentence for every child that died since the last call."""
        for line in self._new_lines():
            if STOPPING_MESSAGE in line:
                self.stopping = True
                yield "Stopping."
                return
            if match := EXITED.search(line):
                log = self.logs / f"{match['name']}.log"
                yield f"{match['name']} ended ({match['how']}) and is started again. {last_line(log)}; see {log}"

    def _new_lines(self) -> list[str]:
        path = self.logs / "supervisord.log"
        if not path.exists():
            return []
        if path.stat().st_size < self._read:  # rotated
            self._read = 0
        with path.open("rb") as file:
            file.seek(self._read)
            complete, _, _ = file.read().rpartition(b"\n")
        self._read += len(complete) + 1 if complete else 0
        return complete.decode("utf-8", "replace").splitlines()


def _wait_until_ready(settings: Settings, watch: Watch, began: float) -> bool:
    """Prints each state once, since some take turns; False when the supervisor stopped first."""
    shown = set[str]()
    while watch.running():
        for line in watch.news():
            say(line)
        state = current_state(settings)
        if not state:
            return True
        if state not in shown:
            say(f"{time.monotonic() - began:6.1f} s  {state}")
            shown.add(state)
        time.sleep(0.1)
    return False


def current_state(settings: Settings) -> str:
    """What is being waited for, in words; "" when models serve."""
    if not settings.redis_url and not answers(settings.redis_socket):
        return "starting Redis"
    try:
        with open_session(settings, local_url(settings)) as session:
            reply = session.get(f"{local_url(settings)}/ready", timeout=5)
    except requests.Timeout:
        return "waiting for the web process, which does not answer yet"
    except requests.RequestException:
        return "starting the web process"
    if reply.ok:
        return ""
    return f"loading: {_reason(reply)}"


def _reason(reply: requests.Response) -> str:
    try:
        body = reply.json()
    except ValueError:
        body = None
    reason = body.get("reason") or body.get("message") if isinstance(body, dict) else None
    return str(reason or f"the web process answers {reply.status_code}")
