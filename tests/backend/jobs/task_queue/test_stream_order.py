"""A link to the label stream follows the queue, and people's own orders and filters stay: on a real Redis, against a
stand-in with Label Studio's rules."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from backend.connection.connect import run_connect
from backend.errors import LabelStudioError
from backend.jobs.task_queue.stream_order import (
    BY_ID,
    QUEUE_ORDER,
    describe_link,
    follow_queue,
    keep_following,
    restore_tabs,
)
from backend.labelstudio.rest.client import LabelStudioClient
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.backend.connection.test_connect import Studio
from tests.conftest import serving

FILTER = {"filter": "filter:tasks:data.text", "operator": "contains", "type": "String", "value": "refund"}


@pytest.fixture
def studio() -> Iterator[Studio]:
    with serving(Studio()) as server:
        yield server


@pytest.fixture
def client(studio: Studio) -> Iterator[LabelStudioClient]:
    with LabelStudioClient(f"http://127.0.0.1:{studio.server_port}", "0" * 40) as opened:
        yield opened


def filters(*items: Any) -> dict[str, Any]:
    return {"conjunction": "and", "items": list(items)}


def test_a_project_without_a_tab_gets_the_one_that_the_page_would_make(
    studio: Studio, client: LabelStudioClient, stores: Stores
) -> None:
    told = follow_queue(client, stores, 1)
    (tab,) = studio.tabs.rows
    assert tab["data"] == {"title": "Default", "ordering": QUEUE_ORDER} and "made" in told[0]
    assert follow_queue(client, stores, 1) == [] and len(studio.tabs.rows) == 1
    assert "data?labeling=1" in describe_link("http://ls/", 1, studio.tabs.rows)
    assert "removed" in restore_tabs(client, stores, 1)[0]
    assert studio.tabs.rows == [] and restore_tabs(client, stores, 1) == []


def test_a_tab_that_we_made_and_people_changed_stays(studio: Studio, client: LabelStudioClient, stores: Stores) -> None:
    follow_queue(client, stores, 1)
    (tab,) = studio.tabs.rows
    studio.tabs.change(tab, {**tab["data"], "gridWidth": 5, "filters": filters(FILTER)})
    assert "lists by id again" in restore_tabs(client, stores, 1)[0]
    assert tab["data"] == {"title": "Default", "ordering": BY_ID, "gridWidth": 5, "filters": filters(FILTER)}


def test_plain_tabs_follow_the_queue_and_no_other(studio: Studio, client: LabelStudioClient, stores: Stores) -> None:
    plain = studio.tabs.add(title="Default", filters=filters(), hiddenColumns={"explore": ["tasks:id"]})
    second = studio.tabs.add(title="New Tab 2")
    theirs = [
        studio.tabs.add(title="mine", ordering=["-tasks:completed_at"]),
        studio.tabs.add(title="refunds", filters=filters(FILTER)),
        studio.tabs.add(title="by score", ordering=QUEUE_ORDER),
        studio.tabs.add(title="by id", ordering=BY_ID),
        studio.tabs.add(title="annotations", target="annotations"),
    ]
    before = copy.deepcopy(theirs)
    assert len(follow_queue(client, stores, 1)) == 2
    assert studio.tabs.order(plain["id"]) == studio.tabs.order(second["id"]) == QUEUE_ORDER
    assert plain["data"]["hiddenColumns"] == {"explore": ["tasks:id"]}, "the rest of a tab stays"
    assert len(restore_tabs(client, stores, 1)) == 2
    assert studio.tabs.order(plain["id"]) == studio.tabs.order(second["id"]) == BY_ID
    assert theirs == before
    assert len(follow_queue(client, stores, 1)) == 2, "connected again after all"
    assert studio.tabs.order(plain["id"]) == QUEUE_ORDER and theirs == before


def test_an_order_that_somebody_chose_since_is_never_overwritten(
    studio: Studio, client: LabelStudioClient, stores: Stores
) -> None:
    tab = studio.tabs.add(title="Default")
    follow_queue(client, stores, 1)
    studio.tabs.change(tab, {**tab["data"], "ordering": ["tasks:data.text"]})
    assert follow_queue(client, stores, 1) == restore_tabs(client, stores, 1) == []
    studio.tabs.change(tab, {**tab["data"], "ordering": QUEUE_ORDER})
    assert restore_tabs(client, stores, 1) == [] and studio.tabs.order(tab["id"]) == QUEUE_ORDER, "theirs by now"


def test_a_tab_follows_once_its_filter_is_gone(studio: Studio, client: LabelStudioClient, stores: Stores) -> None:
    tab = studio.tabs.add(title="Default", filters=filters(FILTER))
    assert follow_queue(client, stores, 1) == []
    assert "its own filter" in describe_link("http://ls", 1, studio.tabs.rows)
    studio.tabs.change(tab, {"title": "Default", "filters": filters()})
    assert len(follow_queue(client, stores, 1)) == 1


def test_a_selection_is_not_written_into_the_tab(studio: Studio, client: LabelStudioClient, stores: Stores) -> None:
    """Label Studio lists it with the tab's data, and keeps it elsewhere."""
    tab = studio.tabs.add(title="Default", selectedItems={"all": False, "included": [3]})
    follow_queue(client, stores, 1)
    assert tab["data"] == {"title": "Default", "ordering": QUEUE_ORDER}


