"""Secrets that nobody has set, made once for all machines of an installation.

With the embedded Redis there is one machine, and the file in DATA_DIR is the secret (secrets_store.py). With REDIS_URL
the first process to ask makes it in Redis, and each machine's file is a copy for when Redis is away. Whoever can read
this Redis can read all labels, too; who wants no secret in it sets ADMIN_TOKEN and WEBHOOK_SECRET, on all machines.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from backend.errors import StoreUnavailable
from backend.redaction import process_redactor
from backend.redis_access.connection import connect, guarded
from backend.redis_access.keys import SECRETS
from backend.settings.secrets_store import ensure_secret, read_secret
from backend.settings.settings import Settings
from backend.telemetry.log_throttle import LogThrottle

log = logging.getLogger(__name__)

NAMES = ("admin_token", "webhook_secret")

REPLACED_SUFFIX = ".replaced"
"""Of a machine's own file that held another value than the installation has."""

PAUSE_SECONDS = 0.5


def admin_token(settings: Settings) -> str:
    """The bearer token of /admin: ADMIN_TOKEN, else the installation's. Raises StoreUnavailable, SettingsError."""
    return settings.admin_token.get_secret_value() or _agree(settings, "admin_token")


def webhook_secret(settings: Settings) -> str:
    """The secret of /webhook, or "" when it is open.

    WEBHOOK_SECRET, else, with basic auth on, the installation's: Label Studio sends no basic auth with webhooks, so a
    protected backend needs a secret of its own there. Raises StoreUnavailable, SettingsError."""
    if configured := settings.webhook_secret.get_secret_value():
        return configured
    return _agree(settings, "webhook_secret") if settings.basic_auth_user else ""


def wait_for_secrets(settings: Settings) -> tuple[str, str]:
    """(admin token, webhook secret) at the start of a process that serves: a machine that has never seen them waits
    until Redis answers. Raises SettingsError."""
    throttle = LogThrottle()
    while True:
        try:
            return admin_token(settings), webhook_secret(settings)
        except StoreUnavailable as error:
            if throttle.admit(error.message) is not None:
                log.warning("waiting for the installation's secrets: %s", error.message)
            time.sleep(PAUSE_SECONDS)


def find_secret(settings: Settings, name: str) -> str:
    """What is set, or was made; "" when nothing is. Makes nothing."""
    if configured := str(getattr(settings, name).get_secret_value()):
        return configured
    path = settings.data_dir / name
    if not settings.redis_url:
        return read_secret(path)
    with suppress(StoreUnavailable):
        if shared := _ask(settings, name, ""):
            return shared
    return read_secret(path)


def differs(settings: Settings, name: str) -> bool:
    """Whether this machine's file holds, or held, another value than all others use. Raises StoreUnavailable."""
    if not settings.redis_url or getattr(settings, name).get_secret_value():
        return False
    path = settings.data_dir / name
    own, shared = read_secret(path), _ask(settings, name, "")
    return bool(own and shared and own != shared) or path.with_name(name + REPLACED_SUFFIX).exists()


def _agree(settings: Settings, name: str) -> str:
    path = settings.data_dir / name
    if not settings.redis_url:
        return ensure_secret(path)
    own = read_secret(path)
    try:
        shared = _ask(settings, name, own or secrets.token_urlsafe(32))
    except StoreUnavailable:
        if own:
            return own
        raise
    if shared != own:
        with suppress(OSError):  # no room for a copy: it is asked for again at the next start
            _keep(path, shared, replaced=bool(own))
    return shared


@guarded
def _ask(settings: Settings, name: str, offered: str) -> str:
    """The installation's value; `offered`, unless empty, becomes it when there is none."""
    with connect(settings, retries=0) as client:
        if offered:
            client.hsetnx(SECRETS, name, offered)
        shared = str(client.hget(SECRETS, name) or "")
    if shared:
        process_redactor().learn(shared)
    return shared


def _keep(path: Path, secret: str, replaced: bool) -> None:
    """A copy that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if replaced:
        os.replace(path, path.with_name(path.name + REPLACED_SUFFIX))
        log.warning(
            "%s held another value than the other machines use; it is %s now", path, path.name + REPLACED_SUFFIX
        )
    scratch = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secret + "\n")
    os.replace(scratch, path)
