"""Generated secrets, for those that are not set: random, in a file of their own that only the owner may read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from backend.errors import SettingsError
from backend.redaction import process_redactor
from backend.settings.sources import Given, read_secret_text
from backend.settings.values import clean


def ensure_secret(path: Path) -> str:
    """The secret in `path`; made first (256 random bits, mode 0600) when the file is missing.

    Safe when several processes ask at once: all of them get the same one. Raises SettingsError when the file is
    empty or cannot be read or written.
    """
    try:
        if not path.exists():
            _create(path)
        path.chmod(0o600)
    except OSError as error:
        raise SettingsError(f"{path} cannot be used for a secret: {error.strerror}") from error
    secret = read_secret(path)
    if not secret:
        raise SettingsError(f"{path} is empty: delete it to have a new secret made, or write one into it")
    return secret


def read_secret(path: Path) -> str:
    """The secret in `path`, or "" when there is no such file. Raises SettingsError when it cannot be read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    try:
        secret = str(clean(path.name, Given(read_secret_text(path), str(path))))
    except ValueError as error:
        raise SettingsError(f"the secret cannot be read: {error}") from None
    process_redactor().learn(secret)
    return secret


def _create(path: Path) -> None:
    """Writes a new secret under a name of this process's own, then links it: the first one to link wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            os.link(own, path)
    finally:
        own.unlink()
