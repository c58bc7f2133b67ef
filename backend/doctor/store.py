"""Redis, and the worker processes that it knows of."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from backend.doctor.verdict import Verdict, fail, ok, warn
from backend.embedded_redis.binary import OLDEST_VERSION
from backend.errors import StoreUnavailable
from backend.health.redis_health import Health, examine
from backend.redis_access.address import shown_address
from backend.redis_access.clocks import FAIL_SECONDS, WARN_SECONDS
from backend.redis_access.shared_secrets import NAMES, REPLACED_SUFFIX, differs
from backend.redis_access.workers import Workers
from backend.settings.settings import Settings

PROCESS_OF = {"learn": "learner", "train": "trainer", "sync": "sync"}


def check_store(settings: Settings) -> tuple[list[Verdict], Health | None]:
    """The verdicts, and what was seen; None when Redis does not answer."""
    try:
        health = examine(settings)
    except StoreUnavailable as error:
        return [unreachable(settings, error.message)], None
    return list(judge_health(settings, health)), health


def unreachable(settings: Settings, said: str) -> Verdict:
    """Redis does not answer."""
    if settings.redis_url:
        remedy = "start it, and check REDIS_URL (host, port, password, rediss:// for TLS)"
    else:
        remedy = (
            f"start `understudy up`, which runs it, or set DATA_DIR to where it runs; log: {settings.data_dir}/logs"
        )
    return fail("redis", f"{shown_address(settings.effective_redis_url)}: {said}", remedy)


def judge_health(settings: Settings, health: Health) -> Iterator[Verdict]:
    """What Redis's answers mean."""
    yield judge_version(settings, health.version, health.memory_bytes)
    yield judge_durability(settings, health.problems, health.writes_ok)
    yield judge_clock("clock of redis", health.clock_ahead)
    for host, ahead in health.clocks.items():
        if host != socket.gethostname() and abs(ahead) > WARN_SECONDS:
            yield judge_clock(f"clock of {host}", ahead, "Redis's")
    yield from judge_secrets(settings)
    yield from judge_workers(settings, health.workers)


def judge_version(settings: Settings, version: str, memory: int) -> Verdict:
    """6.2 is the oldest that works; 7 the oldest that is maintained."""
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    seen = f"{version} at {shown_address(settings.effective_redis_url)}, {memory / 2**20:.0f} MiB"
    if number < OLDEST_VERSION:
        return fail("redis", seen, "use Redis 6.2 or newer, better 7, or Valkey")
    if number < (7, 0) and settings.redis_url:
        return warn("redis", f"{seen}: no longer maintained", "use Redis 7 or newer, or Valkey")
    return ok("redis", seen)


def judge_durability(settings: Settings, problems: list[str], writes_ok: bool) -> Verdict:
    """Whether it keeps what it acknowledges."""
    name = "redis keeps labels"
    if not writes_ok:
        return fail(name, "its last write to the append-only file failed", "free space on Redis's disk; see its log")
    if problems:
        remedy = "appendonly yes, appendfsync always, maxmemory-policy noeviction: CONFIG SET, and in its config file"
        return (warn if settings.allow_unsafe_redis else fail)(name, "; ".join(problems), remedy)
    return ok(name, "every label is on disk before Label Studio gets its reply; nothing is evicted")


def judge_secrets(settings: Settings) -> Iterator[Verdict]:
    """Where machines make secrets together: whether this one had a value of its own."""
    for name in NAMES:
        if differs(settings, name):
            path = settings.data_dir / name
            yield warn(
                f"{name} of this machine",
                f"{path} held another value than the other machines use",
                f"nothing, if nobody uses the old value; start `web` anew here, and delete {path}{REPLACED_SUFFIX}. To "
                f"keep the old value set {name.upper()} on all machines",
            )


def judge_clock(name: str, ahead: float, whose: str = "this machine's") -> Verdict:
    """`ahead`: seconds by which that clock is ahead of `whose`."""
    seen = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} {whose}"
    remedy = "let both machines take their time from NTP (timedatectl set-ntp true)"
    if abs(ahead) > FAIL_SECONDS:
        return fail(name, seen, remedy)
    return warn(name, seen, remedy) if abs(ahead) > WARN_SECONDS else ok(name, seen)


def judge_workers(settings: Settings, workers: Workers) -> Iterator[Verdict]:
    """One verdict per process behind a queue."""
    for queue, process in PROCESS_OF.items():
        alive, waiting = workers.alive[queue], workers.waiting[queue]
        if alive:
            yield ok(process, f"{alive} alive, {waiting} jobs wait")
        elif process == "trainer" and not waiting:
            remedy = (
                f"nothing, where a trainer is started for each job (--burst); else {start_remedy(settings, process)}"
            )
            yield warn(process, "none is alive, and no job waits", remedy)
        else:
            yield fail(process, f"no sign of life, {waiting} jobs wait", start_remedy(settings, process))
    if workers.scheduler:
        yield ok("scheduler", workers.scheduler)
    else:
        yield fail("scheduler", "none is active", start_remedy(settings, "scheduler"))


def start_remedy(settings: Settings, process: str) -> str:
    """How to bring a process back."""
    return f"run `understudy up`, or `understudy {process}` on one machine; why it ended: {settings.data_dir}/logs"
