"""A setting that cannot be used ends every command with a line that names it: no traceback, no secret, nothing made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from backend.cli.main import main
from backend.settings.settings import Settings, current_settings

SECRET = "hush-hush-0c9d71"
BROKEN = {
    "ADMIN_TOKEN": f"\u201c{SECRET}\u201d",
    "LABEL_STUDIO_API_KEY": f"{SECRET}\u0436",
    "WEBHOOK_SECRET": f"Bearer {SECRET}",
    "BASIC_AUTH_PASS": f"'{SECRET}'",
    "REDIS_URL": f"redis://:{SECRET}/x@y@host:1/0",
    "PUBLIC_URL": f"me:{SECRET}@myhost:9090",
    "LABEL_STUDIO_URL": f"http://me:{SECRET}@studio/",
    "PORT": "no number",
    "DATA_DIR": "$HOME/x",
}
COMMANDS = sorted(set(main.commands) - {"simulate"})
"""`simulate` may run without any understudy's settings."""


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.lower() in Settings.model_fields or name.lower().endswith("_file"):
            monkeypatch.delenv(name)


def arguments_of(command: click.Command, file: Path) -> list[str]:
    """What it cannot do without."""
    words = []
    for parameter in command.params:
        if not parameter.required:
            continue
        kind = parameter.type
        value = (
            str(file) if isinstance(kind, click.Path) else kind.choices[0] if isinstance(kind, click.Choice) else "1"
        )
        words += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]
    return words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_with_one_line_that_names_the_setting(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    arguments = [name, *arguments_of(main.commands[name], file)]
    for setting, text in BROKEN.items():
        current_settings.cache_clear()
        with monkeypatch.context() as patch:
            patch.setenv(setting, text)
            patch.setenv("LOG_LEVEL", "DEBUG")
            result = CliRunner().invoke(main, arguments)
        assert isinstance(result.exception, SystemExit) and result.exit_code in (1, 2), (setting, result.output)
        assert setting in result.output and "Traceback" not in result.output
        assert SECRET not in result.output and "hush" not in result.output
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"], "nothing was made"


def test_what_nobody_expected_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", SECRET)

    def fail(*arguments: object) -> None:
        current_settings()
        raise RuntimeError(f"Illegal header value {SECRET.encode()!r}")

    monkeypatch.setattr("backend.client.admin.AdminClient.projects", fail)
    monkeypatch.setattr("logging.root.handlers", [])
    result = CliRunner().invoke(main, ["status"])
    said = "unexpected RuntimeError: Illegal header value b'***' (LOG_LEVEL=DEBUG shows where)"
    assert result.exit_code == 1 and result.output.strip() == f"Error: {said}"
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    current_settings.cache_clear()
    result = CliRunner().invoke(main, ["status"])
    assert "in fail" in result.output and SECRET not in result.output


def test_a_secret_file_of_data_dir_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "admin_token").write_bytes("hüsh-hush".encode("latin-1"))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 1 and f"{tmp_path}/admin_token is not UTF-8" in result.output.replace("\n", "")
    (tmp_path / "admin_token").write_text("\u201chush-hush\u201d")
    result = CliRunner().invoke(main, ["status"])
    assert "left double quotation mark" in result.output and "hush" not in result.output


def test_the_server_of_label_studio_ml_does_not_start(tmp_path: Path) -> None:
    package = tmp_path / "label_studio_ml"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "api.py").write_text("def init_app(**options): return options\n")
    (package / "model.py").write_text("class LabelStudioMLBase: pass\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "LABEL_STUDIO_API_KEY": f"{SECRET}\u0436"}
    run = subprocess.run(
        [sys.executable, "-c", "import backend._wsgi"], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 4, "gunicorn does not try again"
    assert (
        run.stderr.startswith("Error: LABEL_STUDIO_API_KEY (environment) cannot be used") and SECRET not in run.stderr
    )
