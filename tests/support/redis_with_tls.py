"""Redis servers as others run them: with a password, with TLS, behind a Sentinel."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from backend.embedded_redis.binary import find_redis_server
from tests.support.rig import free_port

PASSWORD = "p@ss/w:rd#1"
QUOTED = "p%40ss%2Fw%3Ard%231"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
SAFE = ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction", 'save ""')


@dataclass
class Place:
    """A Redis that can be reached: REDIS_URL and what goes with it. `ports`: of its servers."""

    url: str
    ports: Sequence[int] = ()
    more: dict[str, Any] = field(default_factory=dict)


@contextmanager
def serve(folder: Path, port: int, *lines: str, mode: Sequence[str] = ()) -> Iterator[None]:
    """A server with these lines of configuration, once it listens."""
    folder.mkdir(parents=True)
    config = folder / "redis.conf"
    config.write_text("\n".join([f"dir {folder}", 'logfile ""', *lines]) + "\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([find_redis_server(), str(config), *mode], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while not listens(port):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    try:
        redis.Redis(port=port, socket_timeout=1, retry=None).ping()
    except redis.ConnectionError as error:
        return "refused" not in str(error)  # TLS is expected, or it asks for a password
    except redis.RedisError:
        return True
    return True


def documented_rights() -> list[str]:
    """What docs/operations.md gives the user of all processes, without the password."""
    found = re.search(r"`ACL SETUSER understudy (on >PASSWORD [^`]*)`", OPERATIONS.read_text(encoding="utf-8"))
    assert found is not None
    return [part for part in found[1].split() if not part.startswith(">")]


@contextmanager
def with_password(folder: Path, *less: str) -> Iterator[Place]:
    """A user of its own, with the rights that are documented; `less`: rights that are taken away again."""
    port = free_port()
    user = " ".join([f"user learner on >{PASSWORD}", *documented_rights()[1:], *less])
    with serve(folder / "acl", port, f"port {port}", *SAFE, f"requirepass other-{PASSWORD}", user):
        yield Place(f"redis://learner:{QUOTED}@127.0.0.1:{port}/0", [port])


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) of 127.0.0.1, signed by itself."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=redis"]
    command = ["openssl", "req", *options, "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@contextmanager
def with_tls(folder: Path) -> Iterator[Place]:
    """TLS only, and a password."""
    port = free_port()
    certificate, key = make_certificate(folder)
    files = (f"tls-cert-file {certificate}", f"tls-key-file {key}", f"tls-ca-cert-file {certificate}")
    lines = ("port 0", f"tls-port {port}", *files, "tls-auth-clients no", *SAFE, f"requirepass {PASSWORD}")
    with serve(folder / "tls", port, *lines):
        yield Place(f"rediss://:{QUOTED}@127.0.0.1:{port}/0", [port], {"redis_ca_file": str(certificate)})


@contextmanager
def with_sentinel(folder: Path) -> Iterator[Place]:
    """A primary, a replica, and a Sentinel that knows them; all with passwords."""
    ports = [free_port() for _ in range(3)]
    secret = (f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0")
    with ExitStack() as stack:
        stack.enter_context(serve(folder / "primary", ports[0], f"port {ports[0]}", *SAFE, *secret))
        replica = (f"port {ports[1]}", *SAFE, *secret, f"replicaof 127.0.0.1 {ports[0]}")
        stack.enter_context(serve(folder / "replica", ports[1], *replica))
        await_replica(ports[1])
        watched = (f"sentinel monitor mine 127.0.0.1 {ports[0]} 1", f"sentinel auth-pass mine {PASSWORD}")
        patience = ("sentinel down-after-milliseconds mine 300", "sentinel failover-timeout mine 2000")
        lines = (f"port {ports[2]}", *watched, *patience, f"requirepass sentinel-{PASSWORD}")
        stack.enter_context(serve(folder / "sentinel", ports[2], *lines, mode=["--sentinel"]))
        host = f"127.0.0.1:{ports[2]}"
        where = f"redis+sentinel://:{QUOTED}@127.0.0.1:1,{host}/mine/0?sentinel_password=sentinel-{QUOTED}"
        yield Place(where, ports)


def await_replica(port: int) -> None:
    """Returns when the replica has what the primary has."""
    deadline = time.monotonic() + 120
    with redis.Redis(port=port, password=PASSWORD) as client:
        while client.info("replication").get("master_link_status") != "up":
            assert time.monotonic() < deadline, "no replication"
            time.sleep(0.05)


def fail_over(ports: Sequence[int]) -> None:
    """The primary ends; returns when the replica has taken over."""
    deadline = time.monotonic() + 120
    with redis.Redis(port=ports[2], password=f"sentinel-{PASSWORD}") as sentinel:
        while not sentinel.sentinel_slaves("mine"):
            assert time.monotonic() < deadline, "the Sentinel has found no replica"
            time.sleep(0.05)
    with redis.Redis(port=ports[0], password=PASSWORD) as primary:
        primary.shutdown(nosave=True)
    with redis.Redis(port=ports[1], password=PASSWORD) as replica:
        while replica.info("replication")["role"] != "master":
            assert time.monotonic() < deadline, "no failover"
            time.sleep(0.05)
