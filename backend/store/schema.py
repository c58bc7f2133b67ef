"""The shape of what is stored, by number: what a newer understudy has written is refused, since it may mean something
else; what an older one has written is taken on."""

from __future__ import annotations

from backend.errors import StoreUnavailable
from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import PROJECTS, SCHEMA

SCHEMA_NUMBER = 3
"""Before 3, annotations that leave a question blank were not kept: the reconciliation that follows every start brings
them. What rows and reports of then lack is read as unknown."""


@guarded
def find_schema(client: Client) -> int:
    """The stored schema's number. Stores of before there were numbers are 1; an empty one is as new as this code."""
    found = client.get(SCHEMA)
    if found is not None:
        return int(found)
    return 1 if client.exists(PROJECTS) else SCHEMA_NUMBER


@guarded
def upgrade_schema(client: Client) -> None:
    """Makes the store one of this schema. Raises StoreUnavailable for one that a newer understudy has written."""
    found = find_schema(client)
    if found > SCHEMA_NUMBER:
        raise StoreUnavailable(
            f"this Redis was written by a newer understudy (schema {found}, this one knows {SCHEMA_NUMBER}): upgrade, "
            "or restore a backup that was made before the upgrade"
        )
    client.set(SCHEMA, SCHEMA_NUMBER, nx=found == SCHEMA_NUMBER)
