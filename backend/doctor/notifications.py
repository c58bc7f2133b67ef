"""Whom this machine tells or asks of its own accord: the endpoints of NOTIFY_URL, and the teacher at TEACHER_URL.

Whether they can be reached, what they answered last, what waits. Sends nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from backend.addresses.host import is_loopback, port_of
from backend.doctor.verdict import Verdict, fail, ok, warn
from backend.errors import SettingsError
from backend.notify.report import TEST_COMMAND, describe_state, find_trouble
from backend.outbound.proxies import proxy_for
from backend.settings.settings import Settings
from backend.store.outbox.outbox import OutboxStore

REACH_SECONDS = 3.0


def check_notifications(outbox: OutboxStore) -> Iterator[Verdict]:
    """Nothing where NOTIFY_URL is not set. Raises StoreUnavailable."""
    for endpoint in outbox.endpoints:
        state, now = outbox.state(endpoint), time.time()
        name, seen = f"notifications: {endpoint.name}", describe_state(state, now)
        if state.gone:
            yield fail(name, seen, f"set NOTIFY_URL to where events go now, or when it is back {TEST_COMMAND}")
        elif unreached := _reach(endpoint.url):
            yield fail(name, f"{unreached}; {seen}", "check NOTIFY_URL, the way there, https_proxy and no_proxy")
        elif find_trouble(state, now):
            yield warn(name, seen, f"see what the receiver says; {TEST_COMMAND} shows what it answers now")
        else:
            yield ok(name, seen if state.at else f"can be reached; nothing was sent yet ({TEST_COMMAND})")


def check_teacher(settings: Settings) -> Iterator[Verdict]:
    """Nothing where TEACHER_URL is not set."""
    if not settings.teacher_url:
        return
    parts = urlsplit(settings.teacher_url)
    name = f"teacher: {parts.netloc}"
    leaves = (
        f"`understudy teach PROJECT` sends it up to {settings.teacher_texts} texts and the labels, nothing else does"
    )
    if not settings.teacher_model:
        yield fail(name, "TEACHER_MODEL is not set", "name the model that is to be asked")
    elif unreached := _reach(settings.teacher_url):
        yield fail(name, unreached, "check TEACHER_URL, the way there, https_proxy and no_proxy")
    elif parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield warn(
            name, f"{leaves}; they and TEACHER_KEY go there unencrypted", "use https:// where the way is not yours"
        )
    else:
        yield ok(name, f"can be reached; {leaves}")


def _reach(url: str) -> str:
    """Why no connection comes about, "" when one does."""
    try:
        proxy = proxy_for(url)
    except SettingsError as error:
        return error.message
    parts = urlsplit(proxy.url if proxy else url)
    try:
        socket.create_connection((parts.hostname or "", port_of(parts)), REACH_SECONDS).close()
    except OSError as error:
        way = f"the proxy {proxy.shown}" if proxy else "it"
        return f"{way} cannot be reached: {error.strerror or error}"
    return ""
