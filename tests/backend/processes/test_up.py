from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.addresses.listening import require_free_port
from backend.cli.main import main
from backend.errors import SettingsError
from backend.settings.settings import environment_of, load_settings
from backend.supervision.supervisor import programs


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_reported_before_anything_starts(tmp_path: Path, taken_port: int) -> None:
    arguments = ["up", "--port", str(taken_port), "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(main, arguments, env={"REDIS_URL": ""})
    assert result.exit_code == 1
    assert f"port {taken_port} on 127.0.0.1 is already in use" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["up.lock"]


@pytest.mark.parametrize("command", ["up", "web"])
def test_an_address_that_is_none_is_refused_without_repeating_it(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "http://:secret@host/0")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 1 and "cannot be used: it is no address of a Redis" in result.output
    assert "secret" not in result.output


def test_a_port_whose_last_connections_are_still_closing_is_free() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()
    require_free_port("127.0.0.1", port, patience=0)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"HOST=192\.0\.2\.1 PORT=9090 cannot be listened on"):
        require_free_port("192.0.2.1", 9090)


def test_a_host_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot be listened on"):
        require_free_port("no such host", 9090)


def test_a_setting_that_cannot_be_used_is_named_with_its_value(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["up", "--data-dir", str(tmp_path)], env={"POLL_SECONDS": "often"})
    assert result.exit_code == 1
    assert "POLL_SECONDS='often'" in result.output


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, ["up", "--data-dir", str(tmp_path / "file" / "below")], env={"REDIS_URL": ""})
    assert result.exit_code == 1
    assert "cannot be written to" in result.output


def test_the_processes_take_no_file_of_the_users_for_a_module_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `understudy up` is called, a model.py may lie: every example of a Label Studio ML backend has one."""
    (tmp_path / "model.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    child = programs(load_settings(), 1)[1].command
    assert child[:3] == (sys.executable, "-m", "backend")
    seen = subprocess.run([*child[:3], "healthcheck", "--help"], env=environment_of(load_settings()), check=False)
    assert seen.returncode == 0
