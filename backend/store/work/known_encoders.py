"""Which encoders were used here, with which files, and which machines lack one that a live version was made with."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator

from backend.encoder_json import EncoderSource, TrustedJson
from backend.redis_access.clocks import read_clocks
from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import ENCODERS, ENCODERS_MISSING, ENCODERS_TRUSTED

log = logging.getLogger(__name__)

MISSED_SECONDS = 300.0
"""After which a machine that says no more that it lacks an encoder is taken to have it, or to be gone."""

WANTED, WANTED_SECONDS = "wanted", 600.0
"""Field, and how long it counts against a learner with another BASE_MODEL: replacing all processes takes minutes."""

UNUSABLE = "unusable"
"""Field, with a machine's name: why that one cannot use its BASE_MODEL, and what answers there instead."""

CHANGED = "encoder_files_changed"
"""Code of the finding, wherever it is told."""

REMEDY = (
    "if nobody meant to change it, put the old files back (of the hub: delete the download and look whose it is); "
    "if it was meant, `understudy encoder PROJECT --take` says so"
)


class KnownEncoderStore:
    """Over one Redis. Raises StoreUnavailable."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def note(self, digest: str, source: EncoderSource) -> None:
        """An encoder has been loaded here. The first word on where it comes from stays, unless it is from the hub by
        now: from there every machine can have it."""
        known = self.find(digest)
        if known is None or (source.hub_id and not known.hub_id):
            self._redis.hset(ENCODERS, digest, json.dumps(source.to_json()))
        self._redis.hdel(ENCODERS_MISSING, _field(digest), _field(UNUSABLE))
        self._compare(source)

    @guarded
    def find(self, digest: str) -> EncoderSource | None:
        """None for one that nobody has used."""
        text = self._redis.hget(ENCODERS, digest)
        return EncoderSource.from_json(json.loads(text)) if text else None

    @guarded
    def miss(self, digest: str) -> None:
        """This machine lacks it."""
        self._redis.hset(ENCODERS_MISSING, _field(digest), repr(time.time()))

    @guarded
    def missing_on(self, digest: str) -> list[str]:
        """Machines that lack it, by name."""
        found, since = [], time.time() - MISSED_SECONDS
        for field, at in self._redis.hgetall(ENCODERS_MISSING).items():
            own, _, host = field.partition(" ")
            if own == digest and host and float(at) > since:
                found.append(host)
        return sorted(found)

    @guarded
    def tell_unusable(self, why: str) -> None:
        """This machine cannot use its BASE_MODEL, until it loads one."""
        self._redis.hset(ENCODERS_MISSING, _field(UNUSABLE), why)

    @guarded
    def unusable(self) -> list[str]:
        """A line for each machine that cannot use its BASE_MODEL, of those that were heard of lately."""
        found = self._redis.hgetall(ENCODERS_MISSING)
        named = {host: found.get(f"{UNUSABLE} {host}") for host in read_clocks(self._redis)}
        return [f"{host}: {why}" for host, why in named.items() if why]

    @guarded
    def want(self, digest: str) -> None:
        """A learner starts with this one as BASE_MODEL: projects go there."""
        self._redis.hset(ENCODERS_MISSING, WANTED, f"{digest} {time.time()!r}")

    @guarded
    def wanted(self, digest: str) -> str:
        """Where projects go. The last learner to start has said so; after WANTED_SECONDS whoever asks (`digest`) has,
        since that one may be gone for good."""
        found, _, at = str(self._redis.hget(ENCODERS_MISSING, WANTED) or "").partition(" ")
        if found and found != digest and time.time() - float(at) < WANTED_SECONDS:
            return found
        self.want(digest)
        return digest

    def _compare(self, source: EncoderSource) -> None:
        """Trust on first use: what a name gives is compared with what it gave first."""
        trusted: TrustedJson = {"files": source.files, "at": time.time(), "changed": {}}
        if self._redis.hsetnx(ENCODERS_TRUSTED, source.place, json.dumps(trusted)):
            return
        trusted = json.loads(str(self._redis.hget(ENCODERS_TRUSTED, source.place)))
        changed = {host: files for host, files in trusted["changed"].items() if host != source.host}
        if trusted["files"] != source.files:
            changed[source.host] = source.files
        if changed != trusted["changed"]:
            self._redis.hset(ENCODERS_TRUSTED, source.place, json.dumps({**trusted, "changed": changed}))
        if source.host in changed:
            log.warning("%s: %s", CHANGED, _describe(source.place, trusted["files"], source.host, source.files))

    @guarded
    def trust(self, source: EncoderSource) -> None:
        """People take what the name gives now."""
        trusted: TrustedJson = {"files": source.files, "at": time.time(), "changed": {}}
        self._redis.hset(ENCODERS_TRUSTED, source.place, json.dumps(trusted))

    @guarded
    def changed(self) -> list[str]:
        """A line for each name and machine that gives other files than at first."""
        return list(self._changed())

    def _changed(self) -> Iterator[str]:
        for place, text in sorted(self._redis.hgetall(ENCODERS_TRUSTED).items()):
            trusted: TrustedJson = json.loads(text)
            for host, files in sorted(trusted["changed"].items()):
                yield _describe(place, trusted["files"], host, files)


def _describe(place: str, before: str, host: str, now: str) -> str:
    return f"{place} gives other files on {host} ({now[:12]}) than when it was used first ({before[:12]})"


def _field(digest: str) -> str:
    return f"{digest} {socket.gethostname()}"
