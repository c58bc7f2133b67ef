"""The web process: one gunicorn worker with threads, so that live models are in memory once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from backend.addresses.listening import open_listener
from backend.application.services import build_services
from backend.cpu import keep_heap_trimmed
from backend.errors import StoreUnavailable
from backend.processes.waiting import Waiting
from backend.redis_access.address import check_address
from backend.redis_access.shared_secrets import admin_token, webhook_secret
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.supervision.parent_death import die_with
from backend.supervision.process_limits import clients_at_once
from backend.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

log = logging.getLogger(__name__)

HANGS_AFTER = 60
"""Seconds without a sign of life after which gunicorn's master kills the worker and starts another."""


def run_web(settings: Settings) -> None:
    """Serves until SIGTERM."""
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):  # type: ignore[misc]
        """gunicorn without its command line."""

        def load_config(self) -> None:
            for name, value in _options(settings, listener).items():
                self.cfg.set(name, value)

        def load(self) -> WSGIApplication:
            # In the worker, after the fork: torch must not have run before.
            configure_logs(settings, "web")
            return open_application(settings)

    check_address(settings)  # here it is one line for the user, in the worker gunicorn's traceback
    configure_logs(settings, "web")
    listener = open_listener(settings.host, settings.port).detach()  # gunicorn's from here on
    Server().run()


def open_application(settings: Settings) -> WSGIApplication:
    """The one that serves; as long as the secrets that it compares with are not known, one that says so."""
    try:
        admin_token(settings), webhook_secret(settings)
    except StoreUnavailable:
        waiting = Waiting(settings, lambda: _open_application(settings))
        waiting.start()
        return waiting
    return _open_application(settings)


def _open_application(settings: Settings) -> WSGIApplication:
    from backend.routes.app import create_app

    services = build_services(settings)
    _verify_store(services.stores)
    # Whatever Label Studio sent while no web process ran, it does not send again.
    services.background.note_missed(None, "the web process was started")
    keep_heap_trimmed()
    return create_app(services)


def _options(settings: Settings, listener: int) -> dict[str, object]:
    from backend.processes.slow_client_worker import PatientWorker

    return {
        "bind": f"fd://{listener}",  # it knows no zones, and its refusals are tracebacks
        "workers": 1,
        "worker_class": type("Worker", (PatientWorker,), {"client_seconds": settings.client_seconds}),
        "threads": settings.web_threads,
        "worker_connections": clients_at_once(),
        # Its main loop gives the sign of life, not its threads: a large batch may take longer, a hung process not.
        "timeout": HANGS_AFTER,
        "graceful_timeout": 10,
        "keepalive": 30,
        "accesslog": None,
        "errorlog": "-",
        "logger_class": "backend.telemetry.gunicorn_logger.JsonLogger",
        "loglevel": "warning",
        "limit_request_line": 4094,
        "worker_tmp_dir": None,
        "control_socket_disable": True,
        # A worker that outlived its master would keep the port, and answer with no one to start it again.
        "post_fork": lambda server, worker: die_with(server.pid),
    }


def _verify_store(stores: Stores) -> None:
    """An unsafe Redis stops the start; one that is away does not, since predictions can go on without it."""
    try:
        for problem in stores.verify():
            log.warning("redis: %s", problem)
    except StoreUnavailable as error:
        if error.evidence.get("kind"):
            log.warning("redis is away: %s", error.message)
            return
        log.critical("%s", error.message)
        raise SystemExit(4) from error  # gunicorn's "application failed to load": do not start again in a loop