def test_while_another_process_has_the_tabs_nothing_is_done(
    studio: Studio, client: LabelStudioClient, stores: Stores
) -> None:
    assert stores.label_stream.claim_tabs(1)
    assert follow_queue(client, stores, 1) == [] and studio.tabs.rows == []
    stores.label_stream.leave_tabs(1)
    assert len(follow_queue(client, stores, 1)) == 1


def test_what_goes_wrong_half_way_is_remembered_as_far_as_it_went(
    studio: Studio, client: LabelStudioClient, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = studio.tabs.add(title="Default"), studio.tabs.add(title="New Tab 2")
    answer = studio.tabs.answer
    monkeypatch.setattr(
        studio.tabs,
        "answer",
        lambda method, path, body: (
            (400, {"detail": "refused"}) if (method, path[-2:]) == ("PATCH", "2/") else answer(method, path, body)
        ),
    )
    with pytest.raises(LabelStudioError):
        follow_queue(client, stores, 1)
    keep_following(client, stores, 1, steered=True)  # a job passes over it
    assert studio.tabs.order(first["id"]) == QUEUE_ORDER and studio.tabs.order(second["id"]) is None
    keep_following(client, stores, 1, steered=False)
    assert studio.tabs.order(first["id"]) == BY_ID


ORDERS = st.sampled_from([[], QUEUE_ORDER, BY_ID, ["-tasks:predictions_score"], ["tasks:data.text"]])
TABS = st.fixed_dictionaries(
    {"title": st.text(max_size=5), "ordering": ORDERS},
    optional={
        "filters": st.sampled_from([filters(), filters(FILTER), {"conjunction": "or", "items": []}]),
        "target": st.sampled_from(["tasks", "annotations"]),
        "columnsWidth": st.just({"tasks:id": 80}),
    },
)


@drawn(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(TABS, max_size=4), chosen=st.lists(st.one_of(st.none(), ORDERS), min_size=4, max_size=4))
def test_whatever_the_tabs_are_what_people_chose_survives(
    client: LabelStudioClient, studio: Studio, stores: Stores, before: list[dict[str, Any]], chosen: list[Any]
) -> None:
    stores.label_stream.save_marks(1, {})
    studio.tabs.rows.clear()
    for data in before:
        studio.tabs.add(**data)
    original = copy.deepcopy(studio.tabs.rows)
    follow_queue(client, stores, 1)
    assert follow_queue(client, stores, 1) == []
    expected = {}
    for row, order in zip(studio.tabs.rows, chosen, strict=False):
        if order:
            studio.tabs.change(row, {**row["data"], "ordering": order})
            expected[row["id"]] = order
    follow_queue(client, stores, 1)
    assert {tab: studio.tabs.order(tab) for tab in expected} == expected
    restore_tabs(client, stores, 1)
    left = {row["id"]: row["data"] for row in studio.tabs.rows}
    for row in original:
        was, now = row["data"], left[row["id"]]
        assert {**now, "ordering": None} == {**was, "ordering": None}, "nothing but the order is touched"
        if row["id"] not in expected:
            assert (now.get("ordering") or BY_ID) == (was["ordering"] or BY_ID), "it lists as it did before"
    if not original and not expected:
        assert left == {}


def connect(settings: Settings, **options: Any) -> str:
    return "\n".join(run_connect(settings, 1, **options))


@pytest.fixture
def linked(settings: Settings, studio: Studio) -> Settings:
    fields = {"public_url": "http://127.0.0.1:9090", "label_studio_url": f"http://127.0.0.1:{studio.server_port}"}
    return Settings(
        **{**settings.model_dump(include={"data_dir", "redis_url"}), **fields},
        label_studio_api_key="0" * 40,
        _env_file=None,
    )


def test_connect_sets_the_order_and_tells_the_link(studio: Studio, linked: Settings) -> None:
    told = connect(linked)
    assert f"{linked.label_studio_url}/projects/1/data?labeling=1" in told
    assert [row["data"]["ordering"] for row in studio.tabs.rows] == [QUEUE_ORDER]
    before = json.dumps(studio.tabs.rows)
    connect(linked)
    assert json.dumps(studio.tabs.rows) == before
    with closing(Stores(linked)) as stores:
        assert stores.projects.title(1) == "mails", "known before the first reconciliation"
    connect(linked.model_copy(update={"queue_enabled": False}))
    assert studio.tabs.rows == [], "without a queue there is no order to follow"


def test_connect_without_sampling_leaves_the_tabs_alone(studio: Studio, linked: Settings) -> None:
    studio.tabs.add(title="Default")
    assert "To label" not in connect(linked, sampling=False)
    assert studio.tabs.rows[0]["data"] == {"title": "Default"}


def test_connect_tells_of_an_order_that_a_link_follows_instead(studio: Studio, linked: Settings) -> None:
    studio.tabs.add(title="mine", ordering=["-tasks:id"])
    told = connect(linked)
    assert "the first tab of the Data Manager, 'mine', has its own order (-tasks:id)" in told
    assert "data?labeling=1" not in told


def test_without_redis_the_connection_stands(studio: Studio, linked: Settings) -> None:
    told = connect(linked.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    assert "stay as they are until there is a queue" in told and studio.backends and studio.tabs.rows == []
