"""Pages that are open share what they are made of, and nothing of a session is in it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from backend.labelstudio.records import ExampleRecord
from backend.routes.app import create_app
from backend.ui.page import TABS
from tests.backend.routes.ui.conftest import TOKEN, log_in
from tests.backend.ui.views.conftest import linked  # noqa: F401

PATHS = ("/ui", "/ui/operations", *(f"/ui/projects/7/{tab.slug}" for tab in TABS))
PART = {"HX-Request": "true"}


@pytest.fixture
def app(linked: Any) -> Any:  # noqa: F811
    """With every button on its pages: two versions, of which one is pinned."""
    linked.stores.versions.pin(7, "v0.1")
    return create_app(linked)


def enter(app: Any) -> tuple[Any, str]:
    """A browser that is logged in, and the token of its session."""
    client = app.test_client()
    log_in(client)
    found = TOKEN.search(client.get("/ui").text)
    assert found
    return client, found[1]


def add_label(services: Any, number: int) -> None:
    record = ExampleRecord(number, number, {"text": "a b"}, {"label": [["a"]]}, "2026-11-29T10:00:00Z")
    services.stores.examples.upsert_many(7, [record])


@pytest.mark.parametrize("path", PATHS)
def test_two_sessions_get_the_same_part_and_no_token_is_in_it(app: Any, path: str) -> None:
    (mine, my_token), (theirs, their_token) = enter(app), enter(app)
    assert my_token != their_token
    for _ in range(20):  # the memory and the disk that are shown may change in between
        first, second = mine.get(path, headers=PART), theirs.get(path, headers=PART)
        if first.data == second.data:
            break
    assert first.data == second.data and first.headers["ETag"] == second.headers["ETag"]
    for token in (my_token, their_token):
        assert token not in first.text
    assert "csrf" not in first.text and "Set-Cookie" not in first.headers
    for client, own, other in ((mine, my_token, their_token), (theirs, their_token, my_token)):
        whole = client.get(path).text
        assert own in whole and other not in whole
        main = re.search(r"<main.*</main>", whole, re.DOTALL)
        assert main and own not in main[0]


def test_a_part_is_made_once_at_the_same_news_and_anew_with_other_news(app: Any, linked: Any) -> None:  # noqa: F811
    (mine, _), (theirs, _) = enter(app), enter(app)
    path = "/ui/projects/7/overview"
    mine.get(path, headers=PART)
    kept = app.extensions["understudy_fragments"]._kept
    (key,) = [key for key in kept if key.address.startswith(path)]
    kept[key] = b"<p>made once</p>"
    assert theirs.get(path, headers=PART).data == b"<p>made once</p>"
    assert b"made once" not in theirs.get(path).data
    assert b"made once" not in theirs.get(f"{path}?page=2", headers=PART).data
    add_label(linked, 1)
    told = theirs.get(path, headers=PART)
    assert b"made once" not in told.data and "1 label" in told.text


def test_nobody_gets_a_part_without_a_login_however_often_it_was_made(app: Any) -> None:
    client, token = enter(app)
    assert client.get("/ui/projects/7/overview", headers=PART).status_code == 200
    assert app.test_client().get("/ui/projects/7/overview", headers=PART).status_code == 401
    assert client.post("/ui/logout", data={"csrf_token": token}).status_code == 303
    assert client.get("/ui/projects/7/overview", headers=PART).status_code == 401


def test_every_button_is_one_of_the_form_that_holds_the_token(app: Any, linked: Any) -> None:  # noqa: F811
    client, token = enter(app)
    seen = set[str]()
    for path in PATHS:
        text = client.get(path).text
        forms = re.findall(r'<form id="(act|hunt)"[^>]*>(.*?)</form>', text, re.DOTALL)
        assert [name for name, _ in forms] == ["act", "hunt"] and all(token in held for _, held in forms)
        for button in re.findall(r'<button[^>]*class="act[^>]*>', text):
            where = re.search(r' formaction="([^"]+)"', button)
            assert re.search(r' form="(act|hunt)"', button)
            assert where and f'hx-post="{where[1]}"' in button
            seen.add(where[1])
    assert {"/ui/check", "/ui/projects/7/retrain", "/ui/projects/7/unpin", "/ui/projects/7/suspects"} <= seen
    without_script = client.post("/ui/projects/7/unpin", data={"csrf_token": token})
    assert without_script.status_code == 303 and linked.stores.versions.pinned(7) is None
