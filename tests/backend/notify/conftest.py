"""Stores whose facts are told to webhooks, and the courier that delivers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from backend.notify.courier import Courier
from backend.settings.settings import Settings
from backend.store.outbox.outbox import EndpointState
from backend.store.stores import Stores
from tests.support.hook_receiver import SECRET

NOBODY = "http://127.0.0.1:9/hooks"


class Post:
    """Stores whose facts are told to `urls`, and the courier."""

    def __init__(self, settings: Settings, *urls: str, secret: str = SECRET) -> None:
        given = {"notify_url": ",".join(urls), "notify_secret": SecretStr(secret)}
        self.settings = settings.model_copy(update=given)
        self.stores = Stores(self.settings)
        self.outbox = self.stores.outbox
        self.courier = Courier(self.settings, self.outbox)

    def make_due(self, place: int = 0) -> None:
        """As if its wait were over."""
        due = self.outbox.endpoints[place].keys[0]
        for id in self.stores.client.zrange(due, 0, -1):
            self.stores.client.zadd(due, {id: 0})

    def set_clock_back(self, seconds: float) -> None:
        """What that does to what waits, as Redis sees it."""
        due = self.outbox.endpoints[0].keys[0]
        for id in self.stores.client.zrange(due, 0, -1):
            self.stores.client.zincrby(due, seconds * 1000, id)

    def state(self, place: int = 0) -> EndpointState:
        return self.outbox.state(self.outbox.endpoints[place])


@pytest.fixture
def post(settings: Settings) -> Iterator[Callable[..., Post]]:
    made: list[Post] = []

    def make(*urls: str, **given: Any) -> Post:
        made.append(Post(settings, *urls, **given))
        return made[-1]

    yield make
    for one in made:
        one.stores.close()
