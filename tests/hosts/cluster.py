"""understudy on eight hosts that share nothing but a Redis and an object store, and the real Label Studio outside."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
import requests

from backend.embedded_redis.binary import find_redis_server
from backend.labelstudio.local.server import LabelStudioServer
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.hosts.balancer import Balancer
from tests.hosts.network import OWN, Host, Network
from tests.support.rig import free_port

PORT, REDIS_PORT, STORE_PORT = 9090, 6379, 9000
BUCKET = "understudy"
REDIS_PASSWORD = "redis-p4ss"
SECRET, TOKEN = "hosts-webhook-secret", "hosts-admin-token"
ACCESS = {"AWS_ACCESS_KEY_ID": "hosts", "AWS_SECRET_ACCESS_KEY": "store-p4ss", "AWS_DEFAULT_REGION": "us-east-1"}

DISK_MB = 200
"""Of the hosts whose disk is filled."""

PATIENCE = 240.0
"""Seconds after which something that is waited for will not come."""

ROLES: dict[str, tuple[str, ...]] = {
    "web1": ("web",),
    "web2": ("web",),
    "learner": ("learner",),
    "trainer1": ("trainer",),
    "trainer2": ("trainer",),
    "keeper": ("sync", "scheduler"),
}
"""Host -> the processes of ours that it runs; two more hosts run Redis and the object store."""

WEBS = ("web1", "web2")

SPARE = "trainer2"
"""Starts when another trainer has died."""

REDIS_LINES = (
    f"port {REDIS_PORT}",
    "bind 0.0.0.0",
    f"requirepass {REDIS_PASSWORD}",
    f'dir "{OWN / "data"}"',
    "appendonly yes",
    "appendfsync always",
    'save ""',
    "maxmemory-policy noeviction",
)


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> float:
    """How long it took until `condition()` is true. Raises TimeoutError with `what`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.05)
    return time.monotonic() - began


