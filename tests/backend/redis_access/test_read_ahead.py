"""What a reader asked for last time is asked for in one go, each value once; whatever it asks for it gets the truth."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from backend.errors import StoreUnavailable
from backend.redis_access.connection import connect
from backend.redis_access.read_ahead import COMMANDS_KEPT, LARGE_REPLY, READERS_KEPT, ReadAhead


class Counting(ReadAhead):
    """Counts what is sent: single commands, and pipelines with their sizes."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, self.note)
        self.pauses, self.sizes = 0, list[int]()

    def note(self) -> None:
        self.pauses += 1

    def pipeline(self, *args: Any, **options: Any) -> Any:
        found = super().pipeline(*args, **options)
        execute = found.execute

        def count(*given: Any, **more: Any) -> Any:
            self.sizes.append(len(found))
            return execute(*given, **more)

        found.execute = count
        return found


@pytest.fixture
def client(stores: Any) -> Iterator[Counting]:
    plain = connect(stores.settings)
    plain.mset({"a": "1", "b": "2"})
    plain.hset("h", mapping={"x": "1", "y": "2"})
    plain.rpush("l", *"abc")
    yield Counting(plain)
    plain.close()


def look(client: Any) -> tuple[Any, ...]:
    return client.get("a"), client.get("b"), client.hgetall("h"), client.lrange("l", 0, -1), client.hmget("h", "x", "z")


TRUTH = ("1", "2", {"x": "1", "y": "2"}, ["a", "b", "c"], ["1", None])


def test_the_second_reading_is_one_round_trip(client: Counting) -> None:
    with client.reading("page"):
        assert look(client) == TRUTH
    assert (client.pauses, client.sizes) == (5, [])
    with client.reading("page"):
        assert look(client) == TRUTH
    assert (client.pauses, client.sizes) == (6, [5])


def test_a_value_is_read_once_amid_a_reading_and_anew_in_the_next(client: Counting) -> None:
    with client.reading("page"):
        first = client.hgetall("h")
        first["x"] = "changed by whoever has it"
        client.set("a", "3")
        assert client.hgetall("h") == {"x": "1", "y": "2"}
        assert client.get("a") == "3"
        client.set("a", "4")
        assert client.get("a") == "3", "of one moment"
    with client.reading("page"):
        assert client.get("a") == "4"
    assert client.get("a") == "4"


def test_what_is_asked_for_no_more_is_not_asked_for_ahead(client: Counting) -> None:
    with client.reading("page"):
        look(client)
    for _ in range(2):
        with client.reading("page"):
            assert client.get("a") == "1"
    assert client.sizes == [5, 1]
    with client.reading("another"):
        assert client.get("a") == "1"
    assert client.sizes == [5, 1]


def test_an_error_is_that_of_the_command_which_it_belongs_to(client: Counting) -> None:
    for _ in range(2):
        with client.reading("page"):
            assert client.get("a") == "1"
            with pytest.raises(Exception, match="WRONGTYPE"):
                client.llen("h")
    client.delete("h")
    with client.reading("page"):
        assert client.llen("h") == 0


def test_large_replies_and_long_lists_of_commands_are_not_asked_for_ahead(client: Counting) -> None:
    client.rpush("long", *range(LARGE_REPLY))
    with client.reading("page"):
        client.lrange("long", 0, -1)
        for number in range(2 * COMMANDS_KEPT):
            client.get(f"key {number}")
    with client.reading("page"):
        pass
    assert client.sizes == [COMMANDS_KEPT]
    for number in range(2 * READERS_KEPT):
        with client.reading(number):
            client.get("a")
    assert len(client._known) == READERS_KEPT


def test_threads_do_not_see_each_others_readings(client: Counting) -> None:
    seen: list[str] = []
    with client.reading("page"):
        client.get("a")
        client.set("a", "5")
        other = threading.Thread(target=lambda: seen.append(client.get("a")))
        other.start()
        other.join()
        assert client.get("a") == "1"
    assert seen == ["5"]


def test_a_redis_that_is_away_is_said_to_be(own_redis: Any) -> None:
    from backend.store.stores import Stores

    stores = Stores(own_redis.settings)
    ahead = ReadAhead(stores.client)
    reading = Stores(own_redis.settings, client=ahead)
    with ahead.reading("page"):
        assert not reading.projects.knows(7)
    own_redis.stop()
    with pytest.raises(StoreUnavailable), ahead.reading("page"):
        pass
    with pytest.raises(StoreUnavailable):
        reading.projects.knows(7)
    stores.close()
