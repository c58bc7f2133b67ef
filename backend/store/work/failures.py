"""Background work that fails, project by project: how often in a row, why, and for how long it now waits.

One project whose work kills its worker each time (too little memory, bad data) must not keep the worker from the
others, so that each failure in a row doubles the wait before the next attempt. An attempt that never said how it ended
has died.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from backend.record_json import Trouble
from backend.redaction import hide_secrets
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.job_kinds import KIND_OF_NAME
from backend.redis_access.keys import project_key
from backend.redis_access.leases import Leases
from backend.store.outbox.event import NOTHING, refit_failed, refit_recovered
from backend.store.outbox.outbox import TELL

WAIT_SECONDS = 10
"""The wait after a second failure in a row: a killed worker alone is no reason to wait."""

DEATH_MESSAGE = "the process died or was killed while it worked on this project"

TOLD_AT = 2
"""Failures in a row from which outgoing events tell, once: the first is often a worker that was killed."""

_TELL = f"""
{TELL}
local function tell_at(failures, id, body, most)
  if failures == {TOLD_AT} then tell(3, id, body, most) end
end
"""

_BEGIN = (
    _TELL
    + """
-- KEYS: trouble, hold, then those of the outbox
-- ARGV: kind, now, what is said of an attempt that died, first wait ms, longest wait ms, an event's id, body and how
--   many are kept
local left = redis.call('PTTL', KEYS[2])
if left > 0 then return math.min(left, tonumber(ARGV[5])) end
local kind = ARGV[1]
if redis.call('HEXISTS', KEYS[1], kind .. ':running') == 1 then
  tell_at(redis.call('HINCRBY', KEYS[1], kind .. ':failures', 1), ARGV[6], ARGV[7], ARGV[8])
  redis.call('HSET', KEYS[1], kind .. ':error', ARGV[3])
end
redis.call('HSET', KEYS[1], kind .. ':running', ARGV[2])
local failures = tonumber(redis.call('HGET', KEYS[1], kind .. ':failures') or '0')
if failures > 0 then
  -- counts from now: if this attempt dies as well, nobody is there to set it
  local wait = math.min(tonumber(ARGV[5]), tonumber(ARGV[4]) * 2 ^ math.min(failures - 1, 20))
  redis.call('SET', KEYS[2], '1', 'PX', string.format('%d', wait))
end
return 0
"""
)

_FAIL = (
    _TELL
    + """
-- KEYS: trouble, hold, then those of the outbox    Returns the wait in ms.
-- ARGV: kind, now, error, first wait ms, longest wait ms, an event's id, body and how many are kept
local kind = ARGV[1]
local failures = redis.call('HINCRBY', KEYS[1], kind .. ':failures', 1)
tell_at(failures, ARGV[6], ARGV[7], ARGV[8])
redis.call('HSET', KEYS[1], kind .. ':error', ARGV[3], kind .. ':at', ARGV[2])
redis.call('HDEL', KEYS[1], kind .. ':running')
local wait = math.min(tonumber(ARGV[5]), tonumber(ARGV[4]) * 2 ^ math.min(failures - 1, 20))
redis.call('SET', KEYS[2], '1', 'PX', string.format('%d', wait))
return wait
"""
)

_CLEAR = f"""
{TELL}
-- KEYS: trouble, hold, then those of the outbox    ARGV: kind, an event's id, body and how many are kept
local kind = ARGV[1]
if tonumber(redis.call('HGET', KEYS[1], kind .. ':failures') or '0') >= {TOLD_AT} then
  tell(3, ARGV[2], ARGV[3], ARGV[4])
end
redis.call('HDEL', KEYS[1], kind .. ':failures', kind .. ':error', kind .. ':at', kind .. ':running')
redis.call('DEL', KEYS[2])
"""


class FailureStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses. `kind` is the name of a JobKind."""

    def __init__(self, client: Client, outbox: Sequence[str] = ()) -> None:
        """`outbox`: keys of what is told outside."""
        self._redis, self._leases, self._outbox = client, Leases(client), outbox
        self._begin, self._fail, self._clear = (Script(client, text) for text in (_BEGIN, _FAIL, _CLEAR))

    @guarded
    def begin(self, project: int, kind: str) -> float:
        """An attempt begins; seconds for which it must not yet, 0 to go on. Follow up with `fail` or `clear`."""
        longest = KIND_OF_NAME[kind].longest_wait_seconds
        told = self._event_of(project, kind)
        arguments = [kind, time.time(), DEATH_MESSAGE, WAIT_SECONDS * 1000, longest * 1000, *told]
        return int(self._begin(keys=[*self._keys(project, kind), *self._outbox], args=arguments)) / 1000

    @guarded
    def fail(self, project: int, kind: str, error: str) -> float:
        """It came to nothing; seconds to wait before the next attempt."""
        arguments = [
            kind,
            time.time(),
            hide_secrets(error)[:500],
            WAIT_SECONDS * 1000,
            KIND_OF_NAME[kind].longest_wait_seconds * 1000,
            *self._event_of(project, kind),
        ]
        return int(self._fail(keys=[*self._keys(project, kind), *self._outbox], args=arguments)) / 1000

    @guarded
    def clear(self, project: int, kind: str) -> None:
        """It went well: nothing is remembered; what was told as failing is told as working again."""
        event = refit_recovered(project).arguments if self._tells(kind) else NOTHING
        self._clear(keys=[*self._keys(project, kind), *self._outbox], args=[kind, *event])

    @guarded
    def interrupt(self, project: int, kind: str) -> None:
        """The attempt ends before its time because its worker does: it has not failed."""
        trouble, hold = self._keys(project, kind)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hdel(trouble, f"{kind}:running")
        pipeline.delete(hold)
        pipeline.execute()

    @guarded
    def release(self, project: int, kind: str) -> None:
        """Ends the back-off: the work was requested."""
        self._redis.delete(self._keys(project, kind)[1])

    @guarded
    def waits(self, project: int, kind: str) -> float:
        """Seconds until the next attempt may begin; 0 when it may now."""
        return self._leases.left(self._keys(project, kind)[1], KIND_OF_NAME[kind].longest_wait_seconds)

    @guarded
    def describe(self, project: int) -> dict[str, Trouble]:
        """What keeps failing: kind -> failures in a row, the last error, seconds until the next attempt."""
        fields = self._redis.hgetall(project_key(project, "trouble"))
        found: dict[str, Trouble] = {}
        for kind in KIND_OF_NAME:
            if failures := int(fields.get(f"{kind}:failures", 0)):
                error = str(fields.get(f"{kind}:error", ""))
                found[kind] = {"failures": failures, "error": error, "retry_in": round(self.waits(project, kind))}
        return found

    def _event_of(self, project: int, kind: str) -> tuple[str, str, int]:
        """What the script is to tell at TOLD_AT: a training tells of itself when it is over."""
        return refit_failed(project, TOLD_AT).arguments if self._tells(kind) else NOTHING

    def _tells(self, kind: str) -> bool:
        return bool(self._outbox) and kind == "refit"

    def _keys(self, project: int, kind: str) -> list[str]:
        return [project_key(project, "trouble"), project_key(project, f"hold:{kind}")]
