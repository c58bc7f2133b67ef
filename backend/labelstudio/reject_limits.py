"""How much is remembered of what came to nothing; read by commands, which load no store."""

from __future__ import annotations

TASKS_REMEMBERED = 1000
"""Tasks remembered of each kind in a project."""