class Cluster:
    """All hosts, the balancer, and Label Studio. Use as a context manager, from the thread that lives longest."""

    def __init__(self, root: Path, label_studio: Path, **settings: str) -> None:
        self.network = Network(root)
        self.studio = LabelStudioServer(label_studio)
        self._settings = settings
        self._stack, self._closing = ExitStack(), threading.Event()

    def __enter__(self) -> Cluster:
        try:
            self._stack.enter_context(self.network)
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        outside = self.network.outside
        for name in ("redis", "store", *ROLES):
            self.network.add(name, DISK_MB if name in ("web1", "learner") else 0)
        self._stack.enter_context(self.studio)
        self.road = self._stack.enter_context(Balancer((outside, free_port()), [("127.0.0.1", self.studio.port)]))
        webs = [(self.network.hosts[name].address, PORT) for name in WEBS]
        self.balancer = self._stack.enter_context(Balancer((outside, free_port()), webs, "/ready"))
        for name in ("redis", "store", *ROLES):
            if name != SPARE:
                self.start(name)
        engine = threading.Thread(target=self._restart_ended, daemon=True)
        engine.start()
        self._stack.callback(engine.join)
        self._stack.callback(self._closing.set)
        for name in WEBS:
            wait_for(lambda name=name: self.is_ready(name), f"{name} is ready\n{self.host(name).log_tail()}")  # type: ignore[misc]
        self.stores = Stores(Settings(redis_url=self.redis_url, data_dir=self.network.root / "outside"))
        self._stack.callback(self.stores.close)

    def _restart_ended(self) -> None:
        """What a container engine does on each host."""
        while not self._closing.wait(1.0):
            for host in self.network.hosts.values():
                host.restart_ended()

    def host(self, name: str) -> Host:
        return self.network.hosts[name]

    @property
    def redis_url(self) -> str:
        return f"redis://:{REDIS_PASSWORD}@{self.host('redis').address}:{REDIS_PORT}/0"

    @property
    def environment(self) -> dict[str, str]:
        """Of every process of ours: the same on all hosts."""
        return {
            "REDIS_URL": self.redis_url,
            "HOST": "0.0.0.0",
            "PORT": str(PORT),
            "PUBLIC_URL": self.balancer.url,
            "LABEL_STUDIO_URL": self.road.url,
            "LABEL_STUDIO_API_KEY": self.studio.access_token,
            "WEBHOOK_SECRET": SECRET,
            "ADMIN_TOKEN": TOKEN,
            "ARTIFACTS_URL": f"s3://{BUCKET}/hosts",
            "AWS_ENDPOINT_URL": self.store_url,
            **ACCESS,
            "OMP_NUM_THREADS": "1",
            **self._settings,
        }

    @property
    def store_url(self) -> str:
        return f"http://{self.host('store').address}:{STORE_PORT}"

    def start(self, name: str) -> None:
        """Everything that this host runs; returns before it is at work, but for Redis and the object store."""
        host = self.host(name)
        if name == "redis":
            (host.disk / "data").mkdir(exist_ok=True)
            (host.disk / "redis.conf").write_text("\n".join(REDIS_LINES) + "\n", encoding="utf-8")
            host.start(str(find_redis_server()), str(OWN / "redis.conf"), environment={})
            wait_for(self.has_redis, "Redis answers", 30)
        elif name == "store":
            host.start(sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", str(STORE_PORT), environment=ACCESS)
            wait_for(self._has_bucket, f"the object store answers\n{host.log_tail()}", 60)
        else:
            for role in ROLES[name]:
                host.start(sys.executable, "-m", "backend", role, environment=self.environment)

    def has_redis(self) -> bool:
        """Whether Redis answers the outside."""
        with redis.Redis.from_url(self.redis_url, socket_timeout=1, socket_connect_timeout=1, retry=None) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def bucket(self) -> Any:
        """The object store, as boto3 knows it."""
        import boto3
        from botocore.config import Config

        patience = Config(connect_timeout=1, read_timeout=5, retries={"max_attempts": 1})
        own = {"aws_access_key_id": ACCESS["AWS_ACCESS_KEY_ID"], "region_name": ACCESS["AWS_DEFAULT_REGION"]}
        own["aws_secret_access_key"] = ACCESS["AWS_SECRET_ACCESS_KEY"]
        return boto3.resource("s3", endpoint_url=self.store_url, config=patience, **own).Bucket(BUCKET)

    def _has_bucket(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.bucket().create()
        except (BotoCoreError, ClientError):
            return False
        return True

    def url(self, name: str) -> str:
        """Of a web host, not by the balancer."""
        return f"http://{self.host(name).address}:{PORT}"

    def is_ready(self, name: str) -> bool:
        """Whether /ready of this web host says yes."""
        return bool(self.ready(name).get("ready"))

    def ready(self, name: str) -> dict[str, Any]:
        """What /ready of this web host says; nothing while it does not answer."""
        try:
            return dict(requests.get(f"{self.url(name)}/ready", timeout=2).json())
        except requests.RequestException:
            return {}

    def keys(self, prefix: str) -> list[str]:
        """Of the objects in the store that begin so."""
        return [found.key for found in self.bucket().objects.filter(Prefix=prefix)]

    def damage(self, prefix: str) -> None:
        """The first byte of each object that begins so is another one, but for manifests."""
        for key in self.keys(prefix):
            if not key.endswith("manifest.json"):
                whole = bytearray(self.bucket().Object(key).get()["Body"].read())
                whole[0] ^= 0xFF
                self.bucket().put_object(Key=key, Body=bytes(whole))

    def wait_job(self, job: str) -> dict[str, Any]:
        """The record of a training once it is over."""
        ended = ("done", "rejected", "failed", "cancelled")
        wait_for(lambda: self.stores.jobs.get(job)["status"] in ended, f"{job} is over")
        return dict(self.stores.jobs.get(job))

    def admin(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Call the admin API by the balancer; the JSON reply."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        reply = requests.request(method, f"{self.balancer.url}/admin{path}", json=body, headers=headers, timeout=60)
        reply.raise_for_status()
        return dict(reply.json())

    def restart(self, name: str) -> float:
        """Start a host that was killed; seconds until it is at work."""
        began = time.monotonic()
        self.start(name)
        if name in WEBS:
            wait_for(lambda: self.is_ready(name), f"{name} is ready again\n{self.host(name).log_tail()}")
        return time.monotonic() - began

    def logs(self) -> str:
        """The end of what all hosts have printed."""
        return "\n".join(f"== {name}\n{host.log_tail(1500)}" for name, host in self.network.hosts.items())

    def describe(self) -> Mapping[str, str]:
        """Host -> what it runs."""
        return {"redis": "redis-server", "store": "moto", **{name: " + ".join(roles) for name, roles in ROLES.items()}}
