"""Everything the routes need, built once per web process."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.application.advice import Advisor
from backend.application.background import Background
from backend.application.label_configs import LabelConfigs
from backend.cpu import cores
from backend.export.archive.stored import StoredExports
from backend.redis_access.connection import WEB_SECONDS
from backend.redis_access.shared_secrets import wait_for_secrets
from backend.rejects.pending import RejectNotes
from backend.serving.answer_cache import AnswerCache
from backend.serving.highlights import Highlighter
from backend.serving.predictors import Admission, Predictors, predict_slots
from backend.serving.registry import Registry
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.telemetry.metrics import Metrics
from backend.ui.session import Sessions

EVIDENCE_PROJECTS_KEPT = 4
"""Projects whose test-then-train rows the web process keeps: those whose pages are open."""


@dataclass(frozen=True)
class Services:
    """Settings, stores, live models, predictor threads, background work, metrics and the secrets in force. `exports`:
    those of the object store, where there is one."""

    settings: Settings
    stores: Stores
    registry: Registry
    predictors: Predictors
    background: Background
    metrics: Metrics
    admin_token: str
    webhook_secret: str
    answers: AnswerCache
    admission: Admission
    configs: LabelConfigs
    sessions: Sessions
    exports: StoredExports | None
    highlighter: Highlighter = field(default_factory=Highlighter)
    advisor: Advisor = field(default_factory=Advisor)

    def stop(self) -> None:
        self.registry.stop()
        self.predictors.stop()
        self.background.stop()
        self.metrics.close()
        self.stores.close()


def build_services(settings: Settings) -> Services:
    """Start threads and begin to load; returns at once."""
    stores, metrics = Stores(settings, WEB_SECONDS), Metrics()
    stores.evidence.keeps = EVIDENCE_PROJECTS_KEPT
    predictors = Predictors(settings.predict_threads or cores(), metrics)
    notes = RejectNotes(lambda code, times: metrics.rejects.labels(code).inc(times))
    background = Background(stores, settings.pool_size, notes)
    registry = Registry(
        settings, stores.projects, stores.versions, metrics, predictors.give_way, background.labelled.renew
    )
    admin, webhook = wait_for_secrets(settings)
    services = Services(
        settings,
        stores,
        registry,
        predictors,
        background,
        metrics,
        admin,
        webhook,
        AnswerCache(settings.answer_cache_mb << 20),
        Admission(predict_slots(settings.web_threads)),
        LabelConfigs(stores.projects, stores.jobs),
        Sessions(admin, settings.ui_session_minutes * 60),
        StoredExports(registry.artifacts.store) if registry.artifacts is not None else None,
    )
    registry.start()
    background.start()
    return services
