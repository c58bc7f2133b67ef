"""The product's own web application behind a real port, and the command that asks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from backend.cli.main import main
from backend.settings.settings import current_settings
from tests.conftest import serving

Ask = Callable[..., Any]


@pytest.fixture
def ask(client: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Runs `understudy dataset 7 …` and gives what it printed as JSON; `fails`: the message instead."""
    server = make_server("127.0.0.1", 0, client.application, threaded=True)

    def run(*arguments: object, fails: bool = False) -> Any:
        command = ["dataset", "7", "--url", f"http://127.0.0.1:{server.port}", *map(str, arguments)]
        done = CliRunner().invoke(main, command if fails else [*command, "--json"])
        assert (done.exit_code != 0) is fails, done.output
        return done.output if fails else json.loads(done.output)

    monkeypatch.setenv("ADMIN_TOKEN", "admin")
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("BASE_MODEL", settings.base_model)
    current_settings.cache_clear()
    with serving(server):
        yield run
    current_settings.cache_clear()
