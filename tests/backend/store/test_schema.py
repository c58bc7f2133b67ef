"""The number of what is stored: older is taken on, newer is refused."""

from __future__ import annotations

import pytest

from backend.errors import StoreUnavailable
from backend.redis_access.keys import SCHEMA
from backend.store.schema import SCHEMA_NUMBER, find_schema
from backend.store.stores import Stores

pytestmark = pytest.mark.redis


def test_an_empty_store_is_new_and_one_of_before_the_numbers_is_schema_1(stores: Stores) -> None:
    assert find_schema(stores._redis) == SCHEMA_NUMBER
    stores.projects.save_config(7, "<View/>")
    assert find_schema(stores._redis) == 1
    stores.verify()
    assert stores._redis.get(SCHEMA) == str(SCHEMA_NUMBER) and stores.projects.config(7) == "<View/>"


def test_a_newer_store_is_refused_at_the_start(stores: Stores) -> None:
    stores._redis.set(SCHEMA, SCHEMA_NUMBER + 1)
    with pytest.raises(StoreUnavailable, match=f"schema {SCHEMA_NUMBER + 1}, this one knows {SCHEMA_NUMBER}"):
        stores.verify()
    assert stores._redis.get(SCHEMA) == str(SCHEMA_NUMBER + 1)
