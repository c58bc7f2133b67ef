"""The endpoints of NOTIFY_URL: whether they can be reached, what they answered last, what waits. Sends nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from backend.addresses.host import port_of
from backend.doctor.verdict import Verdict, fail, ok, warn
from backend.errors import SettingsError
from backend.notify.report import TEST_COMMAND, describe_state, find_trouble
from backend.outbound.proxies import proxy_for
from backend.store.outbox.endpoint import Endpoint
from backend.store.outbox.outbox import OutboxStore

REACH_SECONDS = 3.0


def check_notifications(outbox: OutboxStore) -> Iterator[Verdict]:
    """Nothing where NOTIFY_URL is not set. Raises StoreUnavailable."""
    for endpoint in outbox.endpoints:
        state, now = outbox.state(endpoint), time.time()
        name, seen = f"notifications: {endpoint.name}", describe_state(state, now)
        if state.gone:
            yield fail(name, seen, f"set NOTIFY_URL to where events go now, or when it is back {TEST_COMMAND}")
        elif unreached := _reach(endpoint):
            yield fail(name, f"{unreached}; {seen}", "check NOTIFY_URL, the way there, https_proxy and no_proxy")
        elif find_trouble(state, now):
            yield warn(name, seen, f"see what the receiver says; {TEST_COMMAND} shows what it answers now")
        else:
            yield ok(name, seen if state.at else f"can be reached; nothing was sent yet ({TEST_COMMAND})")


def _reach(endpoint: Endpoint) -> str:
    """Why no connection comes about, "" when one does."""
    try:
        proxy = proxy_for(endpoint.url)
    except SettingsError as error:
        return error.message
    parts = urlsplit(proxy.url if proxy else endpoint.url)
    try:
        socket.create_connection((parts.hostname or "", port_of(parts)), REACH_SECONDS).close()
    except OSError as error:
        way = f"the proxy {proxy.shown}" if proxy else "it"
        return f"{way} cannot be reached: {error.strerror or error}"
    return ""
