"""The outbox: events that wait for their endpoint, when each is due, and how each endpoint fares.

Who takes an event holds it for a while, and forgets it when it is delivered: whoever dies in between leaves it to the
next one, so that each is delivered once in normal running and at least once after a crash. Times are Redis's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.redaction import hide_secrets
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.keys import project_key
from backend.store.outbox.endpoint import Endpoint, outbox_keys
from backend.store.outbox.event import Event

TELL = Path(__file__).with_name("tell.lua").read_text(encoding="utf-8")
"""In front of every script that tells an event."""

HOLD_SECONDS = 60.0
"""For one attempt, which takes far less."""

CLOCK_MS = 1000
"""By which Redis's clock may go back with nothing coming early."""

SAID_CHARACTERS = 300

STATE_SECONDS = 90 * 24 * 3600
"""That the state of an endpoint is kept that nobody sends to any more."""

_PUT_ONCE = f"""
-- KEYS: told, then those of the outbox    ARGV: name, value, an event's id, body and how many are kept
{TELL}
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
tell(2, ARGV[3], ARGV[4], ARGV[5])
"""

_CLAIM = """
-- KEYS: due, events    ARGV: milliseconds to hold, and that a clock may be off
-- Returns {id, body, number of this attempt}, or nothing.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, 1)[1]
if not id then
  -- what is further off than it was put off is due as well: this clock was set back
  local later = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
  for i = 1, #later, 2 do
    local wait = tonumber(redis.call('HGET', KEYS[2], later[i] .. ':wait') or 0)
    if later[i + 1] - now > wait + ARGV[2] then
      id = later[i]
      break
    end
  end
end
if not id then return false end
local body = redis.call('HGET', KEYS[2], id)
if not body then redis.call('ZREM', KEYS[1], id) return false end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[1]), id)
redis.call('HSET', KEYS[2], id .. ':wait', ARGV[1])
redis.call('EXPIRE', KEYS[1], 259200)
redis.call('EXPIRE', KEYS[2], 259200)
return {id, body, redis.call('HINCRBY', KEYS[2], id .. ':tries', 1)}
"""

_NOTE = """
-- KEYS: due, events, state
-- ARGV: id, number of the attempt, outcome, milliseconds to wait, epoch seconds, status, what is wrong
-- An attempt of before the last one changes nothing but the state.
local mine = redis.call('HGET', KEYS[2], ARGV[1] .. ':tries') == ARGV[2]
if ARGV[3] == 'later' then
  local clock = redis.call('TIME')
  local due = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[4]
  if mine and redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    redis.call('ZADD', KEYS[1], string.format('%.0f', due), ARGV[1])
    redis.call('HSET', KEYS[2], ARGV[1] .. ':wait', ARGV[4])
  end
elseif ARGV[3] == 'delivered' or mine then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1], ARGV[1] .. ':tries', ARGV[1] .. ':wait')
end
redis.call('HINCRBY', KEYS[3], ARGV[3], 1)
redis.call('HSET', KEYS[3], 'at', ARGV[5], 'status', ARGV[6], 'said', ARGV[7])
if ARGV[3] == 'delivered' then
  redis.call('HSET', KEYS[3], 'delivered_at', ARGV[5])
  redis.call('HDEL', KEYS[3], 'gone')
end
redis.call('EXPIRE', KEYS[3], 7776000)
"""

_CLOSE = """
-- KEYS: due, events, state    Nothing more is kept for an endpoint that is gone.
redis.call('HINCRBY', KEYS[3], 'dropped', redis.call('ZCARD', KEYS[1]))
redis.call('HSET', KEYS[3], 'gone', '1')
redis.call('DEL', KEYS[1], KEYS[2])
"""


@dataclass(frozen=True)
class Claimed:
    """An event that this process holds. `tries`: number of this attempt, from 1."""

    id: str
    body: str
    tries: int


@dataclass(frozen=True)
class EndpointState:
    """`waiting`: events; `oldest`: epoch seconds of the first of them, 0 for none. `at`, `status`, `said`: of the last
    attempt, 0 and "" before the first; `status` "" also when no answer came. Counts are of this endpoint's whole
    life: `later` attempts came to nothing, `given_up` events were tried for a day, `dropped` did not fit or came when
    it was gone."""

    waiting: int
    oldest: float
    at: float
    delivered_at: float
    status: str
    said: str
    gone: bool
    delivered: int
    later: int
    given_up: int
    dropped: int

    @property
    def is_well(self) -> bool:
        """Whether the last attempt was taken, or there was none."""
        return not self.at or self.status.startswith("2")


class OutboxStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client, endpoints: Sequence[Endpoint]) -> None:
        self._redis, self.endpoints, self.keys = client, endpoints, outbox_keys(endpoints)
        self._put = Script(client, f"{TELL}\ntell(1, ARGV[1], ARGV[2], ARGV[3])")
        self._put_once = Script(client, _PUT_ONCE)
        self._claim, self._note, self._close = (Script(client, text) for text in (_CLAIM, _NOTE, _CLOSE))

    @guarded
    def put(self, event: Event) -> None:
        """For what is no step of a script's: just after the fact."""
        if self.keys:
            self._put(keys=self.keys, args=event.arguments)

    @guarded
    def put_once(self, project: int, name: str, value: str, event: Event) -> None:
        """Unless `name` was told with the same `value`."""
        keys = [project_key(project, "told"), *self.keys]
        self._put_once(keys=keys, args=[name, value, *event.arguments])

    @guarded
    def told(self, project: int) -> dict[str, str]:
        """Name -> value of what is told once."""
        return self._redis.hgetall(project_key(project, "told"))

    @guarded
    def forget(self, project: int, name: str) -> None:
        """It may be told again."""
        self._redis.hdel(project_key(project, "told"), name)

    @guarded
    def claim(self, endpoint: Endpoint, hold_seconds: float = HOLD_SECONDS) -> Claimed | None:
        """The next event that is due, for this process alone for so long; None when there is none."""
        found = self._claim(keys=endpoint.keys[:2], args=[int(hold_seconds * 1000), CLOCK_MS])
        return Claimed(str(found[0]), str(found[1]), int(found[2])) if found else None

    def note_delivered(self, endpoint: Endpoint, claimed: Claimed, status: int) -> None:
        """It is over. An endpoint that was gone is there again."""
        self._write(endpoint, claimed, "delivered", 0.0, str(status), "")

    def note_failed(
        self, endpoint: Endpoint, claimed: Claimed, wait: float | None, status: int | None, said: str
    ) -> None:
        """It was not taken: due again in `wait` seconds, None for never."""
        outcome = "given_up" if wait is None else "later"
        self._write(endpoint, claimed, outcome, wait or 0.0, "" if status is None else str(status), said)

    @guarded
    def note_tested(self, endpoint: Endpoint, status: int | None, said: str) -> None:
        """What a test event came to. One that is taken opens the endpoint again."""
        key, taken = endpoint.keys[2], status is not None and 200 <= status < 300
        shown = "" if status is None else str(status)
        pipeline = self._redis.pipeline(transaction=True)
        told = hide_secrets(said)[:SAID_CHARACTERS]
        pipeline.hset(key, mapping={"at": round(time.time(), 1), "status": shown, "said": told})
        if taken:
            pipeline.hdel(key, "gone")
        pipeline.expire(key, STATE_SECONDS)
        pipeline.execute()

    @guarded
    def close(self, endpoint: Endpoint) -> None:
        """It is gone for good: what waits is dropped, and what comes."""
        self._close(keys=endpoint.keys)

    @guarded
    def state(self, endpoint: Endpoint) -> EndpointState:
        """How it fares."""
        due, _, state = endpoint.keys
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrange(due, 0, -1)
        pipeline.hgetall(state)
        waiting, fields = pipeline.execute()
        return read_state(waiting, fields)

    @guarded
    def _write(self, endpoint: Endpoint, claimed: Claimed, outcome: str, wait: float, status: str, said: str) -> None:
        told = hide_secrets(said)[:SAID_CHARACTERS]
        arguments = [claimed.id, claimed.tries, outcome, int(wait * 1000), round(time.time(), 1), status, told]
        self._note(keys=endpoint.keys, args=arguments)


def read_state(waiting: Sequence[str], fields: dict[str, str]) -> EndpointState:
    """`waiting`: ids. `fields`: the HASH."""
    return EndpointState(
        waiting=len(waiting),
        oldest=int(min(waiting)[4:18], 16) / 1e6 if waiting else 0.0,
        at=float(fields.get("at", 0)),
        delivered_at=float(fields.get("delivered_at", 0)),
        status=fields.get("status", ""),
        said=fields.get("said", ""),
        gone="gone" in fields,
        delivered=int(fields.get("delivered", 0)),
        later=int(fields.get("later", 0)),
        given_up=int(fields.get("given_up", 0)),
        dropped=int(fields.get("dropped", 0)),
    )
