"""What can be said of a text of a pool. By itself, so that who only names it loads no libraries of numbers."""

from __future__ import annotations

from typing import Literal, get_args

Finding = Literal["duplicate", "near duplicate", "far", "empty", "short", "long", "script"]

FINDINGS: tuple[Finding, ...] = get_args(Finding)
