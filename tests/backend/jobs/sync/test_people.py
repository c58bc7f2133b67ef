"""What annotators are called is asked of Label Studio now and then, kept while it is wanted, and needed by nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from backend.jobs.sync.people import fetch_people
from backend.labelstudio.rest.client import LabelStudioClient
from tests.conftest import serving
from tests.support.studio import TOKEN, Studio

ADA = {"id": 3, "first_name": "Ada", "last_name": "Lovelace", "username": "ada", "email": "ada@example.org"}
BOB = {"id": 5, "first_name": "", "last_name": "", "username": "bob", "email": "bob@example.org"}
CAT = {"id": 6, "first_name": " ", "last_name": None, "username": "cat@example.org", "email": "cat@example.org"}
DAN = {"id": 7, "first_name": "", "last_name": "", "username": "", "email": "dan@example.org"}
NOBODY = {"id": 8, "first_name": "", "last_name": "", "username": "", "email": ""}


class Users(Studio):
    """With its users."""

    users: tuple[dict[str, Any], ...] = (ADA, BOB, CAT, DAN, NOBODY)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        status = self.refuse.get((method, path))
        return (200, self.users) if path == "/api/users/" and not status else super().answer(method, path, query, body)


@pytest.fixture
def studio() -> Iterator[Users]:
    with serving(Users({})) as server:
        yield server


@pytest.fixture
def fetch(studio: Users, stores: Any) -> Any:
    def call(**settings: Any) -> dict[int, str]:
        given = stores.settings.model_copy(update=settings)
        with LabelStudioClient(studio.url, TOKEN, attempts=1) as client:
            fetch_people(given, stores, client)
        return dict(stores.people.names())

    return call


def test_names_are_kept_and_no_addresses(fetch: Any, stores: Any) -> None:
    assert fetch() == {3: "Ada Lovelace", 5: "bob", 6: "cat", 7: "dan"}
    assert "example.org" not in str(stores.client.hgetall("understudy:people"))


def test_it_is_asked_once_in_a_while_and_what_is_gone_there_is_gone_here(
    fetch: Any, stores: Any, studio: Users
) -> None:
    fetch()
    studio.users = (BOB,)
    assert 3 in fetch(), "asked a moment ago"
    assert studio.seen["GET", "/api/users/"] == 1
    stores.people.forget()
    assert fetch() == {5: "bob"}


def test_where_people_are_hidden_no_name_is_kept(fetch: Any, studio: Users) -> None:
    assert fetch()
    assert fetch(ui_people=False) == {}
    assert studio.seen["GET", "/api/users/"] == 1


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_label_studio_that_does_not_tell_leaves_numbers(
    fetch: Any, studio: Users, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    studio.refuse["GET", "/api/users/"] = status
    with caplog.at_level(logging.INFO):
        assert fetch() == {}
    assert f"does not tell them ({status})" in caplog.text


def test_no_name_is_logged(fetch: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert fetch()
    assert "Ada" not in caplog.text and "Lovelace" not in caplog.text
