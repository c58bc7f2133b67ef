"""Keys that run out by themselves. Redis counts by its machine's clock: set forward, they end early, which costs some
work done twice; set back, they would last longer by as much, so that whoever finds one that lasts too long cuts it.
"""

from __future__ import annotations

import math

from backend.redis_access.connection import Client, Script

_HOLD = """
-- KEYS: lease    ARGV: owner ("" for whoever comes first), milliseconds    Returns 1 when it is the owner's now.
local held = redis.call('GET', KEYS[1])
if not held or held == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1] == '' and '1' or ARGV[1], 'PX', ARGV[2])
  return 1
end
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""

_RELEASE = """
-- KEYS: lease    ARGV: owner
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""


class Leases:
    """Errors of redis pass through: for use inside the stores."""

    def __init__(self, client: Client) -> None:
        self._redis = client
        self._hold, self._release = Script(client, _HOLD), Script(client, _RELEASE)

    def hold(self, key: str, owner: str, seconds: float) -> bool:
        """Whether `owner` has it for the next `seconds`; a holder prolongs it."""
        return bool(self._hold(keys=[key], args=[owner, math.ceil(seconds * 1000)]))

    def release(self, key: str, owner: str) -> None:
        """Free it, unless it ran out and is another's by now."""
        self._release(keys=[key], args=[owner])

    def take(self, key: str, seconds: float) -> bool:
        """Whether it was free, and is held now. It ends after `seconds`, or when it is deleted."""
        return self.hold(key, "", seconds)

    def left(self, key: str, longest: float) -> float:
        """Seconds until it ends, `longest` at most; 0 when there is none."""
        left = int(self._redis.pttl(key)) / 1000
        if left > longest:
            self._redis.pexpire(key, math.ceil(longest * 1000))
        return min(max(left, 0.0), longest)
