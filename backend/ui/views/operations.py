"""How the installation is: processes, workers, Redis, disk, encoder, and what admins did."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from backend.application.services import Services
from backend.artifacts.prefetch import StoreAnswer
from backend.base_model.description import describe_encoder
from backend.base_model.number_format import describe_timing
from backend.health.redis_health import Health, examine
from backend.rules.disabled_features import switched_off
from backend.ui.views.head import Checked, view_report

AUDIT_SHOWN = 50


@dataclass(frozen=True)
class QueueRow:
    """An RQ queue: its workers by name, and the jobs that wait."""

    name: str
    workers: list[str]
    waiting: int


@dataclass(frozen=True)
class RedisView:
    """`problems`: what could lose a label."""

    version: str
    memory_bytes: int
    writes_ok: bool
    clock_ahead: float
    problems: list[str]


@dataclass(frozen=True)
class OperationsView:
    """`checked`: what the doctor found. `not_ready`: why models do not serve yet, "" when they do; `stale`: versions
    that could not be loaded, and why; `object_store`: None without ARTIFACTS_URL. `audit`: the last actions, newest
    first. `off`: what is switched off, and why."""

    checked: Checked
    queues: list[QueueRow]
    scheduler: str
    redis: RedisView
    disk_free_bytes: int
    disk_all_bytes: int
    encoder: str
    number_format: str
    projects: int
    not_ready: str
    stale: Mapping[str, str]
    object_store: StoreAnswer | None
    off: Mapping[str, str]
    audit: list[dict[str, str | float]]


def view_operations(services: Services) -> OperationsView:
    """Of this machine and its Redis."""
    settings, health = services.settings, examine(services.settings)
    disk = shutil.disk_usage(settings.data_dir)
    findings = services.stores.findings
    return OperationsView(
        checked=view_report(findings.read(), findings.is_asked()),
        queues=[
            QueueRow(name, list(names), health.workers.waiting[name]) for name, names in health.workers.names.items()
        ],
        scheduler=health.workers.scheduler,
        redis=_redis(health),
        disk_free_bytes=disk.free,
        disk_all_bytes=disk.total,
        encoder=describe_encoder(settings.base_model),
        number_format=describe_timing(settings),
        projects=len(health.projects),
        not_ready=services.registry.not_ready,
        stale=services.registry.stale(),
        object_store=services.registry.prefetch.describe() if services.registry.prefetch else None,
        off=_off(services),
        audit=services.stores.audit.read(AUDIT_SHOWN),
    )


def _off(services: Services) -> dict[str, str]:
    unusable = services.registry.encoders.unusable
    return {**switched_off(services.settings), **({"BASE_MODEL": unusable} if unusable else {})}


def _redis(health: Health) -> RedisView:
    return RedisView(health.version, health.memory_bytes, health.writes_ok, health.clock_ahead, health.problems)
