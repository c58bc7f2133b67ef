"""What must never be in a log is not, whatever is logged."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from backend.logs import configure_logs
from backend.settings import Settings


def test_planted_secrets_do_not_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "webhook_secret").write_text("made-secret-9876\n")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logs(Settings(data_dir=tmp_path, admin_token="planted-token-1234"), "web")  # type: ignore[arg-type]
        log = logging.getLogger("test")
        log.warning("calling with %s and %s", "planted-token-1234", "made-secret-9876")
        log.warning("line one\nline two", extra={"access_token": "x"})
        try:
            raise ValueError("planted-token-1234")
        except ValueError:
            log.exception("failed")
    finally:
        root.handlers[:], _ = before[0], root.setLevel(before[1])
    printed = capsys.readouterr().err
    assert "planted-token" not in printed and "made-secret" not in printed
    lines = [json.loads(line) for line in printed.strip().splitlines()]
    assert len(lines) == 3, "one line each, also with line breaks and tracebacks"
    assert lines[0]["event"] == "calling with *** and ***" and lines[0]["process"] == "web"
