"""Delivers what waits in the outbox, in a thread of the scheduler for each endpoint: no one keeps another waiting."""

from __future__ import annotations

import logging
import random
import threading
import time

from backend.errors import StoreUnavailable
from backend.labelstudio.rest.circuit_breaker import Breaker
from backend.notify.sender import Answer, send
from backend.settings.settings import Settings
from backend.store.outbox.endpoint import Endpoint
from backend.store.outbox.outbox import Claimed, OutboxStore
from model.failpoints import failpoint

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Between two looks into the outbox."""

LEAVE_SECONDS = 5.0
"""That the scheduler waits for an attempt when it ends; one that is cut off is made again."""

BATCH = 20
"""Events of one endpoint between two looks."""

WAITS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 28_800.0)
"""Seconds after each attempt that came to nothing: 22 hours, then the event is given up."""

PATIENT = 3
"""Where the waits begin after a refusal: somebody must mend something."""

JITTER = 0.2
"""Share by which a wait is longer or shorter, so that not all come at once."""


class Courier:
    """`start` it; `leave` when the process ends."""

    def __init__(self, settings: Settings, outbox: OutboxStore) -> None:
        self._settings, self._outbox = settings, outbox
        self._breakers = {endpoint: Breaker() for endpoint in outbox.endpoints}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=own, name=f"courier {place}", daemon=True)
            for place, own in enumerate(self._breakers.items(), 1)
        ]

    def start(self) -> None:
        """Nothing is started where nobody is told anything."""
        for thread in self._threads:
            thread.start()

    def leave(self) -> None:
        """Finish what is under way."""
        self._stop.set()
        over = time.monotonic() + LEAVE_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, over - time.monotonic()))

    def deliver_due(self) -> int:
        """Attempts that were made now. Raises StoreUnavailable."""
        return sum(self._deliver_to(endpoint, breaker) for endpoint, breaker in self._breakers.items())

    def _run(self, endpoint: Endpoint, breaker: Breaker) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self._deliver_to(endpoint, breaker)
            except StoreUnavailable as error:
                log.debug("courier waits: %s", error.message)
            except Exception:  # the next look may do better, and nobody else would begin this thread again
                log.exception("courier")

    def _deliver_to(self, endpoint: Endpoint, breaker: Breaker) -> int:
        for attempts in range(BATCH):
            if self._stop.is_set() or breaker.wait() > 0:
                return attempts
            claimed = self._outbox.claim(endpoint)
            if claimed is None:
                return attempts
            failpoint("notify.before")
            answer = send(self._settings, endpoint.url, claimed.id, claimed.body)
            failpoint("notify.after")
            breaker.note(answered=answer.status is not None)
            self._note(endpoint, claimed, answer)
        return BATCH

    def _note(self, endpoint: Endpoint, claimed: Claimed, answer: Answer) -> None:
        if answer.is_taken and answer.status is not None:
            self._outbox.note_delivered(endpoint, claimed, answer.status)
            return
        if answer.is_gone:
            self._outbox.note_failed(endpoint, claimed, None, answer.status, answer.said)
            self._outbox.close(endpoint)
            log.error("notifications: %s is gone (410): nothing is sent there any more", endpoint.name)
            return
        wait = wait_after(claimed.tries, answer)
        self._outbox.note_failed(endpoint, claimed, wait, answer.status, answer.said)
        again = "given up" if wait is None else f"again in {wait:.0f} s"
        log.warning("notifications: %s did not take %s, %s: %s", endpoint.name, claimed.id, again, answer.said)


def wait_after(tries: int, answer: Answer) -> float | None:
    """Seconds until the next attempt at an event that `tries` were made of; None when it is given up."""
    place = tries - 1 + (PATIENT if answer.is_refusal else 0)
    if place >= len(WAITS):
        return None
    spread = random.uniform(1 - JITTER, 1 + JITTER)
    return max(WAITS[place] * spread, answer.pause)
