"""LABEL_STUDIO_API_KEY as Label Studio takes it: a legacy token as it is, a personal access token in exchange.

A personal access token is a refresh token in the form of a JWT. Label Studio gives access tokens for it, which live for
minutes. What is valid is for Label Studio to say: no clock of this machine is compared with one of its.
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable
from typing import Any

EXCHANGE_PATH = "/api/token/refresh/"

MARGIN_SECONDS = 30.0
"""An access token is given up so long before its end, that none ends while a call is on its way."""


def read_claims(token: str) -> dict[str, Any] | None:
    """What a JWT says, unchecked (only Label Studio could check it); None for any other text."""
    try:
        header, claims, _ = (_decode(part) for part in token.split("."))
        found = [json.loads(header), json.loads(claims)]
    except (ValueError, RecursionError):  # not three parts, not base64, not JSON
        return None
    return found[1] if all(isinstance(one, dict) for one in found) else None


def seconds_of(claim: object) -> float | None:
    """A claim that is a time."""
    try:
        found = float(claim) if isinstance(claim, int | float) else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


class Token:
    """One token, and the access token that stands for it at the moment."""

    def __init__(self, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.key = key
        self._clock = clock
        self._is_legacy = read_claims(key) is None
        self._access, self._until = "", 0.0

    @property
    def is_held(self) -> bool:
        """Whether the next header carries an access token of before."""
        return bool(self._access) and self._clock() < self._until

    def header(self, exchange: Callable[[str], str]) -> str:
        """The value of `Authorization`. `exchange` gives an access token for this one, when none is held."""
        if self._is_legacy:
            return f"Token {self.key}"
        if not self.is_held:
            asked = self._clock()
            self._access = exchange(self.key)
            self._until = asked + _lifetime(self._access)
        return f"Bearer {self._access}"

    def forget(self) -> None:
        """The access token was refused: the machine has slept, or Label Studio has another secret by now."""
        self._access = ""


def _lifetime(access: str) -> float:
    """Seconds for which it is used. Without its times it is used until it is refused."""
    claims = read_claims(access) or {}
    expires, issued = seconds_of(claims.get("exp")), seconds_of(claims.get("iat"))
    if expires is None:
        return math.inf
    lifetime = expires - (time.time() if issued is None else issued)
    return max(lifetime - MARGIN_SECONDS, lifetime / 2)


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))
