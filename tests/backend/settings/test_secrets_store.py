from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.errors import SettingsError
from backend.redis_access.shared_secrets import admin_token, webhook_secret
from backend.settings.secrets_store import ensure_secret
from backend.settings.settings import Settings


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "admin_token"
    secret = ensure_secret(path)
    assert len(secret) >= 40
    assert ensure_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["admin_token"]


def test_processes_that_ask_at_once_get_the_same_secret(tmp_path: Path) -> None:
    for round_ in range(20):
        with ThreadPoolExecutor(8) as pool:
            made = set(pool.map(ensure_secret, [tmp_path / f"secret-{round_}"] * 8))
        assert len(made) == 1


def test_a_file_that_others_could_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("mine\n")
    path.chmod(0o644)
    assert ensure_secret(path) == "mine"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    with pytest.raises(SettingsError, match="delete it to have a new secret made"):
        ensure_secret(tmp_path / "secret")


def test_a_configured_admin_token_is_never_written_down(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, admin_token="configured", _env_file=None)
    assert admin_token(settings) == "configured"
    assert list(tmp_path.iterdir()) == []


def test_webhooks_get_a_secret_of_their_own_when_basic_auth_is_on(tmp_path: Path) -> None:
    open_ = Settings(data_dir=tmp_path, _env_file=None)
    assert webhook_secret(open_) == ""
    protected = Settings(data_dir=tmp_path, basic_auth_user="studio", basic_auth_pass="x", _env_file=None)
    assert webhook_secret(protected) == ensure_secret(tmp_path / "webhook_secret")
    chosen = Settings(data_dir=tmp_path, basic_auth_user="studio", webhook_secret="chosen", _env_file=None)
    assert webhook_secret(chosen) == "chosen"
