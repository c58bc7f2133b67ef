"""The Redis keys as the key module has them."""

from __future__ import annotations

from collections.abc import Iterable

from backend.redis_access.keys import GLOBAL_KEYS, PROJECT_KEYS, Key


def key_table() -> str:
    """One row a key, those of a project first."""
    rows = [*_rows(PROJECT_KEYS, "understudy:{p7}:"), *_rows(GLOBAL_KEYS, "understudy:")]
    return "| key | type | holds |\n|---|---|---|\n" + "".join(rows)


def _rows(keys: Iterable[Key], prefix: str) -> list[str]:
    return [f"| `{prefix}{key.name}` | {key.type} | {key.holds} |\n" for key in keys]
