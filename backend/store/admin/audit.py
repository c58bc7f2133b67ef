"""The audit log, a stream: the admin, the address, the action, its project or job, and its status."""

from __future__ import annotations

from collections.abc import Mapping

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import AUDIT

AUDIT_ENTRIES_KEPT = 100_000
"""Entries; about 20 MB."""

AUDIT_ENTRIES_READ = 1000
"""Entries read at once."""


class AuditStore:
    """Only ever added to. Its times are Redis's own, so that no admin's clock counts."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def write(self, entry: Mapping[str, str]) -> None:
        """One more; empty values are left out."""
        kept = {name: value for name, value in entry.items() if value}
        self._redis.xadd(AUDIT, kept, maxlen=AUDIT_ENTRIES_KEPT, approximate=True)

    @guarded
    def read(self, count: int) -> list[dict[str, str | float]]:
        """The last `count`, at most AUDIT_ENTRIES_READ, newest first; `at` in seconds since 1970."""
        found = self._redis.xrevrange(AUDIT, count=min(count, AUDIT_ENTRIES_READ))
        return [{"at": int(stamp.partition("-")[0]) / 1000, **entry} for stamp, entry in found]
