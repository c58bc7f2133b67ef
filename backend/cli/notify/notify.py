"""`understudy notify`: what was delivered, what waits, and a test event, sent from here."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from backend.errors import SettingsError, StoreUnavailable
from backend.screen import say, say_json
from backend.settings.settings import current_settings

if TYPE_CHECKING:
    from backend.settings.settings import Settings
    from backend.store.outbox.outbox import OutboxStore


@click.command()
@click.option("--test", "is_test", is_flag=True, help="Send a test event to each endpoint now, and show the answers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def notify(is_test: bool, as_json: bool) -> None:
    """Show how the endpoints of NOTIFY_URL fare: what was delivered, what waits, the last answer.

    A test that is taken also opens an endpoint again that was gone (410). Exit status: 1 when a test is not taken."""
    from backend.store.stores import Stores

    settings = current_settings()
    stores = Stores(settings)
    if not stores.outbox.endpoints:
        if is_test:
            raise SettingsError(
                "NOTIFY_URL is not set: there is nobody to tell (docs/notifications.md)", setting="NOTIFY_URL"
            )
        say_json([]) if as_json else say("NOTIFY_URL is not set: nobody is told anything (docs/notifications.md).")
        return
    if is_test:
        raise SystemExit(0 if _test(settings, stores.outbox, as_json) else 1)
    _show(stores.outbox, as_json)


def _show(outbox: OutboxStore, as_json: bool) -> None:
    from backend.notify.report import describe_state

    states = [(endpoint.name, outbox.state(endpoint)) for endpoint in outbox.endpoints]
    if as_json:
        say_json([{"endpoint": name, **asdict(state)} for name, state in states])
        return
    for name, state in states:
        say(f"{name}: {describe_state(state, time.time())}")


def _test(settings: Settings, outbox: OutboxStore, as_json: bool) -> bool:
    """Whether all have taken it."""
    from backend.notify.sender import send
    from backend.store.outbox.event import trial

    event, found = trial(), []
    for endpoint in outbox.endpoints:
        began = time.monotonic()
        answer = send(settings, endpoint.url, event.id, event.body)
        seconds = round(time.monotonic() - began, 2)
        with suppress(StoreUnavailable):  # the answer counts
            outbox.note_tested(endpoint, answer.status, answer.said)
        said = answer.said or f"taken ({answer.status})"
        found.append({"endpoint": endpoint.name, "taken": answer.is_taken, "seconds": seconds, "said": said})
        if not as_json:
            say(f"{endpoint.name}: {said}, {seconds} s")
    if as_json:
        say_json(found)
    return all(entry["taken"] for entry in found)
