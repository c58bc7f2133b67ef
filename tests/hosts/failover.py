"""A replicated Redis on hosts of its own: a primary, a replica, three Sentinels; and people whose labels it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import redis

from backend.embedded_redis.binary import find_redis_server
from backend.errors import StoreUnavailable
from backend.labelstudio.events import parse_webhook, to_records
from backend.labelstudio.task_spec import parse_label_config
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.hosts.cluster import wait_for
from tests.hosts.network import OWN, Host, Network
from tests.hosts.watch import Worker
from tests.support.label_studio_stub import ReferenceModel

PORT, SENTINEL_PORT, SERVICE = 6379, 26379, "understudy"
SERVERS, SENTINELS = ("redis1", "redis2"), ("sentinel1", "sentinel2", "sentinel3")

DOWN_AFTER_MS = 1_000
"""Of silence, after which a Sentinel takes the primary for dead."""

LAG_SECONDS = 1
"""`min-replicas-max-lag`: a replica that has said nothing for so long does not count."""


class Servers:
    """All five hosts. `replicas`: `min-replicas-to-write`. Use as a context manager."""

    def __init__(self, root: Path, replicas: int) -> None:
        self.network, self._replicas = Network(root), replicas

    def __enter__(self) -> Servers:
        self.network.__enter__()
        try:
            for name in (*SERVERS, *SENTINELS):
                self.network.add(name)
            for name in (*SERVERS, *SENTINELS):
                self.start(name)
            replica = self.client(SERVERS[1])
            wait_for(lambda: replica.info("replication")["master_link_status"] == "up", "it replicates", 30)
            wait_for(lambda: self._is_watched(), "all Sentinels know the replica and each other", 30)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.network.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        """As REDIS_URL has it."""
        hosts = ",".join(f"{self.host(name).address}:{SENTINEL_PORT}" for name in SENTINELS)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def host(self, name: str) -> Host:
        return self.network.hosts[name]

    def client(self, name: str, port: int = PORT) -> redis.Redis:
        """To this server, whatever its role."""
        patience = {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": None}
        return redis.Redis(self.host(name).address, port, decode_responses=True, **patience)

    def start(self, name: str) -> None:
        """A server that was killed keeps what a Sentinel has written into its configuration."""
        host = self.host(name)
        config = host.disk / "own.conf"
        if not config.exists():
            lines = self._server_lines(name) if name in SERVERS else self._sentinel_lines()
            (host.disk / "data").mkdir()
            config.write_text("\n".join(["bind 0.0.0.0", "protected-mode no", f'dir "{OWN}/data"', *lines]) + "\n")
        more = () if name in SERVERS else ("--sentinel",)
        host.start(str(find_redis_server()), str(OWN / "own.conf"), *more, environment={})

    def _server_lines(self, name: str) -> list[str]:
        lines = ["appendonly yes", "appendfsync always", 'save ""', "maxmemory-policy noeviction", f"port {PORT}"]
        lines += [f"min-replicas-to-write {self._replicas}", f"min-replicas-max-lag {LAG_SECONDS}"]
        lines += ["repl-diskless-sync-delay 0", "repl-ping-replica-period 1"]
        return lines if name == SERVERS[0] else [*lines, f"replicaof {self.host(SERVERS[0]).address} {PORT}"]

    def _sentinel_lines(self) -> list[str]:
        return [
            f"port {SENTINEL_PORT}",
            f"sentinel monitor {SERVICE} {self.host(SERVERS[0]).address} {PORT} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 6000",
        ]

    def _is_watched(self) -> bool:
        for name in SENTINELS:
            try:
                state = self.client(name, SENTINEL_PORT).sentinel_master(SERVICE)
            except redis.RedisError:
                return False
            if state["num-slaves"] != 1 or state["num-other-sentinels"] != len(SENTINELS) - 1:
                return False
        return True

    def _is_over(self) -> bool:
        """The replica is the primary, and all Sentinels send clients there. (A primary that is back before that makes
        them give up.)"""
        new = self.host(SERVERS[1]).address
        told = (self.client(name, SENTINEL_PORT).sentinel_get_master_addr_by_name(SERVICE) for name in SENTINELS)
        return self.role(SERVERS[1]) == "master" and all(found and found[0] == new for found in told)

    def role(self, name: str) -> str:
        """`master`, `slave`, or "" for one that does not answer."""
        try:
            return str(self.client(name).info("replication")["role"])
        except redis.RedisError:
            return ""

    def kill_primary(self) -> float:
        """Its power goes; seconds until the replica has taken over."""
        self.host(SERVERS[0]).kill()
        return wait_for(self._is_over, "a failover", 60)

    def cut_primary(self, seconds: float) -> float:
        """It is cut off from all but those who write to it, for so long; seconds until the replica has taken over."""
        others = [self.host(name) for name in (SERVERS[1], *SENTINELS)]
        began = time.monotonic()
        for other in others:
            self.host(SERVERS[0]).cut(other)
        took = wait_for(self._is_over, "a failover", 60)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        for other in others:
            self.host(SERVERS[0]).mend(other)
        return took

    def rejoin(self) -> None:
        """Returns when the old primary follows the new one, and has what that has."""
        if not self.host(SERVERS[0]).runs:
            self.host(SERVERS[0]).kill()
            self.start(SERVERS[0])
        wait_for(lambda: self.role(SERVERS[0]) == "slave", "the old primary follows", 60)
        old = self.client(SERVERS[0])
        wait_for(lambda: old.info("replication")["master_link_status"] == "up", "it has all", 60)


class Writer(Worker):
    """Labels in Label Studio, and stores each label as the event of it is. `acknowledged`: annotations that were stored
    as far as anybody was told, with when; `refused`: how many were not."""

    def __init__(self, url: str, truth: ReferenceModel, project: int, make: Callable[[], tuple[str, str]]) -> None:
        super().__init__()
        self._stores = Stores(Settings(redis_url=url), seconds=0.8)
        self._truth, self._project, self._make = truth, project, make
        self._spec = parse_label_config(truth.kinds[project].config)
        self.acknowledged: dict[int, float] = {}
        self.refused: list[float] = []

    def _run(self) -> None:
        while not self._ended.is_set():
            change = self._truth.create(self._project, [self._make()])
            records = to_records(parse_webhook(change.body), self._spec)
            try:
                self._stores.examples.upsert_many(self._project, records)
            except StoreUnavailable:
                self.refused.append(time.time())
                time.sleep(0.05)
                continue
            self.acknowledged |= dict.fromkeys((record.annotation for record in records), time.time())

    def stop(self) -> None:
        super().stop()
        self._stores.close()
