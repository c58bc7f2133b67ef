"""What a check says: its name, how it stands, what was seen, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True)
class Verdict:
    """`evidence`: what was seen. `remedy`: what to do, "" when there is nothing to do."""

    check: str
    state: State
    evidence: str
    remedy: str = ""


def ok(check: str, evidence: str) -> Verdict:
    return Verdict(check, "ok", evidence)


def warn(check: str, evidence: str, remedy: str) -> Verdict:
    """Works, but something is missing or will go wrong."""
    return Verdict(check, "warn", evidence, remedy)


def fail(check: str, evidence: str, remedy: str) -> Verdict:
    """Does not work, or loses labels."""
    return Verdict(check, "fail", evidence, remedy)


def skipped(check: str, why: str, remedy: str = "") -> Verdict:
    """Could not be looked at."""
    return Verdict(check, "skipped", why, remedy)


def exit_status(verdicts: Iterable[Verdict]) -> int:
    """0: nothing to do. 1: warnings. 2: failures."""
    states = {verdict.state for verdict in verdicts}
    return 2 if "fail" in states else 1 if "warn" in states else 0
