"""A lease is its owner's until it is freed, by its owner alone."""

from __future__ import annotations

import pytest

from backend.redis_access.leases import Leases
from backend.store.stores import Stores

pytestmark = pytest.mark.redis


def test_a_lease_is_freed_by_its_owner_alone(stores: Stores) -> None:
    leases = Leases(stores.client)
    assert leases.hold("lease", "one", 60) and leases.hold("lease", "one", 60)
    assert not leases.hold("lease", "two", 60)
    leases.release("lease", "two")
    assert not leases.hold("lease", "two", 60), "what ran out and was given to another is not taken from it"
    leases.release("lease", "one")
    assert leases.hold("lease", "two", 60)
