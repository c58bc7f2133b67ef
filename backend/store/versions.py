"""Which version of each project is live, its history, its watermarks, and the names of the next ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from backend.outcomes import PublishOutcome
from backend.record_json import Move
from backend.redis_access.connection import Client, RedisError, Script, guarded
from backend.redis_access.keys import ANNOUNCE, project_key
from backend.store.outbox.event import NOTHING, Event
from backend.store.outbox.outbox import TELL
from backend.store.work.known_encoders import KnownEncoderStore
from model.failpoints import failpoint

FIRST_VERSION = "v0"
"""The version of a project that has none yet: label names only."""


END_SECONDS = 0.5
"""How soon whoever listens notices that it is to end."""


class Evaluated(TypedDict, total=False):
    """The last fine-tune: on how many `labels` and marked `texts` (of the largest control of either kind) and which
    `seq`, and the controls that the head alone did better on. `share`: of the champion's log-loss (or of what its F1
    lacks) that it took away on `rows` that were held out, negative where it was worse."""

    labels: int
    texts: int
    seq: int | None
    job: str
    at: float
    outdone: list[str]
    accepted: bool
    refusals: int
    share: float
    rows: int


class VersionStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client, outbox: Sequence[str] = ()) -> None:
        """`outbox`: keys of what is told outside. `encoders`: what versions were made with."""
        self._redis, self._outbox = client, outbox
        self.encoders = KnownEncoderStore(client)
        self._publish = Script(client, TELL + Path(__file__).with_name("publish.lua").read_text(encoding="utf-8"))

    @guarded
    def live(self, project: int) -> str | None:
        """The live version; None before the first."""
        return self._redis.get(project_key(project, "live"))

    @guarded
    def live_of(self, projects: Sequence[int]) -> dict[int, str | None]:
        """The live version of each project, in one round trip."""
        if not projects:
            return {}
        # MGET would tie the projects to one cluster slot.
        pipeline = self._redis.pipeline(transaction=False)
        for project in projects:
            pipeline.get(project_key(project, "live"))
        return dict(zip(projects, pipeline.execute(), strict=True))

    @guarded
    def allocate(self, project: int, *, tuned: int | None = None) -> str:
        """A version name never given before: `vN` for a fine-tune (`tuned` None), else `v<tuned>.k`."""
        key = project_key(project, "counters")
        if tuned is None:
            return f"v{self._redis.hincrby(key, 'tuned', 1)}"
        return f"v{tuned}.{self._redis.hincrby(key, f'refit:{tuned}', 1)}"

    @guarded
    def seed_counters(self, project: int, versions: Sequence[tuple[int, int]]) -> None:
        """Never give a name again that is on disk already, as (fine-tune, refit): for a Redis that lost its data."""
        key = project_key(project, "counters")
        least: dict[str, int] = {}
        for tuned, refit in versions:
            least["tuned"] = max(least.get("tuned", 0), tuned)
            least[f"refit:{tuned}"] = max(least.get(f"refit:{tuned}", 0), refit)
        present = self._redis.hgetall(key)
        raised = {name: number for name, number in least.items() if number > int(present.get(name, 0))}
        if raised:
            self._redis.hset(key, mapping={name: str(number) for name, number in raised.items()})

    @guarded
    def publish(
        self,
        project: int,
        version: str,
        *,
        expected: str | None,
        seq: int,
        by: str,
        force: bool = False,
        token: str = "",
        lifts: str = "",
        event: Event | None = None,
    ) -> PublishOutcome:
        """Make `version` live if `expected` is. `token`: `<job>/<attempt>` of a training, which loses when another
        attempt has begun since. `lifts`: the version to which the project may be pinned, and is no longer. `event`: is
        told if it becomes live.

        `force` asks for neither live version nor pin. Raises the `trained` watermark to `seq` in the same step."""
        entry = json.dumps({"version": version, "from": expected, "by": by, "at": time.time()})
        keys = [project_key(project, name) for name in ("live", "hist", "trained", "pinned", "fitted", "fence")]
        message = f"{project} {version}"
        told = event.arguments if event is not None else NOTHING
        arguments = [version, expected or "", seq, entry, "1" if force else "0", ANNOUNCE, message, token, lifts, *told]
        failpoint("publish.before", project)
        outcome = PublishOutcome(str(self._publish(keys=[*keys, *self._outbox], args=arguments)))
        failpoint("publish.after", project)
        return outcome

    @guarded
    def pin(self, project: int, version: str) -> None:
        """Nothing is published by itself from now on."""
        self._redis.set(project_key(project, "pinned"), version)

    @guarded
    def pinned(self, project: int) -> str | None:
        """The version an admin rolled back to; None when learning publishes by itself."""
        return self._redis.get(project_key(project, "pinned"))

    @guarded
    def unpin(self, project: int) -> None:
        """Learning publishes by itself again."""
        self._redis.delete(project_key(project, "pinned"))

    @guarded
    def trained(self, project: int) -> int:
        """Seq of the newest snapshot that a published model was fitted on."""
        return int(self._redis.get(project_key(project, "trained")) or 0)

    @guarded
    def fitted(self, project: int) -> int:
        """Seq of the snapshot that the live version's heads were fitted on: unlike `trained` it may fall."""
        return int(self._redis.get(project_key(project, "fitted")) or 0)

    @guarded
    def note_fitted(self, project: int, seq: int) -> None:
        """The live version needs no other heads for what changed up to `seq`."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(project_key(project, "fitted"), seq)
        if seq > self.trained(project):
            pipeline.set(project_key(project, "trained"), seq)
        pipeline.execute()

    @guarded
    def history(self, project: int, last: int = 0) -> list[Move]:
        """Moves of the live pointer, newest first: version, from, by, at. The `last` ones; 0: all."""
        return [json.loads(entry) for entry in self._redis.lrange(project_key(project, "hist"), 0, last - 1)]

    @guarded
    def note_evaluated(self, project: int, facts: Evaluated, *, accepted: bool) -> None:
        """A fine-tune ended, or was withdrawn: do not repeat it on the same data (`labels`, `seq`, `job`, `at`).

        `refusals` counts those in a row that came to nothing."""
        last = self.evaluated(project)
        told = last.get("job") == facts.get("job") and not last.get("accepted", True)  # a job that was run again
        refusals = 0 if accepted else int(last.get("refusals", 0)) + (not told)
        entry: Evaluated = {"at": time.time(), **facts, "accepted": accepted, "refusals": refusals}
        self._redis.set(project_key(project, "evaluated"), json.dumps(entry))

    @guarded
    def evaluated(self, project: int) -> Evaluated:
        """The last fine-tune; empty before the first."""
        return json.loads(self._redis.get(project_key(project, "evaluated")) or "{}")

    def listen(self, seconds: float, ended: Callable[[], bool] = bool) -> Iterator[tuple[int, str] | None]:
        """(project, version) of each announcement, None after `seconds` without one, or soon once it has `ended`. Ends
        when Redis is lost.

        Announcements get lost, so whoever listens also polls."""
        subscription = self._redis.pubsub(ignore_subscribe_messages=True)
        try:
            subscription.subscribe(ANNOUNCE)
            while True:
                message, until = None, time.monotonic() + seconds
                while message is None and not ended() and (left := until - time.monotonic()) > 0:
                    message = subscription.get_message(timeout=min(left, END_SECONDS))
                project, _, version = str(message["data"]).partition(" ") if message else ("", "", "")
                yield (int(project), version) if project.isdigit() else None
        except RedisError:
            return
        finally:
            subscription.close()
